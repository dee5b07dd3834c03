//! A request's record, from its head to the last byte of its answer: for metrics and access log.

use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};

use super::body::Response;
use super::client::Client;
use super::headers::RequestId;
use super::worker::Worker;
use crate::clock;
use crate::http1::{Name, RequestHead};
use crate::model::{ModeKind, Timestamp};
use crate::nocobase::RequestClass;
use crate::routing::NodeIndex;
use crate::telemetry::{Entry, RequestRecord};

/// How the answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Not yet: what is dropped like this was given up by the client, or cut.
    Open,
    Complete,
    /// The node's body ended before its end.
    BrokeOff,
    /// Another record goes on with it.
    HandedOver,
}

/// One request's way through the gateway. Recorded once, when it is dropped.
#[derive(Debug)]
pub struct Journey {
    worker: Rc<Worker>,
    client: Rc<Client>,
    began: Instant,
    method: Method,
    noted: Option<Box<Noted>>,
    pub id: RequestId,
    class: RequestClass,
    mode: ModeKind,
    node: Option<NodeIndex>,
    status: u16,
    /// Besides the request's body: by a tunnel.
    bytes_in: u64,
    bytes_out: u64,
    ending: Ending,
}

/// What only the access log tells. Where there is none, nothing is kept for it.
#[derive(Debug)]
struct Noted {
    at: Timestamp,
    head_took: Option<Duration>,
    user_agent: Option<HeaderValue>,
    /// `None` where what came could not be read as a request.
    path: Option<Bytes>,
}

impl Noted {
    fn of(head: Option<&RequestHead>) -> Self {
        let user_agent = head.and_then(|head| head.headers.get(Name::UserAgent));
        Self {
            at: clock::now(),
            head_took: None,
            user_agent: user_agent.and_then(|said| HeaderValue::from_bytes(said).ok()),
            path: head.map(|head| Bytes::copy_from_slice(head.path())),
        }
    }
}

impl Journey {
    /// Of a request's `head`; of none where what came could not be read as one.
    pub fn begin(worker: &Rc<Worker>, client: &Rc<Client>, head: Option<&RequestHead>) -> Self {
        let logged = worker.access.borrow().is_on();
        Self {
            worker: worker.clone(),
            client: client.clone(),
            began: Instant::now(),
            method: head.map_or(Method::GET, |head| head.method.clone()),
            noted: logged.then(|| Box::new(Noted::of(head))),
            id: head.map_or_else(RequestId::made, |head| RequestId::of(&head.headers)),
            class: RequestClass::Asset,
            mode: worker.mode(),
            node: None,
            status: 0,
            bytes_in: 0,
            bytes_out: 0,
            ending: Ending::Open,
        }
    }

    /// The record goes on without its request: with what became of its connection.
    pub fn hand_over(&mut self) -> Self {
        let later = Self {
            worker: self.worker.clone(),
            client: self.client.clone(),
            method: self.method.clone(),
            noted: self.noted.take(),
            id: self.id.clone(),
            ..*self
        };
        self.ending = Ending::HandedOver;
        later
    }

    pub fn is(&mut self, class: RequestClass) {
        self.class = class;
    }

    /// A node gets it: whoever leaves from here on has left that node.
    pub fn is_at(&mut self, node: NodeIndex) {
        self.node = Some(node);
    }

    pub fn class(&self) -> RequestClass {
        self.class
    }

    /// An answer's head: a node's, or the gateway's own.
    pub fn answered(&mut self, status: StatusCode, node: Option<NodeIndex>) {
        self.status = status.as_u16();
        self.node = node;
        self.mode = self.worker.mode();
        if let Some(noted) = &mut self.noted {
            noted.head_took = Some(self.began.elapsed());
        }
    }

    /// An answer of the gateway's own: small, and ready as a whole.
    pub fn own_answer(&mut self, response: &Response<'_>, node: Option<NodeIndex>) {
        self.answered(response.status, node);
        if self.method != Method::HEAD {
            self.bytes_out = response.body.left().unwrap_or(0);
        }
        self.completed();
    }

    pub fn sent(&mut self, bytes: usize) {
        self.bytes_out += bytes as u64;
    }

    /// So many bytes went each way through a tunnel.
    pub fn tunnelled(&mut self, up: u64, down: u64) {
        self.bytes_in += up;
        self.bytes_out += down;
    }

    pub fn completed(&mut self) {
        self.ending = Ending::Complete;
    }

    pub fn broke_off(&mut self) {
        self.ending = Ending::BrokeOff;
    }
}

/// nginx's number for "the client closed the connection"; no other is in such wide use.
const CLIENT_GONE: u16 = 499;

impl Drop for Journey {
    fn drop(&mut self) {
        if self.ending == Ending::HandedOver {
            return;
        }
        let took = self.began.elapsed();
        let status = match (self.status, self.ending) {
            (0, _) => CLIENT_GONE,
            (status, _) => status,
        };
        self.worker.metrics.request(RequestRecord {
            node: self.node,
            mode: self.mode,
            class: self.class,
            status,
            took,
        });
        let Some(noted) = &self.noted else { return };
        let node = self.node.and_then(|node| self.worker.nodes.get(node.0));
        let (method, target) = match &noted.path {
            Some(path) => (self.method.as_str(), &path[..]),
            None => ("-", &b"-"[..]),
        };
        self.worker.access.borrow_mut().line(&Entry {
            at: noted.at,
            client: self.client.address.ip(),
            method,
            target,
            status,
            took,
            head_after: noted.head_took,
            bytes_in: self.client.body_bytes() + self.bytes_in,
            bytes_out: self.bytes_out,
            node: node.map(|node| node.id.as_str()),
            mode: self.mode,
            class: self.class,
            request_id: self.id.as_bytes(),
            user_agent: noted.user_agent.as_ref().map(HeaderValue::as_bytes),
        });
    }
}
