//! The JSON documents of the control socket, as the server writes and the client reads them.
//!
//! A document only ever gains fields: the client ignores those it does not know, so that an
//! older command line still reads a newer gateway. What a client *sends* is checked strictly, by
//! `control::change`.

mod event;
mod status;
mod switch;

pub use event::{EventDoc, What};
pub use status::{
    AnswerDoc, HistoryDoc, ModeDoc, MustRestartDoc, NodeDoc, NodesDoc, PastSwitchDoc,
    RunningSwitchDoc, StatusDoc,
};
pub use switch::{NodeLeftDoc, NowDoc, ObjectionDoc, SwitchBody, SwitchDoc, WaitDoc};
