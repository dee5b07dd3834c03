//! A procedure as it goes on: a line for each thing that is new since the last look.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::show;
use crate::cli::client::{Screen, printable};
use crate::cli::text::{beside, between, elapsed, one_line};
use crate::control::wire::ProcedureDoc;

/// Back to the line's begin, and clears it.
const LINE_ANEW: &str = "\r\u{1b}[K";

/// What was told so far.
#[derive(Debug)]
pub(super) struct Progress {
    screen: Screen,
    last: Option<ProcedureDoc>,
    /// Things of this phase that were told.
    told: BTreeSet<String>,
    line: Line,
}

/// What stands on the line where the cursor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Empty,
    /// It is to be drawn anew.
    Live,
    /// A person may have begun to type behind it.
    Prompt,
}

impl Progress {
    pub(super) const fn new(screen: Screen) -> Self {
        Self { screen, last: None, told: BTreeSet::new(), line: Line::Empty }
    }

    /// Writes what is new. Was there anything, or can something else be said now?
    pub(super) fn tell(&mut self, doc: &ProcedureDoc, out: &mut dyn Write) -> io::Result<bool> {
        let moved = self.last.as_ref().is_none_or(|last| {
            (&last.phase, &last.road, last.revision) != (&doc.phase, &doc.road, doc.revision)
        });
        let offers = self
            .last
            .as_ref()
            .is_none_or(|last| last.asks != doc.asks || sayable(last) != sayable(doc));
        let mut text = Vec::new();
        self.phase(doc, &mut text)?;
        self.things(doc, &mut text)?;
        self.output(doc, &mut text)?;
        self.last = Some(doc.clone());
        if !text.is_empty() {
            self.clear(out)?;
            out.write_all(&text)?;
            out.flush()?;
        }
        Ok(moved || offers || !text.is_empty())
    }

    /// Draws the line that shows the time going by; only on a screen.
    pub(super) fn tick(&mut self, taken: &str, out: &mut dyn Write) -> io::Result<()> {
        let (Screen::Redrawn, Some(doc)) = (self.screen, &self.last) else { return Ok(()) };
        let time = between(&doc.since, taken).map_or_else(String::new, elapsed);
        let waits = doc.waiting_for.first().map_or("", String::as_str);
        let line = one_line(&format!("    {} {time} {waits}", doc.phase));
        write!(out, "{LINE_ANEW}{line}")?;
        self.line = Line::Live;
        out.flush()
    }

    /// Leaves nothing half drawn where something else is written.
    pub(super) fn clear(&mut self, out: &mut dyn Write) -> io::Result<()> {
        match std::mem::replace(&mut self.line, Line::Empty) {
            Line::Empty => Ok(()),
            Line::Live => write!(out, "{LINE_ANEW}"),
            Line::Prompt => writeln!(out),
        }
    }

    pub(super) const fn prompted(&mut self) {
        self.line = Line::Prompt;
    }

    /// The person ended the line.
    pub(super) const fn entered(&mut self) {
        self.line = Line::Empty;
    }

    fn phase(&mut self, doc: &ProcedureDoc, out: &mut dyn Write) -> io::Result<()> {
        match &self.last {
            None => beside(out, "", &format!("following {} {}", doc.kind, doc.id))?,
            Some(last) if (&last.phase, &last.since) == (&doc.phase, &doc.since) => return Ok(()),
            Some(last) => {
                let took = between(&last.since, &doc.since).map_or_else(String::new, elapsed);
                let mark = if last.road == doc.road { "[x]" } else { "[-]" };
                beside(out, &format!("{mark} {:<12} ", last.phase), &took)?;
                if last.road != doc.road {
                    beside(out, "", &format!("the road leads {} now", doc.road))?;
                }
            }
        }
        self.told.clear();
        if doc.outcome.is_none() {
            beside(out, &format!("[>] {:<12} ", doc.phase), &doc.does)?;
        }
        Ok(())
    }

    fn is_new(&mut self, what: String) -> bool {
        self.told.insert(what)
    }

    fn things(&mut self, doc: &ProcedureDoc, out: &mut dyn Write) -> io::Result<()> {
        if let Some(hold) = doc.hold.as_ref().filter(|hold| self.is_new(format!("held {hold}"))) {
            beside(out, "    held:      ", &show::held(hold))?;
        }
        if doc.overdue && self.is_new("overdue".to_owned()) {
            beside(out, "    OVERDUE:   ", "the phase takes longer than its limit")?;
        }
        if doc.closed_too_long && self.is_new("closed".to_owned()) {
            beside(out, "    ALARM:     ", "traffic is closed for longer than configured")?;
        }
        for job in &doc.jobs {
            let text = show::job(job);
            if job.state != "wanted" && self.is_new(format!("job {text}")) {
                beside(out, "    command:   ", &text)?;
            }
        }
        for proof in &doc.evidence {
            if self.is_new(format!("proven {}", gist(&proof.what))) {
                beside(out, "    proven:    ", &proof.what)?;
            }
        }
        for waits in &doc.waiting_for {
            if self.is_new(format!("waits {}", gist(waits))) {
                beside(out, "    waits for: ", waits)?;
            }
        }
        for objection in &doc.objections {
            if self.is_new(format!("{:?} {}", objection.id, gist(&objection.detail))) {
                show::objection(objection, out)?;
            }
        }
        Ok(())
    }

