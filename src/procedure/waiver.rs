//! The objections that operators went over, and what such a word still holds for.

use serde::{Deserialize, Serialize};

use super::{Objection, ObjectionKind, Procedure};
use crate::model::{NodeId, Timestamp};

/// An objection that an operator went over.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Waiver {
    /// As [`super::Objection::id`].
    pub objection: String,
    pub why: String,
    pub by: String,
    pub at: Timestamp,
}

impl Waiver {
    pub(super) fn kind(&self) -> Option<ObjectionKind> {
        ObjectionKind::named(&self.objection).map(|(kind, _)| kind)
    }

    fn is_of(&self, kind: ObjectionKind, node: Option<&NodeId>) -> bool {
        self.objection == kind.id(node)
    }
}

impl Procedure {
    /// Does nothing but an operator's word say that it is down?
    pub(super) fn is_down_by_word(&self, id: &NodeId) -> bool {
        self.waived(ObjectionKind::NotDown, Some(id)).is_some()
    }

    pub(super) fn waived(&self, kind: ObjectionKind, node: Option<&NodeId>) -> Option<&Waiver> {
        self.waivers.iter().find(|waiver| waiver.is_of(kind, node))
    }

    /// The word that went over this objection, where that is possible at all.
    pub(super) fn went_over(&self, objection: &Objection) -> Option<&Waiver> {
        let waiver = self.waived(objection.kind, objection.node.as_ref());
        waiver.filter(|_| objection.waivable)
    }

    /// Those of these kinds, whatever node they are about.
    pub(super) fn forget_waivers(&mut self, kinds: &[ObjectionKind]) {
        self.waivers.retain(|waiver| !waiver.kind().is_some_and(|kind| kinds.contains(&kind)));
    }

    pub(super) fn forget_waiver(&mut self, kind: ObjectionKind, node: &NodeId) {
        self.waivers.retain(|waiver| !waiver.is_of(kind, Some(node)));
    }
}
