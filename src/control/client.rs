//! The other end of the control socket: one connection per call, and typed answers.
//!
//! The gateway bounds every call, but a gateway that hangs bounds nothing: so short calls have a
//! time-out, and during long ones the gateway is asked now and then whether it still answers.

mod procedures;

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HOST, IF_MATCH};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::duration::show_duration;
use super::peer::peer_pid;
use super::problem::Problem;
use super::wire::{HistoryDoc, NodesDoc, StatusDoc, SwitchBody, SwitchDoc, WaitDoc};
use crate::model::limits::{
    ACCEPT_RETRY_DELAY, CONTROL_ANSWER_BYTES_MAX, CONTROL_ANSWER_WITHIN, SOCKET_PATH_BYTES_MAX,
};

/// With a full backlog a connect fails at once; tried this often, it is a second.
const CONNECTS_MAX: u32 = 20;

/// Why a call has no answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("there is no control socket at {}", .path.display())]
    NoSocket { path: PathBuf },
    #[error("no gateway listens on the control socket {}", .path.display())]
    NotServed { path: PathBuf },
    #[error("this user may not use the control socket {}", .path.display())]
    Denied { path: PathBuf },
    #[error(
        "the control socket's path {} has more than {SOCKET_PATH_BYTES_MAX} bytes",
        .path.display()
    )]
    TooLong { path: PathBuf },
    #[error("cannot connect to the control socket {}: {source}", .path.display())]
    Connect {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is no socket", .path.display())]
    NotASocket { path: PathBuf },
    #[error(
        "the gateway{} holds the control socket {} and did not answer within {}",
        .pid.map_or_else(String::new, |pid| format!(" (pid {pid})")), .path.display(),
        show_duration(*.within)
    )]
    Silent {
        path: PathBuf,
        pid: Option<i32>,
        within: Duration,
        /// It has been given a command.
        asked: bool,
    },
    #[error("the gateway on {} went away before it answered: {source}", .path.display())]
    Interrupted {
        path: PathBuf,
        #[source]
        source: hyper::Error,
    },
    #[error("what answers on {} is no gateway of this kind: {what}", .path.display())]
    Foreign { path: PathBuf, what: String },
    /// The gateway answered with a problem.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
}

impl ClientError {
    /// What the operator can do about it.
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::NoSocket { .. } => {
                "start the gateway; if it runs as another user, its socket is elsewhere (as root or \
                 under systemd /run/drawspan/control.sock, else below that user's $XDG_RUNTIME_DIR \
                 or at /tmp/drawspan-UID/control.sock): name it with --control or $DRAWSPAN_CONTROL, \
                 or use sudo"
                    .into()
            }
            Self::NotServed { .. } => "the gateway ended without an orderly stop: start it".into(),
            Self::Denied { .. } => "join the socket's group, or run this as an operator".into(),
            Self::TooLong { .. } => "choose a shorter path".into(),
            Self::Connect { .. } => "look at the gateway's log".into(),
            Self::NotASocket { .. } => "name the gateway's control socket".into(),
            Self::Silent { asked, .. } => {
                let open = if *asked { "; the command may still be carried out" } else { "" };
                format!(
                    "it is stopped or stuck: look at its process and its log, and restart it; it \
                     comes back as it was ordered, or raised{open}"
                )
            }
            Self::Interrupted { .. } => {
                "a command may have been carried out: look at `drawspan status`".into()
            }
            Self::Foreign { .. } => "check the path and the versions of both sides".into(),
            Self::Problem(problem) => return problem.remedy.clone(),
        })
    }
}

/// An answer, and the JSON text it came as.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    pub doc: T,
    pub raw: String,
}

/// What a switch is asked under, beside its body.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    /// The revision that the caller saw.
    pub revision: Option<u64>,
    pub idempotency_key: Option<String>,
}

/// A caller of one gateway.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
    answers_within: Duration,
}

type Called<T> = Result<T, ClientError>;

