//! Is the gateway alive, and may balancers choose it? Set by whoever knows, read by the admin
//! address.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// May balancers above choose this gateway? It answers whenever it is ready, be it the notice.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Start>>);

/// How far the start has come, and whether the end has begun.
#[derive(Debug, Default)]
struct Start {
    listening: bool,
    state_loaded: bool,
    probed: bool,
    withdrawn: Option<String>,
}

impl Readiness {
    /// Every listener is open.
    pub fn listening(&self) {
        held(&self.0).listening = true;
    }

    /// The mode is known, by the journal or by the rules for doubt.
    pub fn state_loaded(&self) {
        held(&self.0).state_loaded = true;
    }

    /// The first round of probes is over, whatever it found.
    pub fn probed(&self) {
        held(&self.0).probed = true;
    }

    /// From here on never ready again: the gateway is going away.
    pub fn withdraw(&self, reason: &str) {
        held(&self.0).withdrawn.get_or_insert_with(|| reason.to_owned());
    }

    /// Why balancers should not choose this gateway now; `None` when they may.
    pub fn objection(&self) -> Option<String> {
        let start = held(&self.0);
        if let Some(reason) = &start.withdrawn {
            return Some(reason.clone());
        }
        let missing = [
            (start.state_loaded, "the state is not loaded yet"),
            (start.listening, "the listeners are not open yet"),
            (start.probed, "the first round of probes is not over yet"),
        ];
        missing.iter().find(|(done, _)| !done).map(|(_, reason)| (*reason).to_owned())
    }
}

/// Is the process well? It is sick for as long as one cause stands: a supervisor may then
/// restart it.
#[derive(Clone, Debug, Default)]
pub struct Liveness(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl Liveness {
    /// `cause` is a stable name, `fence` say; a second call with it replaces the reason.
    pub fn sick(&self, cause: &'static str, reason: String) {
        held(&self.0).insert(cause, reason);
    }

    /// This cause is gone.
    pub fn well(&self, cause: &'static str) {
        held(&self.0).remove(cause);
    }

    /// Every standing cause with its reason; none when the process is well.
    pub fn complaints(&self) -> Vec<(&'static str, String)> {
        held(&self.0).iter().map(|(cause, reason)| (*cause, reason.clone())).collect()
    }
}

/// A panic elsewhere leaves these plain values whole, so poison is no reason to go silent.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_needs_state_and_listeners_and_probes_and_says_what_is_missing() {
        let readiness = Readiness::default();
        assert!(readiness.objection().is_some_and(|why| why.contains("state")));
        readiness.probed();
        readiness.state_loaded();
        assert!(readiness.objection().is_some_and(|why| why.contains("listeners")));
        readiness.listening();
        assert_eq!(readiness.objection(), None);
    }

    #[test]
    fn a_withdrawal_is_final_and_keeps_its_first_reason() {
        let readiness = Readiness::default();
        readiness.withdraw("stopping");
        readiness.withdraw("again");
        readiness.listening();
        readiness.state_loaded();
        readiness.probed();
        assert_eq!(readiness.objection().as_deref(), Some("stopping"));
    }

    #[test]
    fn a_process_is_well_again_once_every_cause_is_gone() {
        let liveness = Liveness::default();
        liveness.sick("fence", "worker 1 does not answer".to_owned());
        liveness.sick("engine", "stuck".to_owned());
        liveness.sick("fence", "worker 2 does not answer".to_owned());
        liveness.well("engine");
        assert_eq!(liveness.complaints(), [("fence", "worker 2 does not answer".to_owned())]);
        liveness.well("fence");
        assert!(liveness.complaints().is_empty());
    }
}
