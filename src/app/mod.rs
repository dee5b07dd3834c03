//! Wiring: composes the gateway from its parts, starts them in order, stops them in order.

mod audit;
mod evidence;
mod limits;
mod recover;
mod start;
mod stop;

pub use start::{Gateway, StartError, start};
pub use stop::Ending;
