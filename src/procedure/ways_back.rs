//! When a procedure can be rolled back, or given up, and why not.

use super::choice::{Asked, no_way_back, not_here};
use super::{Job, Kind, Objection, ObjectionKind, Phase, Road, Work};
use crate::model::Mode;

impl Asked<'_> {
    fn public_has_not_written(&self) -> Vec<Objection> {
        let Some(since) = self.procedure.published else { return Vec::new() };
        let what = format!("the public has written since {since}");
        let remedy = "go on: `continue` lowers again; then repair forward, or restore by hand";
        vec![Objection::new(ObjectionKind::PublicHasWritten, what, remedy)]
    }

    pub(super) fn rollback(&self) -> Vec<Objection> {
        let written = self.public_has_not_written();
        if !written.is_empty() {
            return written;
        }
        if self.procedure.kind() != Kind::Upgrade {
            let what = "only an upgrade has a version and a backup to go back to";
            return no_way_back(what, "`abort`, or repair inside the application");
        }
        let far_enough = match self.phase() {
            Phase::Update | Phase::StartFirst | Phase::Verify | Phase::StartOthers => true,
            // Its own commands failed: `retry` is the way.
            Phase::Restore | Phase::Revert => false,
            // Up to the moment before: no switch was begun.
            Phase::Lower => self.facts.mode != Mode::Cluster && !self.facts.switching,
            Phase::Raise
            | Phase::Narrow
            | Phase::Stop
            | Phase::BackUp
            | Phase::Work
            | Phase::Done => false,
        };
        if self.procedure.road == Road::Back && !far_enough {
            let remedy = "`retry` runs this phase's commands again; go on until it is done";
            return not_here("it is rolling back already", remedy);
        }
        if self.procedure.road == Road::Abort {
            return not_here("it is given up already", "go on until it is done");
        }
        if !far_enough {
            let what = "nothing was changed yet that could be rolled back";
            return not_here(what, "`abort` gives up before the update");
        }
        let mut objections = self.nothing_runs();
        if self.procedure.backup.is_none() {
            let what = "there is no proven backup to restore";
            let remedy = "`retry` and `exclude` remain; repair forward";
            objections.push(Objection::new(ObjectionKind::NoWayBack, what, remedy));
        }
        let is_not_it = |job: &Job| job.work == Work::Rehash && job.has_failed();
        if self.procedure.jobs.iter().any(is_not_it) {
            let what = "the backup is not the one that was measured: nothing could be restored";
            let remedy = "put it back, then `retry` looks at it again; else go on without it";
            objections.push(Objection::new(ObjectionKind::NoWayBack, what, remedy));
        }
        objections
    }

    pub(super) fn abort(&self) -> Vec<Objection> {
        let written = self.public_has_not_written();
        if !written.is_empty() {
            return written;
        }
        if self.procedure.road == Road::Abort {
            return not_here("it is given up already", "go on until it is done");
        }
        if self.procedure.road == Road::Back {
            return no_way_back("it is rolling back", "go on until it is done");
        }
        let mut objections = self.nothing_runs();
        let remedy = "`rollback` restores the backup and the old version";
        match (self.procedure.kind(), self.phase()) {
            (_, Phase::Done) => return not_here("the procedure is over", "begin another"),
            (Kind::FirstStart, _) | (Kind::Upgrade, Phase::Raise | Phase::Stop | Phase::BackUp)
                if self.procedure.road == Road::Forward => {}
            (Kind::Upgrade, Phase::Update) if self.procedure.touched.is_none() => {}
            (Kind::FirstStart | Kind::Upgrade, _) => {
                let what = "the version was touched: the old one may not run on this data";
                objections.extend(no_way_back(what, remedy));
            }
            (Kind::Maintenance, Phase::Narrow | Phase::Stop | Phase::Work) => {
                objections.extend(self.no_work_done());
            }
            (Kind::Maintenance, _) => {
                let what = "the work in the application stands";
                let remedy = "go on: `confirm`, then the others start";
                let objection = Objection::new(ObjectionKind::WorkDone, what, remedy);
                objections.push(objection);
            }
        }
        objections
    }

    /// Work that was seen cannot be undone; the way on is the only one.
    fn no_work_done(&self) -> Option<Objection> {
        let kept = self.facts.node(&self.procedure.first).and_then(|kept| kept.plugins.as_ref());
        let before = &self.procedure.begin.before;
        let differs = |was: Option<&Vec<String>>, is: Option<&Vec<String>>| {
            was.is_some() && is.is_some() && was != is
        };
        let plugins = differs(before.plugins.as_ref(), kept);
        let called = self.facts.nodes.iter().any(|node| node.must_restart);
        (plugins || called).then(|| {
            let what = "work was done on the kept node: it cannot be undone from here";
            let remedy = "`continue` and verify it; undo it inside the application if you must";
            Objection::new(ObjectionKind::WorkDone, what, remedy)
        })
    }
}
