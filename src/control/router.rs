//! From a request on the control socket to its answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};
use tokio_util::either::Either;

use super::access::Role;
use super::answer::{self, Body, Outcome};
use super::audit::Attempt;
use super::duration::{parse_duration, show_duration};
use super::peer::Peer;
use super::problem::{Code, Fault, Problem};
use super::query::Query;
use super::route::Route;
use super::seats::{Busy, Seat};
use super::server::Server;
use super::wait::{Condition, Waited, wait};
use super::wire::{HistoryDoc, NodesDoc, StatusDoc, SwitchDoc, WaitDoc};
use super::{change, events, procedures, users};
use crate::engine::{After, Caller, Commands, SwitchCommand, SwitchError, SwitchReply};
use crate::model::limits::{
    CONTROL_BODY_BYTES_MAX, HISTORY_MAX, HISTORY_SHOWN, WAIT_TIMEOUT, WAIT_TIMEOUT_MAX,
};
use crate::model::{Mode, Revision};

/// What became of a connection at the door.
#[derive(Clone, Debug)]
pub enum Admission {
    Admitted {
        peer: Peer,
        role: Role,
        seat: Arc<Seat>,
    },
    /// Every seat that this caller may have is taken.
    Full {
        _permit: Arc<OwnedSemaphorePermit>,
    },
    /// No role.
    Stranger {
        peer: Peer,
        _permit: Arc<OwnedSemaphorePermit>,
    },
}

impl Admission {
    pub fn seat(&self) -> Option<Arc<Seat>> {
        match self {
            Self::Admitted { seat, .. } => Some(seat.clone()),
            Self::Full { .. } | Self::Stranger { .. } => None,
        }
    }
}

/// Answers one request; never fails, since a problem is an answer too.
///
/// A change has a task of its own from this very call on, before anything is waited for: hyper drops
/// the future when its client leaves, and a client that leaves cancels nothing.
pub fn answer<E: Commands>(
    server: &Arc<Server<E>>,
    admission: &Admission,
    request: Request<Incoming>,
) -> impl Future<Output = Response<Body>> + use<E> {
    let changes = changes(&request);
    let answered = answered(server.clone(), admission.clone(), request);
    let task = |answered| server.tasks.spawn(answered);
    let answering = if changes { Either::Left(task(answered)) } else { Either::Right(answered) };
    async move {
        match answering {
            Either::Left(task) => task.await.unwrap_or_else(|_| answer::problem(&unknown_ending())),
            Either::Right(answered) => answered.await,
        }
    }
}

fn changes(request: &Request<Incoming>) -> bool {
    request.method() == Method::PUT || request.method() == Method::POST
}

async fn answered<E: Commands>(
    server: Arc<Server<E>>,
    admission: Admission,
    request: Request<Incoming>,
) -> Response<Body> {
    let answered = match admission {
        Admission::Full { .. } => Err(Box::new(
            Problem::new(Code::Busy, "every connection of the control socket is taken")
                .with_remedy("end commands that wait or listen, or ask again in a moment"),
        )),
        Admission::Stranger { peer, .. } => stranger(&peer, &request).await,
        Admission::Admitted { peer, role, seat } => {
            route(&server, (peer, role, seat), request).await
        }
    };
    answered.unwrap_or_else(|problem| answer::problem(&problem))
}

pub(super) fn unknown_ending() -> Problem {
    Problem::new(Code::Internal, "the command was begun; whether it ended is not known")
        .with_remedy("look at the status and at the gateway's log")
}

/// A caller without a role learns nothing; that it tried a change is audited all the same.
async fn stranger(peer: &Peer, request: &Request<Incoming>) -> Outcome<Response<Body>> {
    if changes(request) {
        let what = request.method().as_str();
        Attempt::begin(caller(peer).await, what).ended(Code::NotAllowed.as_str());
    }
    let detail = format!("user {} has no role on this control socket", peer.uid);
    Err(Box::new(
        Problem::new(Code::NotAllowed, detail)
            .with_remedy("join the socket's group, or ask for a role in the configuration"),
    ))
}

