//! From a configured command to what is run now, and the environment that it gets.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use crate::config::{self, CommandLine, Placeholders, Unfilled};

/// Taken over from the gateway's environment, where they are set there.
const KEPT: [&str; 4] = ["PATH", "LANG", "HOME", "TZ"];
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command with its placeholders filled. Secrets are named in it and not held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Program and arguments, passed on byte for byte.
    pub argv: Vec<String>,
    pub limit: Duration,
    /// Names taken over from the gateway's own environment.
    pub pass_env: Vec<String>,
    /// Set in addition.
    pub env: BTreeMap<String, String>,
    pub until: Until,
}

/// When is a command over?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Until {
    /// When it has ended itself: what it leaves behind is meant to stay, as a node.
    #[default]
    Itself,
    /// When its whole group has: a writer that it left behind writes still. Where it failed, what is
    /// left of the group is ended, so that no second one runs beside it.
    Group,
}

/// Fills the placeholders of a command.
///
/// # Errors
/// The first placeholder that has no value.
pub fn fill(command: &CommandLine, values: &Placeholders) -> Result<Order, Unfilled> {
    let argv = command.argv.iter().map(|text| config::fill(text, values));
    Ok(Order {
        argv: argv.collect::<Result<_, _>>()?,
        limit: command.limit,
        pass_env: command.pass_env.clone(),
        env: command.env.clone(),
        until: Until::Itself,
    })
}

impl Order {
    pub(super) fn program(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }

    /// All that the command gets to see of an environment.
    pub(super) fn environment(&self) -> BTreeMap<OsString, OsString> {
        let ours = |name: &str| Some((OsString::from(name), std::env::var_os(name)?));
        let mut environment: BTreeMap<_, _> = KEPT.iter().filter_map(|name| ours(name)).collect();
        environment.insert("PATH".into(), search_path());
        environment.extend(self.pass_env.iter().filter_map(|name| ours(name)));
        let own = self.env.iter().map(|(name, value)| (name.into(), value.into()));
        environment.extend(own);
        environment
    }
}

/// Where bare names of programs are looked up: the gateway's PATH, or the usual one.
pub fn search_path() -> OsString {
    std::env::var_os("PATH").filter(|path| !path.is_empty()).unwrap_or_else(|| PATH_DEFAULT.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Placeholder;

    fn command(argv: &[&str]) -> CommandLine {
        let argv = argv.iter().map(|text| (*text).to_owned()).collect();
        let (limit, pass_env) = (Duration::from_secs(1), vec!["PASSED".to_owned()]);
        CommandLine { argv, limit, pass_env, env: [("A".to_owned(), "{node}".to_owned())].into() }
    }

    #[test]
    fn an_order_has_its_values_in_argv_alone() {
        let values = [(Placeholder::Node, "n1; rm -rf $HOME".to_owned())].into();
        let order = fill(&command(&["echo", "{node}", "{{}}"]), &values).expect("it has a value");
        assert_eq!(order.argv, ["echo", "n1; rm -rf $HOME", "{}"]);
        assert_eq!(order.env["A"], "{node}");
        assert_eq!(order.pass_env, ["PASSED"]);
        let unfilled = fill(&command(&["{version}"]), &values);
        assert_eq!(unfilled, Err(Unfilled(Placeholder::Version)));
    }

    #[test]
    fn the_environment_holds_what_is_named_and_nothing_else() {
        let order = fill(&command(&["x"]), &Placeholders::new()).expect("no placeholder");
        let environment = order.environment();
        assert!(environment.contains_key("PATH".as_ref() as &std::ffi::OsStr));
        // The tests' own environment is full of CARGO_...
        let known = ["PATH", "LANG", "HOME", "TZ", "PASSED", "A"];
        let other = environment.keys().find(|name| known.iter().all(|known| name != known));
        assert_eq!(other, None);
    }
}
