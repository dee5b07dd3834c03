//! The three procedures (first start, upgrade, in-app maintenance), as pure decisions.
//!
//! What happened is a list of [`Event`]s; [`step`] folds them into a [`Procedure`], live and when the
//! journal is read again. Four questions are asked of a procedure and the present [`Facts`]:
//! [`digest`] (which event do the facts make?), [`choose`] (may the operator do this?), [`wanted`]
//! (what should be done now?) and [`view`] (what is there to see?). None of them reads a clock or
//! touches anything; whoever calls them writes the event into the journal before its effect.

mod choice;
mod digest;
mod event;
mod facts;
mod job;
mod objection;
mod phase;
mod plan;
mod proof;
mod state;
mod step;
#[cfg(test)]
mod tests;
mod view;
mod waiver;
mod want;
mod ways_back;

pub use choice::{Choice, Refused, Said, choose};
pub use digest::digest;
pub use event::{Event, FoundJob};
pub use facts::{Facts, Image, NodeFacts, NodeStatus, Reported};
pub use job::{Artefact, Ending, Flaw, Job, JobState, Ticket, Work};
pub use objection::{Objection, ObjectionKind};
pub use phase::{Kind, Phase, Road};
pub use plan::{
    Before, Begin, Bounds, Means, Member, NodeMeans, PhaseLimits, PlannedPhase, planned,
};
pub use proof::{Proof, Standing, standing};
pub use state::{Backup, Course, Excluded, Hold, NodeRecord, Outcome, Procedure};
pub use step::{Misplaced, step};
pub use view::{Offer, View, view};
pub use waiver::Waiver;
pub use want::{Effect, wanted};