impl Client {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), answers_within: CONTROL_ANSWER_WITHIN }
    }

    /// As long as a gateway may take for a short answer before it counts as hanging.
    pub fn answering_within(mut self, limit: Duration) -> Self {
        self.answers_within = limit;
        self
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub async fn status(&self) -> Called<Answer<StatusDoc>> {
        self.prompt(self.get("/v1/status")).await
    }

    pub async fn nodes(&self) -> Called<Answer<NodesDoc>> {
        self.prompt(self.get("/v1/nodes")).await
    }

    pub async fn history(&self, limit: usize) -> Called<Answer<HistoryDoc>> {
        self.prompt(self.get(&format!("/v1/history?limit={limit}"))).await
    }

    /// Returns once the effect is true. Going away meanwhile cancels nothing. A gateway that hangs is
    /// not even asked: it might do it later, when nobody expects it any more.
    pub async fn switch(
        &self,
        body: &SwitchBody,
        conditions: &Conditions,
    ) -> Called<Answer<SwitchDoc>> {
        let mut request = request(Method::PUT, "/v1/mode").header(CONTENT_TYPE, "application/json");
        if let Some(revision) = conditions.revision {
            request = request.header(IF_MATCH, format!("\"{revision}\""));
        }
        if let Some(key) = &conditions.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if let Some(silent) = self.silence(false).await {
            return Err(silent);
        }
        self.attended(true, self.call(request, json(body))).await
    }

    /// Returns once the condition is met; its other two outcomes are problems.
    pub async fn wait(&self, condition: &str, limit: Duration) -> Called<Answer<WaitDoc>> {
        let millis = limit.as_millis();
        let uri = format!("/v1/wait?for={}&timeout={millis}ms", encode(condition));
        if let Some(silent) = self.silence(false).await {
            return Err(silent);
        }
        self.attended(false, self.get(&uri)).await
    }

    /// What happens from now on, or after a revision.
    pub async fn events(&self, after: Option<u64>) -> Called<Events> {
        let uri = match after {
            Some(revision) => format!("/v1/events?after={revision}"),
            None => "/v1/events".to_owned(),
        };
        let sent = self.send(request(Method::GET, &uri), Bytes::new());
        let (response, connection) = self.prompt(sent).await?;
        if !response.status().is_success() {
            return Err(self.problem(response).await);
        }
        let body = response.into_body();
        let buffer = BytesMut::new();
        Ok(Events { path: self.path.clone(), body, buffer, _connection: connection })
    }

    /// A call that a gateway that is well answers at once.
    async fn prompt<T>(&self, call: impl Future<Output = Called<T>>) -> Called<T> {
        match timeout(self.answers_within, call).await {
            Ok(called) => called,
            Err(_) => Err(self.silent(false).await),
        }
    }

    /// A call that may take long: for as long as the gateway answers others meanwhile.
    async fn attended<T>(&self, asked: bool, call: impl Future<Output = Called<T>>) -> Called<T> {
        let silence = async {
            loop {
                sleep(self.answers_within).await;
                if let Some(silent) = self.silence(asked).await {
                    return silent;
                }
            }
        };
        tokio::select! {
            biased;
            called = call => called,
            silent = silence => Err(silent),
        }
    }

    /// Does it give no answer at all? Any other failure is the call's own to meet.
    async fn silence(&self, asked: bool) -> Option<ClientError> {
        match self.status().await {
            Err(ClientError::Silent { path, pid, within, .. }) => {
                Some(ClientError::Silent { path, pid, within, asked })
            }
            _ => None,
        }
    }

    async fn silent(&self, asked: bool) -> ClientError {
        // The kernel tells who listens, whether or not that one accepts.
        let stream = UnixStream::connect(&self.path).await.ok();
        let pid = stream.and_then(|stream| peer_pid(stream.as_fd()));
        ClientError::Silent { path: self.path.clone(), pid, within: self.answers_within, asked }
    }

    async fn get<T: DeserializeOwned>(&self, uri: &str) -> Called<Answer<T>> {
        self.call(request(Method::GET, uri), Bytes::new()).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        request: http::request::Builder,
        body: Bytes,
    ) -> Called<Answer<T>> {
        let (response, _connection) = self.send(request, body).await?;
        if !response.status().is_success() {
            return Err(self.problem(response).await);
        }
        let raw = self.text(response.into_body()).await?;
        let doc = serde_json::from_str(&raw)
            .map_err(|error| self.foreign(format!("its answer is not understood: {error}")))?;
        Ok(Answer { doc, raw })
    }

    /// The connection lives in the set, and ends with it.
    async fn send(
        &self,
        request: http::request::Builder,
        body: Bytes,
    ) -> Called<(Response<Incoming>, JoinSet<()>)> {
        let interrupted = |source| ClientError::Interrupted { path: self.path.clone(), source };
        let request = request
            .body(Full::new(body))
            .map_err(|error| self.foreign(format!("the call cannot be written: {error}")))?;
        let stream = TokioIo::new(self.connect().await?);
        let (mut sender, connection) =
            http1::handshake::<_, Full<Bytes>>(stream).await.map_err(interrupted)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // The call itself meets the same error and reports it.
            let _ = connection.await;
        });
        let response = sender.send_request(request).await.map_err(interrupted)?;
        Ok((response, tasks))
    }

    async fn connect(&self) -> Called<UnixStream> {
        let path = || self.path.clone();
        if SOCKET_PATH_BYTES_MAX < self.path.as_os_str().len() {
            return Err(ClientError::TooLong { path: path() });
        }
        let mut tries = 0;
        loop {
            tries += 1;
            match UnixStream::connect(&self.path).await {
                Ok(stream) => return Ok(stream),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock if tries < CONNECTS_MAX => {
                        tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                    }
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                        return Err(ClientError::NoSocket { path: path() });
                    }
                    io::ErrorKind::ConnectionRefused => {
                        let found = std::fs::metadata(&self.path);
                        let socket = found.is_ok_and(|found| found.file_type().is_socket());
                        return Err(match socket {
                            true => ClientError::NotServed { path: path() },
                            false => ClientError::NotASocket { path: path() },
                        });
                    }
                    io::ErrorKind::PermissionDenied => {
                        return Err(ClientError::Denied { path: path() });
                    }
                    _ => return Err(ClientError::Connect { path: path(), source: error }),
                },
            }
        }
    }

    async fn problem(&self, response: Response<Incoming>) -> ClientError {
        let status = response.status();
        match self.text(response.into_body()).await {
            Ok(text) => match serde_json::from_str(&text) {
                Ok(problem) => ClientError::Problem(Box::new(problem)),
                Err(_) => self.foreign(format!("it answers {status} without a problem document")),
            },
            Err(error) => error,
        }
    }

    async fn text(&self, body: Incoming) -> Called<String> {
        let body =
            Limited::new(body, CONTROL_ANSWER_BYTES_MAX).collect().await.map_err(|error| {
                match error.downcast::<hyper::Error>() {
                    Ok(source) => {
                        ClientError::Interrupted { path: self.path.clone(), source: *source }
                    }
                    Err(too_long) => self.foreign(format!("its answer is too long: {too_long}")),
                }
            })?;
        String::from_utf8(body.to_bytes().into())
            .map_err(|_| self.foreign("its answer is no text".to_owned()))
    }

    fn foreign(&self, what: String) -> ClientError {
        ClientError::Foreign { path: self.path.clone(), what }
    }
}

/// Lines of `/v1/events`.
#[derive(Debug)]
pub struct Events {
    path: PathBuf,
    body: Incoming,
    buffer: BytesMut,
    _connection: JoinSet<()>,
}

impl Events {
    /// The next line without its end; `None` once the gateway has ended the stream.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Called<Option<String>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                return Ok(Some(String::from_utf8_lossy(&line[..end]).into_owned()));
            }
            if CONTROL_ANSWER_BYTES_MAX < self.buffer.len() {
                let what = "a line of its events does not end".to_owned();
                return Err(ClientError::Foreign { path: self.path.clone(), what });
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                Some(Err(source)) => {
                    return Err(ClientError::Interrupted { path: self.path.clone(), source });
                }
            }
        }
    }
}

fn request(method: Method, uri: &str) -> http::request::Builder {
    Request::builder().method(method).uri(uri).header(HOST, "drawspan")
}

fn json(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body)
        .expect("the wire's documents hold only strings, numbers and lists under string keys")
        .into()
}

/// Percent-encodes what may not stand in a query as it is.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:=".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
