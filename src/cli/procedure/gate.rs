//! The word that a person types where a procedure waits for one.

use std::io::{self, Write};

use super::say::Spoken;
use super::show;
use crate::cli::text::beside;
use crate::control::wire::ProcedureDoc;

/// What the next line means.
#[derive(Debug)]
pub(super) enum Expected {
    Word,
    /// `yes`, for this.
    Yes(Spoken),
    /// The reason of this.
    Why(Spoken),
}

/// What a line came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Say(Spoken),
    /// To be asked first.
    Confirm(Spoken),
    AskWhy(Spoken),
    Nothing,
    /// What is wrong with it.
    Unclear(String),
}

/// Of each log; the status shows more of it.
const LOG_LINES: usize = 8;

/// Shows what may be said, and in answer to what; where a node is in trouble, the end of its log.
pub(super) fn ask(doc: &ProcedureDoc, out: &mut dyn Write) -> io::Result<()> {
    show::logs(doc, LOG_LINES, out)?;
    show::choices(doc, out)?;
    let (phase, revision) = (&doc.phase, doc.revision);
    write!(out, "phase {phase}, revision {revision}; say [REASON]> ")?;
    out.flush()
}

/// Reads a line by what may be said now: the word, what it is about, and the rest as the reason.
pub(super) fn hear(line: &str, expected: Expected, doc: &ProcedureDoc) -> Heard {
    let line = line.trim();
    match expected {
        Expected::Yes(spoken) if line == "yes" => Heard::Say(spoken),
        Expected::Yes(_) => Heard::Nothing,
        Expected::Why(_) if line.is_empty() => Heard::Nothing,
        Expected::Why(spoken) => Heard::Say(Spoken { why: Some(line.to_owned()), ..spoken }),
        Expected::Word => word(line, doc),
    }
}

fn word(line: &str, doc: &ProcedureDoc) -> Heard {
    let (verb, rest) = split(line);
    if verb.is_empty() {
        return Heard::Nothing;
    }
    let of_verb = || doc.choices.iter().filter(|choice| choice.choice == verb);
    let Some(first) = of_verb().next() else {
        return Heard::Unclear(format!("`{verb}` cannot be said now"));
    };
    let (choice, why) = if first.target.is_some() {
        let (target, why) = split(rest);
        match of_verb().find(|choice| choice.target.as_deref() == Some(target)) {
            Some(choice) => (choice, why),
            None => {
                let all: Vec<_> = of_verb().filter_map(|choice| choice.target.clone()).collect();
                return Heard::Unclear(format!("{verb} what? One of {}", all.join(", ")));
            }
        }
    } else {
        (first, rest)
    };
    let why = (!why.is_empty()).then(|| why.to_owned());
    let needs_why = choice.needs_why && why.is_none();
    let spoken = Spoken { why, ..Spoken::new(verb, choice.target.as_deref()) };
    match verb {
        _ if needs_why => Heard::AskWhy(spoken),
        // They cannot be taken back.
        "rollback" | "abort" => Heard::Confirm(spoken),
        _ => Heard::Say(spoken),
    }
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim())
}

/// What is asked next, after a line that was no word yet.
pub(super) fn further(heard: Heard, out: &mut dyn Write) -> io::Result<Expected> {
    let expected = match heard {
        Heard::Confirm(spoken) => {
            write!(out, "type yes to {}: ", spoken.verb)?;
            Expected::Yes(spoken)
        }
        Heard::AskWhy(spoken) => {
            write!(out, "why? ")?;
            Expected::Why(spoken)
        }
        Heard::Unclear(what) => {
            beside(out, "", &what)?;
            Expected::Word
        }
        Heard::Nothing | Heard::Say(_) => Expected::Word,
    };
    out.flush()?;
    Ok(expected)
}

#[cfg(test)]
mod tests {
    use super::super::show::tests::shown;
    use super::*;

    fn heard(line: &str) -> Heard {
        hear(line, Expected::Word, &shown())
    }

    fn spoken(verb: &str, target: Option<&str>, why: Option<&str>) -> Spoken {
        Spoken { why: why.map(str::to_owned), ..Spoken::new(verb, target) }
    }

    #[test]
    fn a_word_comes_with_what_it_is_about_and_a_reason() {
        assert_eq!(heard(" retry "), Heard::Say(spoken("retry", None, None)));
        let why = Some("the host was slow");
        assert_eq!(heard("retry the host was slow"), Heard::Say(spoken("retry", None, why)));
        let waived = spoken("waive", Some("not_down:n2"), Some("I saw it off"));
        assert_eq!(heard("waive not_down:n2  I saw it off"), Heard::Say(waived));
        let without = spoken("waive", Some("not_down:n2"), None);
        assert_eq!(heard("waive not_down:n2"), Heard::AskWhy(without.clone()));
        let given = hear("I saw it off", Expected::Why(without.clone()), &shown());
        assert!(matches!(given, Heard::Say(said) if said.why.as_deref() == Some("I saw it off")));
        assert_eq!(hear("  ", Expected::Why(without), &shown()), Heard::Nothing);
    }

    #[test]
    fn what_cannot_be_taken_back_is_asked_for_once_more() {
        let rollback = spoken("rollback", None, None);
        assert_eq!(heard("rollback"), Heard::Confirm(rollback.clone()));
        let yes = |line| hear(line, Expected::Yes(rollback.clone()), &shown());
        assert_eq!(yes("yes"), Heard::Say(rollback.clone()));
        assert_eq!(
            (yes(""), yes("y"), yes("retry")),
            (Heard::Nothing, Heard::Nothing, Heard::Nothing)
        );
    }

    #[test]
    fn what_is_not_understood_says_nothing() {
        assert_eq!(heard(""), Heard::Nothing);
        assert!(matches!(heard("explode"), Heard::Unclear(_)));
        assert!(
            matches!(heard("waive no_backup x"), Heard::Unclear(what) if what.contains("not_down:n2"))
        );
    }
}
