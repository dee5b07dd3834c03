//! What the procedures hold to: backups, proofs, time limits.

use std::path::Path;
use std::time::Duration;

use super::super::document::Section;
use super::super::placeholders::{Placeholder, literal, needs};
use super::super::problems::{At, Place};
use super::super::{PhaseLimits, Procedures};
use super::drivers::check_placeholders;
use crate::model::limits::ARTEFACTS_MAX;

const SECOND: Duration = Duration::from_secs(1);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

pub(super) fn procedures(s: &mut Section, state_dir: &Path) -> Procedures {
    let ready_in_a_row = s.count("ready_in_a_row", &(1..=100)).unwrap_or(5);
    Procedures {
        backup_path: backup_path(s, state_dir),
        artefacts: artefacts(s),
        down_after: s.duration("down_after", 30 * SECOND, &(SECOND..=600 * SECOND)),
        ready_in_a_row,
        closed_max: s.duration("closed_max", 4 * 3600 * SECOND, &(60 * SECOND..=WEEK)),
        limits: s.section_called("limits", "procedures.limits", limits),
    }
}

fn backup_path(s: &mut Section, state_dir: &Path) -> String {
    // A folder may have braces in its name; those are no placeholders.
    let default = || format!("{}/backups/{{id}}", literal(&state_dir.to_string_lossy()));
    let Some(At { place, value }) = s.text("backup_path", "/var/backups/nocobase/{id}") else {
        return default();
    };
    if s.check_path(&place, &value) {
        check_placeholders(s, &place, &value, &[Placeholder::Id]);
        if needs(&value).is_ok_and(|needs| needs.is_empty()) {
            let message = "is the same in each procedure: a backup takes the place of the last \
                           one; write {id} into it";
            s.warn(&place, message);
        }
    }
    value
}

fn artefacts(s: &mut Section) -> Vec<String> {
    let default = || vec!["{backup}".to_owned()];
    let Some(At { place, value: written }) = s.texts("artefacts", "{backup}") else {
        return default();
    };
    if !(1..=ARTEFACTS_MAX).contains(&written.len()) {
        let has = written.len();
        s.problem(&place, format!("has {has} entries; write 1 to {ARTEFACTS_MAX}"));
        return default();
    }
    for At { place, value } in &written {
        check_artefact(s, place, value);
    }
    written.into_iter().map(|at| at.value).collect()
}

fn check_artefact(s: &mut Section, place: &Place, value: &str) {
    if value.starts_with("{backup}") || s.check_path(place, value) {
        check_placeholders(s, place, value, &[Placeholder::Backup]);
    }
}

fn limits(s: &mut Section) -> PhaseLimits {
    let default = PhaseLimits::default();
    let mut limit = |key, default| s.duration(key, default, &(SECOND..=WEEK));
    PhaseLimits {
        raise: limit("raise", default.raise),
        narrow: limit("narrow", default.narrow),
        stop: limit("stop", default.stop),
        back_up: limit("back_up", default.back_up),
        update: limit("update", default.update),
        start_first: limit("start_first", default.start_first),
        work: limit("work", default.work),
        verify: limit("verify", default.verify),
        start_others: limit("start_others", default.start_others),
        restore: limit("restore", default.restore),
        revert: limit("revert", default.revert),
        lower: limit("lower", default.lower),
    }
}
