//! The resources of procedures: what would happen, what does, what did; and what is said to them.

use std::sync::Arc;

use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;

use super::answer::{self, Body, Outcome};
use super::audit::Attempt;
use super::problem::{Code, Problem};
use super::query::Query;
use super::router::{Asker, read, unknown_ending};
use super::say;
use super::server::Server;
use super::wire::{
    PastEventDoc, PastProcedureDoc, PlanDoc, ProcedureDoc, ProcedureHistoryDoc, ProceduresDoc,
    SaidDoc,
};
use crate::engine::{Caller, ChoiceCommand, Commands, ProcedureError, ProcedureReply};
use crate::model::{NodeId, Revision};

pub(super) async fn plan<E: Commands>(
    server: &Server<E>,
    query: Option<&str>,
) -> Outcome<Response<Body>> {
    let query = Query::parse(query, &["procedure", "to", "node"])?;
    let command = say::plan(&query)?;
    let revision = server.engine.status().await.revision;
    match server.engine.plan(command).await {
        Ok(plan) => Ok(answer::document(revision, &PlanDoc::from(&plan))),
        Err(error) => Err(Box::new(Problem::from_procedure(&error, revision))),
    }
}

pub(super) async fn list<E: Commands>(
    server: &Server<E>,
    query: Option<&str>,
) -> Outcome<Response<Body>> {
    Query::parse(query, &[])?;
    let past = server.engine.procedures(None).await;
    let revision = server.engine.status().await.revision;
    let procedures = past.iter().map(PastProcedureDoc::from).collect();
    Ok(answer::document(revision, &ProceduresDoc { revision: revision.0, procedures }))
}

/// One procedure with its events. Its ETag is what a choice answers.
pub(super) async fn one<E: Commands>(
    server: &Server<E>,
    id: u64,
    query: Option<&str>,
) -> Outcome<Response<Body>> {
    Query::parse(query, &[])?;
    let past = server.engine.procedures(Some(id)).await;
    let Some(past) = past.iter().find(|past| past.id == id) else {
        let problem = Problem::new(Code::NotFound, format!("there is no procedure {id}"));
        let remedy = "the history lists those that the journal still has";
        return Err(Box::new(problem.with_remedy(remedy)));
    };
    let shown = server.engine.status().await.procedure.filter(|shown| shown.view.id == id);
    let procedure = shown.as_deref().map(ProcedureDoc::from);
    let last = past.events.last().map_or(Revision(id), |event| event.revision);
    let revision = procedure.as_ref().map_or(last, |now| Revision(now.revision));
    let events = past.events.iter().map(PastEventDoc::from).collect();
    let doc = ProcedureHistoryDoc { past: past.into(), events, procedure };
    Ok(answer::document(revision, &doc))
}

pub(super) async fn begin<E: Commands>(
    server: &Arc<Server<E>>,
    asker: Asker<'_>,
    request: Request<Incoming>,
) -> Outcome<Response<Body>> {
    let said = Said::read(server, asker, request, say::begin);
    let Said { command, mut attempt } = said.await?;
    let _changing = asker.seat.changes();
    let seen = server.engine.status().await.revision;
    let plan = &command.plan;
    let to = plan.to.as_ref().map_or_else(String::new, |to| format!(" to {to}"));
    let node = plan.node.as_ref().map_or_else(String::new, |node| format!(" with {node}"));
    let auto = if command.auto { " on its own" } else { "" };
    attempt.asks(format!("begin {}{to}{node}{auto}", plan.kind), command.why.as_ref(), seen);
    let engine = server.engine.clone();
    let begun = server.given_up.run_until_cancelled(engine.begin(command)).await;
    let reply = ended(attempt, begun, seen)?;
    let location = format!("/v1/procedures/{}", reply.id);
    Ok(answer::created(&location, answered_revision(&reply), &SaidDoc::from(&reply)))
}

pub(super) async fn choose<E: Commands>(
    server: &Arc<Server<E>>,
    asker: Asker<'_>,
    at: (u64, &'static str),
    request: Request<Incoming>,
) -> Outcome<Response<Body>> {
    let parse = |headers: &HeaderMap, body: &[u8], by| say::choice(at, headers, body, by);
    let said = Said::read(server, asker, request, parse).await?;
    tell(server, asker, said).await
}

pub(super) async fn include<E: Commands>(
    server: &Arc<Server<E>>,
    asker: Asker<'_>,
    node: &NodeId,
    request: Request<Incoming>,
) -> Outcome<Response<Body>> {
    let parse = |headers: &HeaderMap, body: &[u8], by| say::include(node, headers, body, by);
    let said = Said::read(server, asker, request, parse).await?;
    tell(server, asker, said).await
}

async fn tell<E: Commands>(
    server: &Arc<Server<E>>,
    asker: Asker<'_>,
    Said { command, mut attempt }: Said<ChoiceCommand>,
) -> Outcome<Response<Body>> {
    let _changing = asker.seat.changes();
    let seen = server.engine.status().await.revision;
    attempt.asks(words(&command), command.why.as_ref(), seen);
    let engine = server.engine.clone();
    let chosen = server.given_up.run_until_cancelled(engine.choose(command)).await;
    let reply = ended(attempt, chosen, seen)?;
    Ok(answer::document(answered_revision(&reply), &SaidDoc::from(&reply)))
}

/// What is said, as the audit has it.
fn words(command: &ChoiceCommand) -> String {
    let to = command.id.map_or_else(String::new, |id| format!(" to procedure {id}"));
    let answers = command.answers.as_ref().map_or_else(String::new, |(phase, revision)| {
        format!(" in phase {phase} at revision {revision}")
    });
    format!("{}{to}{answers}", command.choice)
}

/// What the next choice answers, where a procedure is concerned.
fn answered_revision(reply: &ProcedureReply) -> Revision {
    reply.view.as_ref().map_or(reply.revision, |view| Revision(view.stamp))
}

/// A command that was read, and its attempt.
struct Said<C> {
    command: C,
    attempt: Attempt,
}

impl<C> Said<C> {
    async fn read<E: Commands>(
        server: &Server<E>,
        asker: Asker<'_>,
        request: Request<Incoming>,
        parse: impl FnOnce(&HeaderMap, &[u8], Caller) -> Outcome<C>,
    ) -> Outcome<Self> {
        let what = format!("POST {}", request.uri().path());
        let (by, attempt) = asker.operator(&what).await?;
        let command = match read(server, request).await {
            Ok((headers, body)) => parse(&headers, &body, by),
            Err(problem) => Err(problem),
        };
        match command {
            Ok(command) => Ok(Self { command, attempt }),
            Err(problem) => {
                attempt.ended(&problem.code);
                Err(problem)
            }
        }
    }
}

/// Audits how it ended. `None` where the gateway gave up waiting: that is not known.
fn ended(
    attempt: Attempt,
    answered: Option<Result<ProcedureReply, ProcedureError>>,
    seen: Revision,
) -> Outcome<ProcedureReply> {
    match answered {
        None => Err(Box::new(unknown_ending())),
        Some(Ok(reply)) => {
            attempt.ended(if reply.replayed { "unchanged" } else { "done" });
            Ok(reply)
        }
        Some(Err(error)) => {
            attempt.ended(error.code());
            Err(Box::new(Problem::from_procedure(&error, seen)))
        }
    }
}
