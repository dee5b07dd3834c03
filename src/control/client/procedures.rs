//! The calls about procedures.

use http::Method;
use http::header::{CONTENT_TYPE, IF_MATCH};

use super::{Answer, Called, Client, Conditions, encode, json, request};
use crate::control::wire::{
    BeginBody, ChoiceBody, PlanDoc, ProcedureHistoryDoc, ProceduresDoc, SaidDoc,
};

impl Client {
    /// What a procedure would do. `node` is its first or its kept one.
    pub async fn plan(
        &self,
        procedure: &str,
        to: Option<&str>,
        node: Option<&str>,
    ) -> Called<Answer<PlanDoc>> {
        let mut uri = format!("/v1/plan?procedure={}", encode(procedure));
        for (name, value) in [("to", to), ("node", node)] {
            if let Some(value) = value {
                uri.push_str(&format!("&{name}={}", encode(value)));
            }
        }
        self.prompt(self.get(&uri)).await
    }

    pub async fn procedures(&self) -> Called<Answer<ProceduresDoc>> {
        self.prompt(self.get("/v1/procedures")).await
    }

    /// One procedure with everything that happened to it.
    pub async fn procedure(&self, id: u64) -> Called<Answer<ProcedureHistoryDoc>> {
        self.prompt(self.get(&format!("/v1/procedures/{id}"))).await
    }

    /// Returns once the begin is in the journal. Going away meanwhile cancels nothing.
    pub async fn begin(
        &self,
        body: &BeginBody,
        conditions: &Conditions,
    ) -> Called<Answer<SaidDoc>> {
        self.say("/v1/procedures", body, conditions).await
    }

    /// Says something to a procedure; returns once it is in the journal. Going away meanwhile
    /// cancels nothing.
    pub async fn choose(
        &self,
        (id, verb): (u64, &str),
        body: &ChoiceBody,
        conditions: &Conditions,
    ) -> Called<Answer<SaidDoc>> {
        self.say(&format!("/v1/procedures/{id}/{verb}"), body, conditions).await
    }

    /// Takes a node back outside a procedure.
    pub async fn include(
        &self,
        node: &str,
        body: &ChoiceBody,
        conditions: &Conditions,
    ) -> Called<Answer<SaidDoc>> {
        self.say(&format!("/v1/nodes/{}/include", encode(node)), body, conditions).await
    }

    async fn say(
        &self,
        uri: &str,
        body: &impl serde::Serialize,
        conditions: &Conditions,
    ) -> Called<Answer<SaidDoc>> {
        let mut request = request(Method::POST, uri).header(CONTENT_TYPE, "application/json");
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
}