async fn route<E: Commands>(
    server: &Arc<Server<E>>,
    (peer, role, seat): (Peer, Role, Arc<Seat>),
    request: Request<Incoming>,
) -> Outcome<Response<Body>> {
    let route = Route::of(request.uri().path())?;
    if !route.allows().split(", ").any(|method| method == request.method().as_str()) {
        return Ok(answer::method_not_allowed(route.allows()));
    }
    let query = request.uri().query();
    let asker = Asker { peer: &peer, role, seat: &seat };
    // A change has not asked before its body is there; those who listen are counted by themselves.
    let _answering = match &route {
        Route::Status | Route::Nodes | Route::History | Route::Plan | Route::Procedure(_) => {
            Some(seat.answers())
        }
        Route::Procedures if !changes(&request) => Some(seat.answers()),
        Route::Procedures
        | Route::Mode
        | Route::Wait
        | Route::Events
        | Route::Choice(..)
        | Route::Include(_) => None,
    };
    match route {
        Route::Status => {
            Query::parse(query, &[])?;
            let status = server.engine.status().await;
            Ok(answer::document(status.revision, &StatusDoc::from(&status)))
        }
        Route::Nodes => {
            Query::parse(query, &[])?;
            let status = server.engine.status().await;
            Ok(answer::document(status.revision, &NodesDoc::from(&status)))
        }
        Route::History => history(server, query).await,
        Route::Wait => waited(server, &seat, query).await,
        Route::Events => listen(server, &seat, query),
        Route::Mode => switch(server, asker, request).await,
        Route::Plan => procedures::plan(server, query).await,
        Route::Procedures if changes(&request) => procedures::begin(server, asker, request).await,
        Route::Procedures => procedures::list(server, query).await,
        Route::Procedure(id) => procedures::one(server, id, query).await,
        Route::Choice(id, verb) => procedures::choose(server, asker, (id, verb), request).await,
        Route::Include(node) => procedures::include(server, asker, &node, request).await,
    }
}

/// Who asks, and where it sits.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    peer: &'a Peer,
    role: Role,
    pub(super) seat: &'a Arc<Seat>,
}

impl Asker<'_> {
    /// Who wants to change something, if it may: who may not cannot even make us read a body.
    pub(super) async fn operator(&self, what: &str) -> Outcome<(Caller, Attempt)> {
        let by = caller(self.peer).await;
        let attempt = Attempt::begin(by.clone(), what);
        if self.role == Role::Operator {
            return Ok((by, attempt));
        }
        attempt.ended(Code::NotAllowed.as_str());
        let detail = format!("{} is a {} and may not change anything", by.name, self.role.as_str());
        let problem = Problem::new(Code::NotAllowed, detail);
        Err(Box::new(problem.with_remedy("ask an operator of this gateway")))
    }
}

async fn history<E: Commands>(server: &Server<E>, query: Option<&str>) -> Outcome<Response<Body>> {
    let query = Query::parse(query, &["limit"])?;
    let what = format!("must be a number from 1 to {HISTORY_MAX}");
    let limit = query.value("limit", &what)?.unwrap_or(HISTORY_SHOWN);
    if !(1..=HISTORY_MAX).contains(&limit) {
        return Err(Box::new(Problem::bad_request(vec![Fault::new("limit", what)])));
    }
    let entries = server.engine.history(limit).await;
    let mut procedures = server.engine.procedures(None).await;
    procedures.truncate(limit);
    let revision = server.engine.status().await.revision;
    Ok(answer::document(revision, &HistoryDoc::new(revision, &entries, &procedures)))
}

fn listen<E: Commands>(
    server: &Server<E>,
    seat: &Arc<Seat>,
    query: Option<&str>,
) -> Outcome<Response<Body>> {
    let query = Query::parse(query, &["after", "after_seq"])?;
    let revision = query.value("after", "must be a revision")?.map(Revision).map(After::Revision);
    let seq = query.value("after_seq", "must be an event's seq")?.map(After::Seq);
    let after = seq.or(revision);
    let listening = listening(seat)?;
    let (kept, live) = server.engine.events(after);
    let body = events::stream(&server.tasks, (kept, live), server.stop.clone(), listening);
    Ok(answer::stream(body, "application/x-ndjson"))
}

/// Those who listen may do so for as long as they like: so that they leave room, they are few.
fn listening(seat: &Arc<Seat>) -> Outcome<Busy> {
    seat.listens().ok_or_else(|| {
        Box::new(
            Problem::new(Code::Busy, "as many callers wait or listen to events as may at a time")
                .with_remedy("end some of the commands that wait or listen"),
        )
    })
}

async fn waited<E: Commands>(
    server: &Server<E>,
    seat: &Arc<Seat>,
    query: Option<&str>,
) -> Outcome<Response<Body>> {
    let query = Query::parse(query, &["for", "timeout"])?;
    let (condition, limit) = wait_parameters(&query)?;
    let _listening = listening(seat)?;
    let began = Instant::now();
    let stopping = || {
        Problem::new(Code::Stopping, "the gateway stops; the condition was not met before")
            .with_remedy("ask again once the gateway runs")
    };
    let with_state = |problem: Problem, revision: Revision, mode: &Mode| {
        Err(Box::new(Problem { revision: Some(revision.0), mode: Some(mode.into()), ..problem }))
    };
    match wait(&server.engine, &condition, began + limit, &server.stop).await {
        Waited::Met(status) => {
            let doc = WaitDoc {
                condition: condition.to_string(),
                outcome: "met".to_owned(),
                revision: status.revision.0,
                mode: (&status.mode).into(),
                took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            };
            Ok(answer::document(status.revision, &doc))
        }
        Waited::Never(why, status) => {
            let problem = Problem::new(Code::CanNeverBeMet, format!("{condition}: {why}"));
            with_state(problem, status.revision, &status.mode)
        }
        Waited::TimedOut(status) => {
            let limit = show_duration(limit);
            let detail = format!("{condition} was not met within {limit}");
            let problem = Problem::new(Code::TimedOut, detail)
                .with_remedy("look at the status, or wait longer");
            with_state(problem, status.revision, &status.mode)
        }
        Waited::Stopping => Err(Box::new(stopping())),
    }
}

