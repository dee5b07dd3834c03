//! Named points where tests hold, delay, fail or kill the process.
//!
//! Without the feature `failpoints` every call here is an empty inlined function, and a released
//! binary is built without it. With the feature, actions come from the environment of a child
//! process, once, as `DRAWSPAN_FAILPOINTS="journal.committed=kill@3;marker.write=error@2+"`, or
//! from [`set`] in the same process:
//!
//! * `kill` ends the process as `kill -9` does;
//! * `sleep(MS)` blocks the thread;
//! * `error` makes [`check`] return an error (a [`hit`] ignores it);
//!
//! each at every hit, or with `@N` at the N-th alone, or with `@N+` from the N-th on.
//!
//! A task of the data plane is held with [`pause`]: it waits there while a test holds the
//! [`Armed`] of [`arm`].

#[cfg(not(feature = "failpoints"))]
mod off {
    use std::io;

    /// Names a point where a crash matters.
    #[inline(always)]
    pub fn hit(_name: &str) {}

    /// Names a point where an I/O error matters.
    ///
    /// # Errors
    /// Never without the feature `failpoints`.
    #[inline(always)]
    pub fn check(_name: &str) -> io::Result<()> {
        Ok(())
    }

    /// Names a point where a task may be held.
    #[inline(always)]
    pub async fn pause(_name: &str) {}
}

#[cfg(not(feature = "failpoints"))]
pub use off::{check, hit, pause};

