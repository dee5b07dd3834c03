//! Names of users and groups, from `/etc/passwd` and `/etc/group` alone: a directory service may
//! hang, and a command must not hang with it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use crate::model::limits::NAMES_FILE_BYTES_MAX;

/// No such group is known here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("group `{0}` is neither in /etc/group nor a number; create it (`groupadd --system {0}`)")]
pub struct UnknownGroup(String);

/// The user's name, or `uid N`. Reads a file: not for a runtime's threads.
pub fn user_name(uid: u32) -> String {
    let wanted = uid.to_string();
    first_match("/etc/passwd", |fields| fields.get(2) == Some(&wanted.as_str()))
        .map_or_else(|| format!("uid {uid}"), |fields| fields.name)
}

/// The number of a group that is named or numbered. Reads a file.
pub fn group_id(name: &str) -> Result<u32, UnknownGroup> {
    if let Ok(gid) = name.parse() {
        return Ok(gid);
    }
    first_match("/etc/group", |fields| fields.first() == Some(&name))
        .and_then(|entry| entry.id.parse().ok())
        .ok_or_else(|| UnknownGroup(name.chars().take(64).collect()))
}

struct Entry {
    name: String,
    id: String,
}

/// Both files hold `name:password:number:...` lines.
fn first_match(path: &str, matches: impl Fn(&[&str]) -> bool) -> Option<Entry> {
    let file = File::open(path).ok()?.take(NAMES_FILE_BYTES_MAX);
    for line in BufReader::new(file).split(b'\n') {
        let line = line.ok()?;
        let Ok(line) = str::from_utf8(&line) else { continue };
        let fields: Vec<&str> = line.split(':').collect();
        if let [name, _, id, ..] = fields[..]
            && matches(&fields)
            && !name.is_empty()
            && !name.chars().any(char::is_control)
        {
            return Some(Entry { name: name.to_owned(), id: id.to_owned() });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_a_name_and_a_stranger_a_number() {
        assert_eq!(user_name(0), "root");
        assert_eq!(user_name(4_000_000_123), "uid 4000000123");
    }

    #[test]
    fn a_group_is_found_by_name_or_number() {
        assert_eq!(group_id("root"), Ok(0));
        assert_eq!(group_id("77"), Ok(77));
        assert!(group_id("no such group").is_err());
    }
}
