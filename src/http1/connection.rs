//! What Connection lines say (RFC 9110 section 7.6.1).

use super::lines::{Lines, elements};
use super::{Name, is};

/// The options that a head's Connection lines list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionOptions(u8);

const CLOSE: u8 = 1;
const KEEP_ALIVE: u8 = 2;
const UPGRADE: u8 = 4;
const NAMES: u8 = 8;

impl ConnectionOptions {
    /// These and those of one more line.
    pub(super) fn and(self, list: &[u8]) -> Self {
        Self(match flag(list) {
            // Most lists are of one option.
            NAMES => elements([list].into_iter()).fold(self.0, |all, option| all | flag(option)),
            one => self.0 | one,
        })
    }

    /// The connection ends behind this message.
    pub const fn close(self) -> bool {
        self.0 & CLOSE != 0
    }

    pub const fn keep_alive(self) -> bool {
        self.0 & KEEP_ALIVE != 0
    }

    pub const fn upgrade(self) -> bool {
        self.0 & UPGRADE != 0
    }

    /// Some of them name header lines, which belong to this connection then.
    pub const fn names_lines(self) -> bool {
        self.0 & NAMES != 0
    }

    /// The header lines that they name.
    pub fn lines_named(headers: &Lines) -> impl Iterator<Item = &[u8]> {
        elements(headers.get_all(Name::Connection)).filter(|option| flag(option) == NAMES)
    }
}

fn flag(option: &[u8]) -> u8 {
    match option.len() {
        0 => 0,
        5 if is(option, "close") => CLOSE,
        7 if is(option, "upgrade") => UPGRADE,
        10 if is(option, "keep-alive") => KEEP_ALIVE,
        _ => NAMES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_all_lines_are_one_list() {
        let mut lines = Lines::default();
        assert_eq!(lines.connection(), ConnectionOptions::default());
        lines.add(Name::Connection, b"Keep-Alive");
        assert_eq!(lines.connection(), ConnectionOptions(KEEP_ALIVE));
        lines.add(Name::Connection, b" Upgrade ,, close;q=1");
        let all = lines.connection();
        assert!(all.close() && all.keep_alive() && all.upgrade() && !all.names_lines());
        lines.add(Name::Connection, b"x-one, Two");
        assert!(lines.connection().names_lines());
        let named: Vec<&[u8]> = ConnectionOptions::lines_named(&lines).collect();
        assert_eq!(named, [b"x-one".as_slice(), b"Two"]);
        lines.remove(Name::Connection);
        assert_eq!(lines.connection(), ConnectionOptions::default());
    }
}
