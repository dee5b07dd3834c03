//! The table of phases and choices for the documentation, from what was found to be possible.

use std::fmt::Write as _;
use std::path::Path;

use drawspan::procedure::{Kind, ObjectionKind, Phase, Road};

use super::met::Met;

fn does(verb: &str) -> &'static str {
    match verb {
        "continue" => "goes on when the proof is complete; ends a pause",
        "confirm" => "says that you have verified it",
        "retry" => "runs again what failed in this phase (all of it, where nothing failed)",
        "rollback" => "stops all, restores the backup, puts the old version back, starts, lowers",
        "abort" => "gives up: starts what was stopped, on the old version, and lowers",
        "waive" => "goes over one objection, with your reason on record",
        "exclude" => "goes on without a node; it stays out until `include`",
        "include" => "takes a node back; it is proven like the others",
        "change-first" => "stops the first node and starts another one first",
        "change-keep" => "restarts another node where needed, and keeps that one",
        "stop-again" => "stops what came back before its turn, and what was not seen to restart",
        "adopt" => "takes a command of unknown outcome for done",
        other => panic!("{other} has no line"),
    }
}

fn text(met: &Met) -> String {
    let mut text =
        "# Phases, choices and objections\n\nWritten by a test from what the procedures \
                    allow in some state; `status` says what they allow now.\n"
            .to_owned();
    for kind in Kind::ALL {
        for road in Road::ALL {
            let rows =
                |phase: &Phase| met.said.get(&[kind.as_str(), road.as_str(), phase.as_str()]);
            if !Phase::ALL.iter().any(|phase| rows(phase).is_some()) {
                continue;
            }
            let _ = writeln!(text, "\n## {kind}, {road}\n\n| phase | you can say |\n|---|---|");
            for phase in Phase::ALL {
                if let Some(verbs) = rows(&phase) {
                    let verbs: Vec<_> = verbs.iter().map(|verb| format!("`{verb}`")).collect();
                    let _ = writeln!(text, "| {phase} | {} |", verbs.join(", "));
                }
            }
        }
    }
    text.push_str("\n## What each choice does\n\n| choice | does |\n|---|---|\n");
    let verbs: std::collections::BTreeSet<_> = met.said.values().flatten().collect();
    for verb in verbs {
        let _ = writeln!(text, "| `{verb}` | {} |", does(verb));
    }
    text.push_str("\n## Objections\n\n| code | means | may be waived |\n|---|---|---|\n");
    for kind in ObjectionKind::ALL {
        let waived = match kind {
            ObjectionKind::CommandFailed => "the verify command's only",
            ObjectionKind::BackupChanged => {
                "yes; the way back goes with it. While restoring, where another one lies in its place"
            }
            ObjectionKind::NotDown => "where nothing shows that it runs",
            ObjectionKind::NotReady => "of a node without an address only",
            _ if kind.may_be_waived() => "yes, with a reason",
            _ => "no",
        };
        let _ = writeln!(text, "| `{}` | {} | {waived} |", kind.code(), kind.meaning());
    }
    text
}

/// The documentation says what was found; `UPDATE=1` writes it anew.
pub fn is_written(met: &Met) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/phases.md");
    let text = text(met);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).expect("docs/phases.md can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == text, "UPDATE=1 cargo test --test exploration writes docs/phases.md anew");
}