#[cfg(feature = "failpoints")]
mod on {
    use std::collections::HashMap;
    use std::io;
    use std::str::FromStr;
    use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process};
    use tokio::sync::watch;

    const VARIABLE: &str = "DRAWSPAN_FAILPOINTS";

    /// What happens at a point.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Action {
        Kill,
        Sleep(Duration),
        Error,
    }

    /// At which hits of a point it happens; hits count from 1.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum When {
        Always,
        Only(u64),
        From(u64),
    }

    #[derive(Debug)]
    struct Point {
        action: Action,
        when: When,
        hits: u64,
    }

    /// The text is no list of fail points.
    #[derive(Debug, thiserror::Error)]
    #[error("`{0}` is no fail point: name=kill|error|sleep(MS), then nothing, @N or @N+")]
    pub struct InvalidPoint(String);

    fn points() -> MutexGuard<'static, HashMap<String, Point>> {
        static POINTS: OnceLock<Mutex<HashMap<String, Point>>> = OnceLock::new();
        let points = POINTS.get_or_init(|| {
            let text = std::env::var(VARIABLE).unwrap_or_default();
            Mutex::new(parse(&text).expect("a test wrote the variable, and its error must show"))
        });
        points.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parse(text: &str) -> Result<HashMap<String, Point>, InvalidPoint> {
        let entries = text.split(';').map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(|entry| point(entry).ok_or_else(|| InvalidPoint(entry.to_owned()))).collect()
    }

    fn point(entry: &str) -> Option<(String, Point)> {
        let (name, rest) = entry.split_once('=')?;
        let (action, when) = match rest.split_once('@') {
            None => (rest, When::Always),
            Some((action, from)) if from.ends_with('+') => {
                (action, When::From(from.trim_end_matches('+').parse().ok()?))
            }
            Some((action, only)) => (action, When::Only(only.parse().ok()?)),
        };
        let point = Point { action: action.parse().ok()?, when, hits: 0 };
        Some((name.trim().to_owned(), point))
    }

    impl FromStr for Action {
        type Err = InvalidPoint;

        fn from_str(text: &str) -> Result<Self, InvalidPoint> {
            let sleep = |text: &str| text.strip_prefix("sleep(")?.strip_suffix(')')?.parse().ok();
            match text.trim() {
                "kill" => Ok(Self::Kill),
                "error" => Ok(Self::Error),
                other => match sleep(other) {
                    Some(millis) => Ok(Self::Sleep(Duration::from_millis(millis))),
                    None => Err(InvalidPoint(other.to_owned())),
                },
            }
        }
    }

    /// Sets what happens at a point of this process, and counts its hits from 0 again.
    pub fn set(name: &str, action: Action, when: When) {
        points().insert(name.to_owned(), Point { action, when, hits: 0 });
    }

    /// Makes a point do nothing.
    pub fn unset(name: &str) {
        points().remove(name);
    }

    /// Names a point where a crash matters.
    pub fn hit(name: &str) {
        // A point that only crashes has no error to give; `error` there is a test's mistake that
        // shows as the test not failing anything.
        let _ = check(name);
    }

    /// Names a point where an I/O error matters.
    ///
    /// # Errors
    /// Where the action of this point is `error`.
    pub fn check(name: &str) -> io::Result<()> {
        match due(name) {
            None => Ok(()),
            Some(Action::Error) => Err(io::Error::other(format!("fail point {name}"))),
            Some(Action::Sleep(time)) => {
                std::thread::sleep(time);
                Ok(())
            }
            Some(Action::Kill) => {
                kill_process(getpid(), Signal::KILL)?;
                // The signal is delivered before this thread runs on, or very soon.
                loop {
                    std::thread::park();
                }
            }
        }
    }

    fn due(name: &str) -> Option<Action> {
        let mut points = points();
        let point = points.get_mut(name)?;
        point.hits += 1;
        let due = match point.when {
            When::Always => true,
            When::Only(hit) => point.hits == hit,
            When::From(hit) => hit <= point.hits,
        };
        due.then_some(point.action)
    }

    /// Where the tasks stand that a test holds.
    #[derive(Clone, Copy, Debug, Default)]
    struct Held {
        arrived: usize,
        released: bool,
    }

    fn held() -> MutexGuard<'static, HashMap<String, watch::Sender<Held>>> {
        static HELD: OnceLock<Mutex<HashMap<String, watch::Sender<Held>>>> = OnceLock::new();
        let held = HELD.get_or_init(Mutex::default);
        held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A point at which tasks are held until this is released or dropped.
    #[derive(Debug)]
    pub struct Armed {
        name: String,
        state: watch::Sender<Held>,
    }

    /// Holds every task that comes to `name` from now on.
    pub fn arm(name: &str) -> Armed {
        let state = watch::Sender::new(Held::default());
        held().insert(name.to_owned(), state.clone());
        Armed { name: name.to_owned(), state }
    }

    impl Armed {
        /// Waits until a task stands at the point.
        pub async fn reached(&self) {
            self.reached_by(1).await;
        }

        /// Waits until `tasks` tasks came to the point.
        pub async fn reached_by(&self, tasks: usize) {
            let mut state = self.state.subscribe();
            // The sender is ours, so the wait cannot end by its going away.
            let _ = state.wait_for(|held| tasks <= held.arrived).await;
        }

        /// Lets every held task go on, and later ones pass.
        pub fn release(self) {}
    }

    impl Drop for Armed {
        fn drop(&mut self) {
            let mut held = held();
            if held.get(&self.name).is_some_and(|state| state.same_channel(&self.state)) {
                held.remove(&self.name);
            }
            self.state.send_modify(|held| held.released = true);
        }
    }

    /// Names a point where a task may be held.
    pub async fn pause(name: &str) {
        let Some(state) = held().get(name).cloned() else { return };
        let mut watcher = state.subscribe();
        state.send_modify(|held| held.arrived += 1);
        let _ = watcher.wait_for(|held| held.released).await;
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn an_error_comes_at_the_named_hits_only() {
            set("test.only", Action::Error, When::Only(2));
            let came: Vec<bool> = (0..3).map(|_| check("test.only").is_err()).collect();
            assert_eq!(came, [false, true, false]);

            set("test.from", Action::Error, When::From(2));
            let came: Vec<bool> = (0..3).map(|_| check("test.from").is_err()).collect();
            assert_eq!(came, [false, true, true]);
        }

        #[test]
        fn a_list_of_points_is_read_and_a_wrong_one_is_named() {
            let points = parse("a=kill; b=sleep(20)@3;c=error@2+").expect("a legal list");
            assert_eq!((points["a"].action, points["a"].when), (Action::Kill, When::Always));
            assert_eq!(points["b"].action, Action::Sleep(Duration::from_millis(20)));
            assert_eq!(points["b"].when, When::Only(3));
            assert_eq!(points["c"].when, When::From(2));
            assert!(parse("a=explode").unwrap_err().to_string().contains("a=explode"));
        }

        #[tokio::test]
        async fn a_task_waits_at_an_armed_point_until_it_is_released() {
            let armed = arm("test.pause");
            let mut tasks = tokio::task::JoinSet::new();
            tasks.spawn(async { pause("test.pause").await });
            armed.reached().await;
            assert!(tasks.try_join_next().is_none());
            armed.release();
            assert!(tasks.join_next().await.is_some_and(|ended| ended.is_ok()));
            pause("test.pause").await;
        }
    }
}

#[cfg(feature = "failpoints")]
pub use on::{Action, Armed, InvalidPoint, When, arm, check, hit, pause, set, unset};
