//! Where clients come in: listeners, connections, their limits, and leaving in order.

mod accept;
mod answering;
mod connection;
mod exchange;
mod listen;
mod places;
mod run;

pub use accept::Slots;
pub use listen::{Gate, ListenError, Listeners, bind};
pub use run::{Leaving, Post, WorkerThread, spawn};
