//! The JSON documents of the control socket, as the server writes and the client reads them.
//!
//! A document only ever gains fields: the client ignores those it does not know, so that an
//! older command line still reads a newer gateway. What a client *sends* is checked strictly, by
//! `control::change` and `control::say`.

mod event;
mod procedure;
mod status;
mod switch;

pub use event::{EventDoc, What};
pub use procedure::{
    BeforeDoc, BeginBody, ChoiceBody, ChoiceDoc, EvidenceDoc, ExcludedDoc, JobDoc, LogDoc,
    OutputDoc, PastEventDoc, PastProcedureDoc, PhaseDoc, PlanDoc, PlannedPhaseDoc, ProcedureDoc,
    ProcedureHistoryDoc, ProceduresDoc, SaidDoc,
};
pub use status::{
    AnswerDoc, HistoryDoc, ModeDoc, MustRestartDoc, NodeDoc, NodesDoc, PastSwitchDoc,
    RunningSwitchDoc, StatusDoc,
};
pub use switch::{NodeLeftDoc, NowDoc, ObjectionDoc, SwitchBody, SwitchDoc, WaitDoc};
