//! A procedure on a person's screen: how far it is, what it waits for, and what can be said.

use std::io::{self, Write};
use std::time::Duration;

use crate::cli::client::printable;
use crate::cli::text::{beside, between, clock, elapsed};
use crate::control::wire::{ChoiceDoc, ExcludedDoc, JobDoc, ObjectionDoc, PhaseDoc, ProcedureDoc};

/// Writes all that there is to see of it. `taken` is when the gateway looked.
pub fn procedure(doc: &ProcedureDoc, taken: &str, out: &mut dyn Write) -> io::Result<()> {
    beside(out, "procedure  ", &title(doc))?;
    if doc.is_over() {
        let more = format!("`drawspan history {}` tells what happened", doc.id);
        return beside(out, "           ", &format!("{}; {more}", doc.does));
    }
    for phase in &doc.phases {
        checked(doc, phase, taken, out)?;
    }
    if !doc.phases.iter().any(|phase| phase.state == "now") {
        let since = in_phase(doc, taken);
        beside(out, "           [>] ", &format!("{} (before those){since}", doc.phase))?;
    }
    if let Some(hold) = &doc.hold {
        beside(out, "held       ", &held(hold))?;
    }
    if doc.closed_too_long {
        beside(
            out,
            "ALARM      ",
            "traffic is closed, or on one node, for longer than configured",
        )?;
    }
    beside(out, "does       ", &doc.does)?;
    if !doc.needs.is_empty() {
        beside(out, "until      ", &doc.needs)?;
    }
    list(out, "waits for", doc.waiting_for.iter().map(String::as_str))?;
    let proofs: Vec<String> = doc
        .evidence
        .iter()
        .map(|proof| {
            let at = proof.at.as_deref().map_or_else(String::new, |at| format!(" {}", clock(at)));
            format!("{} ({}{at})", proof.what, proof.source)
        })
        .collect();
    list(out, "proven", proofs.iter().map(String::as_str))?;
    let jobs: Vec<String> = doc.jobs.iter().map(job).collect();
    list(out, "commands", jobs.iter().map(String::as_str))?;
    for objection in &doc.objections {
        self::objection(objection, out)?;
    }
    choices(doc, out)?;
    if let Some(output) = &doc.output {
        lines(out, "output", &format!("of {}", output.work), &output.lines)?;
    }
    logs(doc, usize::MAX, out)?;
    beside(out, "answers    ", &format!("phase {}, revision {}", doc.phase, doc.revision))
}

/// The ends of nodes' logs.
pub(super) fn logs(doc: &ProcedureDoc, most: usize, out: &mut dyn Write) -> io::Result<()> {
    for log in &doc.logs {
        let last = &log.lines[log.lines.len().saturating_sub(most)..];
        lines(out, "log", &format!("of {}", log.node), last)?;
    }
    Ok(())
}

pub fn excluded(excluded: &[ExcludedDoc], out: &mut dyn Write) -> io::Result<()> {
    for left_out in excluded {
        let ExcludedDoc { node, why, by, at } = left_out;
        let text = format!("{node} since {at} by {by}: {why}; `include {node}` takes it back");
        beside(out, "left out   ", &text)?;
    }
    Ok(())
}

fn title(doc: &ProcedureDoc) -> String {
    let word = if doc.kind == "maintenance" { "kept" } else { "first" };
    let road = match doc.road.as_str() {
        "back" => ", ROLLING BACK",
        "abort" => ", GIVING UP",
        _ => "",
    };
    let auto = if doc.auto { ", on its own where proven" } else { "" };
    let outcome = doc.outcome.as_ref().map_or_else(String::new, |how| format!(": {how}"));
    format!("{} {}, {word} node {}{auto}{road}{outcome}", doc.kind, doc.id, doc.first)
}

fn checked(
    doc: &ProcedureDoc,
    phase: &PhaseDoc,
    taken: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (mark, since) = match phase.state.as_str() {
        "done" => ("[x]", String::new()),
        "now" => ("[>]", in_phase(doc, taken)),
        _ => ("[ ]", String::new()),
    };
    beside(out, &format!("           {mark} "), &format!("{}{since}", phase.phase))
}

fn in_phase(doc: &ProcedureDoc, taken: &str) -> String {
    let time = between(&doc.since, taken).map_or_else(String::new, elapsed);
    let limit = doc.limit_ms.map(|limit| format!(" of {}", elapsed(Duration::from_millis(limit))));
    let overdue = if doc.overdue { ", OVERDUE" } else { "" };
    format!("  for {time}{}{overdue}", limit.unwrap_or_default())
}