fn wait_parameters(query: &Query) -> Outcome<(Condition, Duration)> {
    let mut faults = Vec::new();
    let condition = query.text("for").map(str::parse::<Condition>);
    let limit = query.text("timeout").map_or(Ok(WAIT_TIMEOUT), parse_duration);
    match &condition {
        None => faults.push(Fault::new("for", "missing: the condition, as mode=maintenance")),
        Some(Err(error)) => faults.push(Fault::new("for", error.to_string())),
        Some(Ok(_)) => {}
    }
    match &limit {
        Err(error) => faults.push(Fault::new("timeout", error.to_string())),
        Ok(limit) if WAIT_TIMEOUT_MAX < *limit => {
            let most = show_duration(WAIT_TIMEOUT_MAX);
            faults.push(Fault::new("timeout", format!("must be at most {most}")));
        }
        Ok(_) => {}
    }
    match (condition, limit) {
        (Some(Ok(condition)), Ok(limit)) if faults.is_empty() => Ok((condition, limit)),
        _ => Err(Box::new(Problem::bad_request(faults))),
    }
}

/// Reads, checks and makes a switch.
async fn switch<E: Commands>(
    server: &Arc<Server<E>>,
    asker: Asker<'_>,
    request: Request<Incoming>,
) -> Outcome<Response<Body>> {
    let (by, attempt) = asker.operator("PUT /v1/mode").await?;
    let command = match read_command(server, request, by).await {
        Ok(command) => command,
        Err(problem) => {
            attempt.ended(&problem.code);
            return Err(problem);
        }
    };
    let _changing = asker.seat.changes();
    let seen = server.engine.status().await.revision;
    let switched = run(server, attempt, command, seen).await;
    match switched {
        Some(Ok(reply)) => Ok(answer::document(reply.revision, &SwitchDoc::from(&reply))),
        Some(Err(error)) => Err(Box::new(Problem::from_switch(&error, seen))),
        None => Err(Box::new(unknown_ending())),
    }
}

async fn read_command<E: Commands>(
    server: &Server<E>,
    request: Request<Incoming>,
    by: Caller,
) -> Outcome<SwitchCommand> {
    let (headers, body) = read(server, request).await?;
    change::parse(&headers, &body, server.settings.drain_timeout, by)
}

/// What a change says: it has no query, and its body is whole.
pub(super) async fn read<E: Commands>(
    server: &Server<E>,
    request: Request<Incoming>,
) -> Outcome<(HeaderMap, Bytes)> {
    Query::parse(request.uri().query(), &[])?;
    let (head, body) = request.into_parts();
    let body = read_body(body, server.settings.bounds.read_timeout).await?;
    Ok((head.headers, body))
}

async fn read_body(body: Incoming, limit: Duration) -> Outcome<Bytes> {
    let too_large = || {
        let detail = format!("the body has more than {CONTROL_BODY_BYTES_MAX} bytes");
        Problem::new(Code::BodyTooLarge, detail)
    };
    if usize::try_from(body.size_hint().lower()).is_ok_and(|size| CONTROL_BODY_BYTES_MAX < size) {
        return Err(Box::new(too_large()));
    }
    let problem = match timeout(limit, Limited::new(body, CONTROL_BODY_BYTES_MAX).collect()).await {
        Ok(Ok(body)) => return Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => too_large(),
        Ok(Err(error)) => {
            Problem::bad_request(vec![Fault::new("", format!("the body cannot be read: {error}"))])
        }
        Err(_) => {
            let detail = format!("the body did not arrive within {}", show_duration(limit));
            Problem::new(Code::ReadTimeout, detail)
        }
    };
    Err(Box::new(problem))
}

/// Runs the command and audits how it ended; `None` where that is not known.
async fn run<E: Commands>(
    server: &Arc<Server<E>>,
    mut attempt: Attempt,
    command: SwitchCommand,
    seen: Revision,
) -> Option<Result<SwitchReply, SwitchError>> {
    let forced = if command.force.is_some() { " by force" } else { "" };
    attempt.asks(format!("mode {}{forced}", command.target), command.why.as_ref(), seen);
    let engine = server.engine.clone();
    let switched = server.given_up.run_until_cancelled(engine.switch(command)).await?;
    attempt.ended(match &switched {
        Ok(reply) if reply.changed => "done",
        Ok(_) => "unchanged",
        Err(error) => error.code(),
    });
    Some(switched)
}

async fn caller(peer: &Peer) -> Caller {
    let uid = peer.uid;
    let name = tokio::task::spawn_blocking(move || users::user_name(uid)).await;
    Caller { uid, name: name.unwrap_or_else(|_| format!("uid {uid}")), pid: peer.pid }
}
