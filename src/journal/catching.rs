//! Panics of the store, as errors. redb asserts what a file that it wrote must hold; on a damaged
//! one such an assertion can fail, and that is doubt, not the end of the gateway.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; a panic in it comes back as its message, and prints nothing.
///
/// What `work` borrowed mutably may be half-changed after a panic: the caller drops it.
pub(super) fn catching<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let shown = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // A thread that is ending has no such value; its panics are not the store's.
            if !CATCHING.try_with(Cell::get).unwrap_or(false) {
                shown(info);
            }
        }));
    });
    let outer = CATCHING.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(outer);
    result.map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without words".to_owned())
    })
}