pub(super) fn held(hold: &str) -> String {
    match hold {
        "paused" => "`mode maintenance` paused it; `continue` resumes it".to_owned(),
        "restarted" => {
            "the gateway restarted: everything is proven anew; `continue` resumes it".to_owned()
        }
        other => other.to_owned(),
    }
}

pub(super) fn job(job: &JobDoc) -> String {
    match (job.state.as_str(), &job.since, &job.ending) {
        ("running", Some(since), _) => {
            let number = job.number.map_or_else(String::new, |n| format!(" (command {n})"));
            format!("{}: runs since {}{number}", job.work, clock(since))
        }
        ("ended", _, Some(ending)) => format!("{}: {ending}", job.work),
        ("unknown", ..) => {
            format!("{}: ran when the gateway died; its outcome is unknown", job.work)
        }
        ("wanted", ..) => format!("{}: to come", job.work),
        (other, ..) => format!("{}: {other}", job.work),
    }
}

/// An objection with what it means and what helps.
pub(super) fn objection(objection: &ObjectionDoc, out: &mut dyn Write) -> io::Result<()> {
    let id = objection.id.as_ref().unwrap_or(&objection.code);
    beside(out, "OBJECTION  ", &format!("{id}: {}", objection.detail))?;
    if let Some(meaning) = &objection.meaning {
        beside(out, "           meaning: ", meaning)?;
    }
    beside(out, "           remedy:  ", &objection.remedy)?;
    if objection.may_be_waived {
        beside(out, "           or:      ", &format!("drawspan waive {id} --why TEXT"))?;
    }
    Ok(())
}

/// As it is said on the command line.
pub(super) fn word(choice: &ChoiceDoc) -> String {
    let target = choice.target.as_ref().map_or_else(String::new, |target| format!(" {target}"));
    format!("{}{target}", choice.choice)
}

/// What may be said, with what it does; and what may not, with the reason.
pub(super) fn choices(doc: &ProcedureDoc, out: &mut dyn Write) -> io::Result<()> {
    let mut head = "say        ";
    for choice in doc.choices.iter().filter(|choice| choice.allowed) {
        let why = if choice.needs_why { " (needs a reason)" } else { "" };
        let word = word(choice);
        if word.chars().count() < 16 {
            beside(out, &format!("{head}{word:<15} "), &format!("{}{why}", choice.does))?;
        } else {
            beside(out, head, &word)?;
            beside(out, &" ".repeat(27), &format!("{}{why}", choice.does))?;
        }
        head = "           ";
    }
    let mut head = "not now    ";
    for choice in doc.choices.iter().filter(|choice| !choice.allowed) {
        let against = choice.objections.iter();
        let against: Vec<_> = against.map(|o| format!("{}; {}", o.detail, o.remedy)).collect();
        beside(out, &format!("{head}{:<15} ", word(choice)), &against.join("; "))?;
        head = "           ";
    }
    Ok(())
}

fn list<'a>(
    out: &mut dyn Write,
    head: &str,
    items: impl Iterator<Item = &'a str>,
) -> io::Result<()> {
    let mut head = head;
    for item in items {
        beside(out, &format!("{head:<10} - "), item)?;
        head = "";
    }
    Ok(())
}