    /// The lines that the last look did not have.
    fn output(&self, doc: &ProcedureDoc, out: &mut dyn Write) -> io::Result<()> {
        let Some(output) = &doc.output else { return Ok(()) };
        let before = self.last.as_ref().and_then(|last| last.output.as_ref());
        let before = before.filter(|before| before.work == output.work);
        let before = before.map_or(&[][..], |before| &before.lines);
        let known = (0..=before.len().min(output.lines.len()))
            .rev()
            .find(|known| before[before.len() - known..] == output.lines[..*known]);
        let new = output.lines.iter().skip(known.unwrap_or(0));
        new.into_iter().try_for_each(|line| writeln!(out, "    | {}", printable(line)))
    }
}

/// What can be said, whatever the words beside it count.
fn sayable(doc: &ProcedureDoc) -> Vec<(String, bool)> {
    doc.choices.iter().map(|choice| (show::word(choice), choice.allowed)).collect()
}

/// A text without its numbers: what only counts on is not new. `n2` is a name, and stays.
fn gist(text: &str) -> String {
    let is_number = |word: &&str| {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit())
    };
    text.split_whitespace().filter(|word| !is_number(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::show::tests::shown;
    use super::*;
    use crate::control::wire::{OutputDoc, PhaseDoc};

    fn told(progress: &mut Progress, doc: &ProcedureDoc) -> String {
        let mut out = Vec::new();
        progress.tell(doc, &mut out).expect("memory takes it");
        String::from_utf8(out).expect("text")
    }

    fn calm() -> ProcedureDoc {
        ProcedureDoc { output: None, objections: vec![], jobs: vec![], overdue: false, ..shown() }
    }

    #[test]
    fn only_what_is_new_is_told_and_what_counts_on_is_not_new() {
        let mut progress = Progress::new(Screen::Appended);
        let first = told(&mut progress, &calm());
        assert!(first.contains("[>] stop") && first.contains("waits for: n1 is down"), "{first}");
        let waiting_for = vec!["n1 is down (refused for 13 s of 30 s)".into()];
        assert_eq!(told(&mut progress, &ProcedureDoc { waiting_for, ..calm() }), "");
        let waiting_for = vec!["n3 is down (refused for 13 s of 30 s)".into()];
        let other = told(&mut progress, &ProcedureDoc { waiting_for, ..calm() });
        assert!(other.contains("n3 is down"), "another node is new: {other}");
        let objected = told(&mut progress, &ProcedureDoc { overdue: true, ..shown() });
        assert!(objected.contains("OVERDUE") && objected.contains("remedy:"), "{objected}");
    }

    #[test]
    fn a_phase_that_ends_is_ticked_with_its_time_and_a_turn_is_named() {
        let mut progress = Progress::new(Screen::Appended);
        told(&mut progress, &calm());
        let since = "2025-11-22T08:28:45.000Z".to_owned();
        let phases = vec![PhaseDoc { phase: "back-up".into(), state: "now".into() }];
        let next = ProcedureDoc { phase: "back-up".into(), since, phases, revision: 15, ..calm() };
        let text = told(&mut progress, &next);
        assert!(text.contains("[x] stop         2m05s\n[>] back-up"), "{text}");
        let back = ProcedureDoc { phase: "restore".into(), road: "back".into(), ..next };
        let since = "2025-11-22T08:28:46.000Z".to_owned();
        let text = told(&mut progress, &ProcedureDoc { since, ..back });
        assert!(text.contains("[-] back-up") && text.contains("leads back now"), "{text}");
    }

    #[test]
    fn lines_of_a_command_are_told_once_however_the_window_moves() {
        let mut progress = Progress::new(Screen::Appended);
        let with = |lines: &[&str]| {
            let lines = lines.iter().map(|line| (*line).to_owned()).collect();
            ProcedureDoc { output: Some(OutputDoc { work: "backup".into(), lines }), ..calm() }
        };
        told(&mut progress, &with(&["a", "b"]));
        assert_eq!(told(&mut progress, &with(&["a", "b", "c"])), "    | c\n");
        assert_eq!(told(&mut progress, &with(&["b", "c", "d\u{7}"])), "    | d\u{fffd}\n");
        assert_eq!(told(&mut progress, &with(&["b", "c", "d\u{7}"])), "");
    }

    #[test]
    fn a_line_is_drawn_anew_only_on_a_screen() {
        for (screen, drawn) in [(Screen::Redrawn, true), (Screen::Appended, false)] {
            let mut progress = Progress::new(screen);
            told(&mut progress, &calm());
            let mut out = Vec::new();
            progress.tick("2025-11-22T08:28:45.000Z", &mut out).expect("memory takes it");
            assert_eq!(String::from_utf8_lossy(&out).contains("stop 2m05s"), drawn);
        }
    }
}
