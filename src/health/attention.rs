//! What others ask of the probes: to look now, to look again, to look closely.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Kicks;
use crate::model::Pace;
use crate::routing::NodeIndex;

/// Directs the probes. Cheap to clone; nothing here waits, and a node that is not there is no
/// error.
#[derive(Clone, Debug)]
pub struct Attention {
    kicks: Kicks,
    closely: Arc<AtomicBool>,
    /// By node: its build and plugins are to be looked up again.
    again: Arc<[AtomicBool]>,
}

impl Attention {
    pub(super) fn new(kicks: Kicks) -> Self {
        let again = (0..kicks.0.len()).map(|_| AtomicBool::new(false)).collect();
        Self { kicks, closely: Arc::default(), again }
    }

    /// The next probe of this node comes now rather than at its turn.
    pub fn probe_soon(&self, index: NodeIndex) {
        self.kicks.kick(index);
    }

    /// The next round in which this node is ready looks its build and plugins up again. What was
    /// found before stays on the board until then: `looked_up` tells the two apart.
    pub fn look_again(&self, index: NodeIndex) {
        if let Some(again) = self.again.get(index.0) {
            again.store(true, Ordering::Release);
        }
    }

    /// From now on all nodes are probed at this pace; a turn that is far off is brought forward.
    pub fn hurry(&self, pace: Pace) {
        let closely = match pace {
            Pace::Usual => false,
            Pace::Closely => true,
        };
        if !self.closely.swap(closely, Ordering::AcqRel) && closely {
            (0..self.again.len()).for_each(|index| self.probe_soon(NodeIndex(index)));
        }
    }

    pub(super) fn pace(&self) -> Pace {
        if self.closely.load(Ordering::Acquire) { Pace::Closely } else { Pace::Usual }
    }

    /// Whether a look was asked for since the last call.
    pub(super) fn wants_look(&self, index: NodeIndex) -> bool {
        self.again.get(index.0).is_some_and(|again| again.swap(false, Ordering::AcqRel))
    }
}
