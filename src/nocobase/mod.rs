//! What NocoBase says and expects, as pure functions over text and values.

mod action;
mod answer;
mod error;
mod facts;
mod paths;
mod request;

pub use action::{Guard, Method, Replay};
pub use answer::{Answer, ProbeAnswer, Reading, ReadingKind, Source, build_of, judge};
pub use error::{Maintaining, notice_json};
pub use facts::{plugins_of, version_of};
pub use paths::Paths;
pub use request::{RequestClass, RequestFacts, RequestHead, path_of};
