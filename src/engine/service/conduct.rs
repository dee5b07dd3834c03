//! Conducting a procedure.

use super::super::{
    BeginCommand, ChoiceCommand, Plan, PlanCommand, ProcedureError, ProcedureReply,
};
use super::Engine;

impl Engine {
    pub(super) fn plan(&self, _: &PlanCommand) -> Result<Plan, ProcedureError> {
        Err(ProcedureError::NoneRuns)
    }

    pub(super) async fn begin_procedure(
        &mut self,
        _: BeginCommand,
    ) -> Result<ProcedureReply, ProcedureError> {
        Err(ProcedureError::NoneRuns)
    }

    pub(super) async fn choose(
        &mut self,
        _: ChoiceCommand,
    ) -> Result<ProcedureReply, ProcedureError> {
        Err(ProcedureError::NoneRuns)
    }
}
