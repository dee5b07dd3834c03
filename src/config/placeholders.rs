//! `{node}` and its kin in the operator's commands and paths. `{{` and `}}` are literal braces.

use std::collections::{BTreeMap, BTreeSet};

use super::problems::shown;

/// What a command may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Placeholder {
    /// Id of the node; in a group's command, of the first or kept node.
    Node,
    /// `host:port` of the same.
    Address,
    /// The version that is to run.
    Version,
    /// Where the backup lies, or is to lie.
    Backup,
    /// Id of the procedure.
    Id,
    /// What to tell people.
    Message,
    /// Phase of the procedure.
    Phase,
    /// Kind of the procedure.
    Procedure,
}

impl Placeholder {
    pub const ALL: [Self; 8] = [
        Self::Node,
        Self::Address,
        Self::Version,
        Self::Backup,
        Self::Id,
        Self::Message,
        Self::Phase,
        Self::Procedure,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Address => "address",
            Self::Version => "version",
            Self::Backup => "backup",
            Self::Id => "id",
            Self::Message => "message",
            Self::Phase => "phase",
            Self::Procedure => "procedure",
        }
    }
}

/// The values of today.
pub type Placeholders = BTreeMap<Placeholder, String>;

/// The text cannot be read as one with placeholders.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    #[error("{0} has a brace without its partner; write {{{{ or }}}} for a brace as such")]
    Brace(String),
    #[error("{0} is no placeholder")]
    Unknown(String),
}

/// A placeholder has no value now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{{{}}} has no value here", .0.as_str())]
pub struct Unfilled(pub Placeholder);

enum Piece<'a> {
    Text(&'a str),
    Placeholder(Placeholder),
}

/// The placeholders that a text needs.
///
/// # Errors
/// A brace alone, or a name that is none of [`Placeholder`].
pub fn needs(text: &str) -> Result<BTreeSet<Placeholder>, InvalidTemplate> {
    let of = |piece: &Piece<'_>| match piece {
        Piece::Text(_) => None,
        Piece::Placeholder(placeholder) => Some(*placeholder),
    };
    Ok(pieces(text)?.iter().filter_map(of).collect())
}

/// The text with its values in place. Values are not looked at again: a brace in one is a brace.
/// A text that [`needs`] refuses, which a checked configuration does not hold, stays as it is.
///
/// # Errors
/// The first placeholder without a value: an empty word in its place could mean anything.
pub fn fill(text: &str, values: &Placeholders) -> Result<String, Unfilled> {
    let Ok(pieces) = pieces(text) else { return Ok(text.to_owned()) };
    let mut filled = String::with_capacity(text.len());
    for piece in pieces {
        filled.push_str(match piece {
            Piece::Text(text) => text,
            Piece::Placeholder(placeholder) => {
                values.get(&placeholder).ok_or(Unfilled(placeholder))?
            }
        });
    }
    Ok(filled)
}

/// The text in which [`fill`] finds this text as such.
pub(super) fn literal(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, InvalidTemplate> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        pieces.push(Piece::Text(&rest[..at]));
        let brace = &rest[at..];
        if brace.starts_with("{{") || brace.starts_with("}}") {
            pieces.push(Piece::Text(&brace[..1]));
            rest = &brace[2..];
            continue;
        }
        let name = brace.strip_prefix('{').and_then(|inside| inside.split_once('}'));
        let Some((name, after)) = name else { return Err(InvalidTemplate::Brace(shown(text))) };
        let known = Placeholder::ALL.into_iter().find(|known| known.as_str() == name);
        match known {
            Some(placeholder) => pieces.push(Piece::Placeholder(placeholder)),
            None if name.contains('{') => return Err(InvalidTemplate::Brace(shown(text))),
            None => return Err(InvalidTemplate::Unknown(shown(&format!("{{{name}}}")))),
        }
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> Placeholders {
        [(Placeholder::Node, "n1".to_owned()), (Placeholder::Backup, "/b/{id}".to_owned())].into()
    }

    #[test]
    fn placeholders_are_filled_once_and_double_braces_are_braces() {
        for (text, filled) in [
            ("", ""),
            ("plain 'quoted' $HOME", "plain 'quoted' $HOME"),
            ("nocobase@{node}", "nocobase@n1"),
            ("{node}{node}", "n1n1"),
            ("{backup}.dump", "/b/{id}.dump"),
            ("{{node}}", "{node}"),
            ("{{{node}}}", "{n1}"),
            ("{{}}", "{}"),
        ] {
            assert_eq!(fill(text, &values()).as_deref(), Ok(filled), "{text}");
        }
        assert_eq!(fill("a {version}", &values()), Err(Unfilled(Placeholder::Version)));
    }

    #[test]
    fn a_brace_alone_and_an_unknown_name_are_refused() {
        for text in ["{", "}", "{node", "node}", "{node}}", "a{b{node}", "{{}"] {
            let brace = matches!(needs(text), Err(InvalidTemplate::Brace(_)));
            assert!(brace, "{text}: {:?}", needs(text));
        }
        for text in ["{}", "{Node}", "{ node }", "{nodes}"] {
            let unknown = matches!(needs(text), Err(InvalidTemplate::Unknown(_)));
            assert!(unknown, "{text}: {:?}", needs(text));
        }
        let both = needs("{node} {address} {node}").expect("both are known");
        assert_eq!(both, [Placeholder::Node, Placeholder::Address].into());
    }

    proptest! {
        #[test]
        fn every_text_made_literal_comes_back_as_it_was(text in ".{0,60}") {
            let literal = literal(&text);
            prop_assert_eq!(needs(&literal), Ok(BTreeSet::new()));
            prop_assert_eq!(fill(&literal, &Placeholders::new()), Ok(text));
        }

        #[test]
        fn no_text_makes_filling_panic(text in "[{}a-z]{0,30}") {
            let _ = (needs(&text), fill(&text, &values()));
        }
    }
}