/// Lines of a program are not wrapped: what they align stays aligned.
fn lines(out: &mut dyn Write, head: &str, of: &str, lines: &[String]) -> io::Result<()> {
    writeln!(out, "{head:<10} {}", printable(of))?;
    lines.iter().try_for_each(|line| writeln!(out, "           | {}", printable(line)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::control::wire::{EvidenceDoc, LogDoc, OutputDoc};

    fn phase(phase: &str, state: &str) -> PhaseDoc {
        PhaseDoc { phase: phase.into(), state: state.into() }
    }

    fn choice(choice: &str, target: Option<&str>, does: &str) -> ChoiceDoc {
        ChoiceDoc {
            choice: choice.into(),
            target: target.map(str::to_owned),
            does: does.into(),
            needs_why: target.is_some(),
            allowed: true,
            objections: vec![],
        }
    }

    fn objected(id: &str, detail: &str) -> ObjectionDoc {
        ObjectionDoc {
            id: Some(id.into()),
            code: id.split(':').next().unwrap_or_default().into(),
            node: None,
            detail: detail.into(),
            meaning: Some("it is not proven that this node is stopped".into()),
            remedy: "stop it, or say why it is stopped".into(),
            may_be_forced: false,
            may_be_waived: id.starts_with("not_down"),
        }
    }

    pub(in crate::cli::procedure) fn shown() -> ProcedureDoc {
        let job = |work: &str, state: &str| JobDoc {
            work: work.into(),
            state: state.into(),
            since: Some("2025-11-22T08:26:41.000Z".into()),
            number: (state == "running").then_some(120_000),
            at: None,
            ending: (state == "ended").then(|| "failed with exit code 3".into()),
            succeeded: None,
        };
        let refused = ChoiceDoc {
            allowed: false,
            objections: vec![objected("not_here", "nothing was changed yet")],
            ..choice("rollback", None, "stops every node")
        };
        ProcedureDoc {
            id: 12,
            kind: "upgrade".into(),
            road: "forward".into(),
            phase: "stop".into(),
            since: "2025-11-22T08:26:40.000Z".into(),
            limit_ms: Some(600_000),
            overdue: true,
            closed_too_long: false,
            revision: 14,
            first: "n1".into(),
            auto: false,
            hold: None,
            does: "stop every node, workers included".into(),
            needs: "each of them down".into(),
            phases: vec![phase("raise", "done"), phase("stop", "now"), phase("back-up", "to_come")],
            next: "back-up".into(),
            waiting_for: vec!["n1 is down (refused for 12 s of 30 s)".into()],
            asks: true,
            evidence: vec![EvidenceDoc {
                what: "mode maintenance: every worker is fenced and drained".into(),
                source: "workers".into(),
                at: Some("2025-11-22T08:26:40.000Z".into()),
            }],
            objections: vec![objected("not_down:n2", "n2 is not proven down: it times out")],
            choices: vec![
                choice("retry", None, "runs again: stop n2"),
                choice("waive", Some("not_down:n2"), "goes over not_down:n2; your reason is kept"),
                refused,
            ],
            jobs: vec![job("stop n1", "running"), job("stop n2", "ended")],
            output: Some(OutputDoc {
                work: "stop n2".into(),
                lines: vec!["ssh: connect to host n2: timed out\u{1b}[2J".into()],
            }),
            logs: vec![LogDoc { node: "n2".into(), lines: vec!["out of memory".into()] }],
            outcome: None,
        }
    }

    fn rendered(doc: &ProcedureDoc) -> String {
        let mut out = Vec::new();
        procedure(doc, "2025-11-22T08:28:45.000Z", &mut out).expect("memory takes it");
        String::from_utf8(out).expect("text")
    }

    const SCREEN: &str = "\
procedure  upgrade 12, first node n1
           [x] raise
           [>] stop for 2m05s of 10m00s, OVERDUE
           [ ] back-up
does       stop every node, workers included
until      each of them down
waits for  - n1 is down (refused for 12 s of 30 s)
proven     - mode maintenance: every worker is fenced and drained (workers
             08:26:40)
commands   - stop n1: runs since 08:26:41 (command 120000)
           - stop n2: failed with exit code 3
OBJECTION  not_down:n2: n2 is not proven down: it times out
           meaning: it is not proven that this node is stopped
           remedy:  stop it, or say why it is stopped
           or:      drawspan waive not_down:n2 --why TEXT
say        retry           runs again: stop n2
           waive not_down:n2
                           goes over not_down:n2; your reason is kept (needs a
                           reason)
not now    rollback        nothing was changed yet; stop it, or say why it is
                           stopped
output     of stop n2
           | ssh: connect to host n2: timed out\u{fffd}[2J
log        of n2
           | out of memory
answers    phase stop, revision 14
";

    #[test]
    fn a_procedure_is_readable_on_eighty_columns() {
        assert_eq!(rendered(&shown()), SCREEN);
        assert!(SCREEN.lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn one_that_is_over_says_how_it_ended_and_asks_nothing() {
        let over = ProcedureDoc {
            road: "back".into(),
            phase: "done".into(),
            phases: vec![phase("stop", "done"), phase("done", "done")],
            outcome: Some("rolled_back".into()),
            choices: vec![],
            objections: vec![],
            ..shown()
        };
        let text = rendered(&over);
        assert!(
            text.starts_with("procedure  upgrade 12, first node n1, ROLLING BACK: rolled_back")
        );
        assert!(!text.contains("answers") && !text.contains("[>]"), "{text}");
    }

    #[test]
    fn a_detour_a_pause_and_an_alarm_are_named() {
        let doc = ProcedureDoc {
            kind: "maintenance".into(),
            phase: "start-first".into(),
            phases: vec![phase("narrow", "to_come")],
            hold: Some("paused".into()),
            closed_too_long: true,
            ..shown()
        };
        let text = rendered(&doc);
        for part in ["[>] start-first (before those)", "kept node n1", "held  ", "ALARM "] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
