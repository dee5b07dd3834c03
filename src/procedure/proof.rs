//! What is proven in a phase, what it waits for, and what speaks against going on.

use std::collections::BTreeSet;

use super::facts::Downness;
use super::{
    Course, Facts, Job, JobState, Kind, Member, NodeFacts, NodeRecord, Objection, ObjectionKind,
    Phase, Procedure, Road, Work,
};
use crate::model::{Mode, NodeId, NodeRole, Timestamp};

/// A fact that is proven, where from, and of which time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    pub what: String,
    pub source: &'static str,
    pub at: Option<Timestamp>,
}

/// How a phase stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub proven: Vec<Proof>,
    /// What will come by itself, or by the operator's hand, and has not yet.
    pub waiting_for: Vec<String>,
    /// What speaks against going on, and was not waived.
    pub objections: Vec<Objection>,
}

impl Standing {
    pub const fn is_complete(&self) -> bool {
        self.waiting_for.is_empty() && self.objections.is_empty()
    }

    fn proven(&mut self, what: impl Into<String>, source: &'static str, at: Option<Timestamp>) {
        self.proven.push(Proof { what: what.into(), source, at });
    }

    fn wait(&mut self, what: impl Into<String>) {
        self.waiting_for.push(what.into());
    }
}

/// How the present phase stands by these facts. The operator's own word, where a phase needs it,
/// is not part of it.
pub fn standing(procedure: &Procedure, facts: &Facts) -> Standing {
    let mut look = Look { procedure, facts, standing: Standing::default() };
    look.everywhere();
    match procedure.phase {
        Phase::Raise | Phase::Narrow => look.mode_is_in_force(),
        Phase::Stop => look.those_down(),
        Phase::BackUp => {
            look.those_down();
            look.backed_up();
        }
        Phase::Update | Phase::Restore | Phase::Revert => look.those_down(),
        Phase::StartFirst => look.first_started(),
        Phase::Work => {
            look.those_down();
            look.mode_is_in_force();
            look.node_ready(&procedure.first);
        }
        Phase::Verify => {
            look.those_down();
            look.node_ready(&procedure.first);
            look.first_is_right();
        }
        Phase::StartOthers => look.all_may_serve(),
        Phase::Lower if facts.mode == Mode::Cluster => look.mode_is_in_force(),
        Phase::Lower => {
            look.all_may_serve();
            look.mode_is_in_force();
        }
        Phase::Done => {}
    }
    look.jobs();
    let Look { mut standing, .. } = look;
    let (waived, open) = std::mem::take(&mut standing.objections)
        .into_iter()
        .partition(|objection| objection.waivable && procedure.waived(&objection.id()).is_some());
    standing.objections = open;
    for objection in waived {
        if let Some(waiver) = procedure.waived(&objection.id()) {
            let what = format!("waived by {}: {} ({})", waiver.by, objection.detail, waiver.why);
            standing.proven(what, "operator", Some(waiver.at));
        }
    }
    standing
}

/// Everything that speaks against lowering now, the mode itself left aside.
pub(super) fn against_lowering(procedure: &Procedure, facts: &Facts) -> Standing {
    let mut look = Look { procedure, facts, standing: Standing::default() };
    look.everywhere();
    look.all_may_serve();
    let waived =
        |objection: &Objection| objection.waivable && procedure.waived(&objection.id()).is_some();
    look.standing.objections.retain(|objection| !waived(objection));
    look.standing
}

struct Look<'a> {
    procedure: &'a Procedure,
    facts: &'a Facts,
    standing: Standing,
}

impl<'a> Look<'a> {
    fn object(&mut self, objection: Objection) {
        self.standing.objections.push(objection);
    }

    fn node(&self, id: &NodeId) -> NodeFacts {
        self.facts.node(id).cloned().unwrap_or_else(|| NodeFacts::unknown(id.clone()))
    }

    fn members(&self) -> impl Iterator<Item = (&'a Member, &'a NodeRecord)> + use<'a> {
        self.procedure.members()
    }

    /// What speaks against every phase.
    fn everywhere(&mut self) {
        for (_, node) in self.members().filter(|(_, node)| node.course == Course::CameBack) {
            let what = format!("{} was down and answers before its turn", node.id);
            let remedy = "`stop-again` stops it; look for a restart policy that started it";
            self.object(Objection::new(ObjectionKind::CameBack, what, remedy).of(&node.id));
        }
        if let Some(changed) = &self.procedure.nodes_changed {
            let remedy = "put the nodes of before back into the configuration and restart";
            self.object(Objection::new(ObjectionKind::NodesChanged, changed.clone(), remedy));
        }
        if let Some(why) = &self.facts.switch_refused {
            let what = format!("the mode could not be changed: {why}");
            let remedy = "mend what it names; it is tried again every second";
            self.object(Objection::new(ObjectionKind::SwitchRefused, what, remedy));
        }
    }

    fn mode_is_in_force(&mut self) {
        let Some(mode) = self.procedure.mode() else { return };
        if self.facts.mode != mode {
            return self.standing.wait(format!("mode {mode} (now {})", self.facts.mode));
        }
        if self.facts.switching {
            return self.standing.wait(format!("mode {mode}: every worker fenced and drained"));
        }
        let what = format!("mode {mode}: every worker is fenced and drained");
        self.standing.proven(what, "workers", Some(self.facts.now));
        for node in &self.facts.nodes {
            if 0 < node.in_flight || 0 < node.abandoned {
                let (id, held, lost) = (&node.id, node.in_flight, node.abandoned);
                let what = format!("{id}: {held} requests in flight, {lost} abandoned");
                self.standing.proven(what, "workers", Some(self.facts.now));
            }
        }
    }

    /// The nodes that this phase wants down.
    fn those_down(&mut self) {
        for (member, node) in self.members() {
            if self.procedure.must_be_down(&node.id) {
                self.down(member, node);
            }
        }
    }

    fn down(&mut self, member: &Member, node: &NodeRecord) {
        let id = &node.id;
        if node.course == Course::CameBack {
            return; // Objected to already.
        }
        if node.course == Course::Down && !node.unproven {
            return self.standing.proven(format!("{id} is down"), "node", Some(self.facts.now));
        }
        let Some(after) = self.procedure.stop_asked(node) else {
            return; // Its command still runs, which is waited for.
        };
        let known = self.node(id);
        match known.downness(self.facts.now, after, self.procedure.enough()) {
            Downness::Proven(how) => self.standing.wait(format!("{id} is down ({how})")),
            Downness::Refused { since } => {
                let (for_now, enough) =
                    (self.facts.now.since(since), self.procedure.enough().down_after);
                self.standing.wait(format!(
                    "{id} is refused without a break for {} s (for {} s until now)",
                    enough.as_secs(),
                    for_now.as_secs()
                ));
            }
            Downness::Answers(what) if !self.has_stop_command(member) => {
                self.standing.wait(format!("{id} is stopped, by your hand (now {what})"));
            }
            Downness::Answers(what) => {
                let what = format!("{id} is not down: {what}");
                let remedy = "stop it; `retry` runs the stop command again";
                let objection = Objection::new(ObjectionKind::NotDown, what, remedy);
                self.object(objection.of(id).not_waivable());
            }
            Downness::Unclear(what) => {
                let what = if member.address.is_none() {
                    format!("{id} has no address, and no status command says that it is stopped")
                } else {
                    format!("{id} is not proven down: {what}")
                };
                let remedy = "see yourself that it is stopped, then `waive` this with your reason; \
                              a `status` command proves it";
                self.object(Objection::new(ObjectionKind::NotDown, what, remedy).of(id));
            }
        }
    }

    fn has_stop_command(&self, member: &Member) -> bool {
        let means = &self.procedure.begin.means;
        member.means.stop
            || match self.procedure.kind() {
                Kind::Maintenance => means.stop_others,
                Kind::FirstStart | Kind::Upgrade => means.stop_all,
            }
    }

    fn node_ready(&mut self, id: &NodeId) {
        let known = self.node(id);
        let enough = self.procedure.enough();
        let has_address = self.procedure.begin.member(id).is_some_and(|m| m.address.is_some());
        if !has_address {
            if known.is_running(self.facts.now, enough) {
                let at = Some(self.facts.now);
                return self.standing.proven(format!("{id} runs"), "status command", at);
            }
            let what = format!("{id} has no address, and no status command says that it runs");
            let remedy = "see yourself that it runs, then `waive` this with your reason";
            return self.object(Objection::new(ObjectionKind::NotReady, what, remedy).of(id));
        }
        if known.is_ready(self.facts.now, enough) {
            let what = format!("{id} is ready, {} times in a row", known.ready_in_a_row);
            return self.standing.proven(what, "probe", known.taken);
        }
        if known.is_fresh(self.facts.now, enough.stale_after)
            && known.state == crate::model::NodeState::Ready
        {
            let (times, of) = (known.ready_in_a_row, enough.ready_in_a_row);
            return self
                .standing
                .wait(format!("{id} is ready {of} times in a row ({times} so far)"));
        }
        let what = format!("{id} is {}: {}", known.state, known.reason);
        let remedy = "look at its log; `retry` starts it again, `exclude` goes on without one of the \
                      others, `change-first` or `change-keep` takes another";
        let starting = matches!(self.procedure.phase, Phase::StartFirst | Phase::StartOthers);
        if starting && !self.procedure.overdue {
            return self.standing.wait(format!("{id} is ready ({what})"));
        }
        let objection = Objection::new(ObjectionKind::NotReady, what, remedy).of(id);
        self.object(objection.not_waivable());
    }

    fn restarted(&mut self, node: &NodeRecord) {
        let known = self.node(&node.id);
        if self.procedure.must_have_restarted(&node.id) && node.course != Course::Started {
            let (facts, enough) = (self.facts, self.procedure.enough());
            if node.course == Course::Down || !known.is_ready(facts.now, enough) {
                return self.standing.wait(format!("{} is restarted", node.id));
            }
            let what = format!("{} was not seen down and then ready", node.id);
            self.not_restarted(&node.id, what);
        } else if known.must_restart {
            let what = format!("{} was not restarted since a call changed what runs", node.id);
            self.not_restarted(&node.id, what);
        }
    }

    fn not_restarted(&mut self, id: &NodeId, what: String) {
        let remedy = "restart it (stop, wait until it is down, start), or `exclude` it";
        self.object(Objection::new(ObjectionKind::NotRestarted, what, remedy).of(id));
    }

    /// Every node that is not left out: ready, restarted, and of one build.
    fn all_may_serve(&mut self) {
        for (_, node) in self.members().filter(|(_, node)| node.excluded.is_none()) {
            self.node_ready(&node.id);
            self.restarted(node);
        }
        for (_, node) in self.members() {
            if let Some(why) = &node.excluded {
                self.standing.proven(format!("{} is left out: {why}", node.id), "operator", None);
            }
        }
        self.one_build();
    }

    fn one_build(&mut self) {
        let serving: Vec<NodeId> = self.procedure.serving().cloned().collect();
        let known: Vec<NodeFacts> = serving.iter().map(|id| self.node(id)).collect();
        let by_image = known.iter().all(|node| node.image.is_some());
        let build = |node: &NodeFacts| {
            if by_image { node.image.clone() } else { node.build.clone() }
        };
        for node in known.iter().filter(|node| build(node).is_none()) {
            let what = format!("what {} runs could not be found out", node.id);
            let remedy = "look at its page yourself, then `waive` this with your reason; a `build` \
                          command proves it";
            let objection = Objection::new(ObjectionKind::BuildUnknown, what, remedy);
            self.object(objection.of(&node.id));
        }
        let builds: BTreeSet<String> = known.iter().filter_map(build).collect();
        if 1 < builds.len() {
            let each =
                known.iter().filter_map(|node| Some(format!("{} {}", node.id, build(node)?)));
            let what =
                format!("the nodes run different builds: {}", each.collect::<Vec<_>>().join(", "));
            let remedy = "bring the others to the first one's version and restart them, or `exclude` \
                          them";
            return self.object(Objection::new(ObjectionKind::MixedBuilds, what, remedy));
        }
        if let Some(build) = builds.first() {
            self.standing.proven(format!("one build on all nodes: {build}"), "page", None);
        }
    }

    fn first_started(&mut self) {
        self.those_down();
        let first = self.procedure.first.clone();
        self.node_ready(&first);
        if self.procedure.kind() == Kind::Maintenance {
            let record = self.procedure.record(&first);
            let taken_back =
                record.filter(|node| !matches!(node.course, Course::Untouched | Course::Started));
            if taken_back.is_some() {
                self.standing.wait(format!("{first} is restarted"));
            }
            return;
        }
        if let Some(node) = self.procedure.record(&first) {
            self.restarted(node);
        }
        self.first_is_right();
    }

    /// Version, build and plugins of the first node are those that they should be.
    fn first_is_right(&mut self) {
        if self.procedure.road == Road::Abort {
            return;
        }
        let first = self.node(&self.procedure.first);
        let begin = &self.procedure.begin;
        match (self.procedure.kind(), self.procedure.road) {
            (Kind::Upgrade, Road::Forward | Road::Abort) => {
                self.version_is(begin.to.as_deref(), &first);
                self.something_changed(&first);
                self.plugins_kept(&first);
            }
            (Kind::Upgrade, Road::Back) => {
                self.version_is(begin.before.version.as_deref(), &first);
                self.build_of_before(&first);
                self.plugins_kept(&first);
            }
            (Kind::FirstStart, _) => match &first.plugins {
                Some(plugins) if !plugins.is_empty() => {
                    let what = format!("{} plugins are enabled", plugins.len());
                    self.standing.proven(what, "pm:listEnabled", first.taken);
                }
                Some(_) | None => self.standing.wait("its plugins are installed and enabled"),
            },
            (Kind::Maintenance, _) => self.plugins_now(&first),
        }
    }

    fn version_is(&mut self, wanted: Option<&str>, first: &NodeFacts) {
        match (wanted, &first.version) {
            (Some(wanted), Some(found)) if wanted == found => {
                let what = format!("the database names version {found}");
                self.standing.proven(what, "app:getInfo", first.taken);
            }
            (Some(wanted), Some(found)) => {
                let what = format!("the database names version {found}, not {wanted}");
                let remedy = "see which version the node runs; `retry`, or `rollback`";
                self.object(Objection::new(ObjectionKind::WrongVersion, what, remedy));
            }
            (Some(wanted), None) => self.standing.wait(format!("the version row ({wanted})")),
            (None, found) => {
                if let Some(found) = found {
                    let what = format!("the database names version {found}");
                    self.standing.proven(what, "app:getInfo", first.taken);
                }
            }
        }
    }

    fn something_changed(&mut self, first: &NodeFacts) {
        let before = &self.procedure.begin.before;
        let (was, is) = match (&before.image, &first.image) {
            (Some(was), Some(is)) => (Some(was), Some(is)),
            (Some(_) | None, None) | (None, Some(_)) => {
                (before.build.as_ref(), first.build.as_ref())
            }
        };
        match (was, is) {
            (Some(was), Some(is)) if was == is => {
                let what = format!("{} runs the same build as before ({is})", first.id);
                let remedy = "see whether the update really changed the version; `retry`, `rollback`, \
                              or `waive` this with your reason";
                self.object(Objection::new(ObjectionKind::NothingChanged, what, remedy));
            }
            (Some(was), Some(is)) => {
                self.standing.proven(format!("build {is} (before: {was})"), "page", first.taken);
            }
            (Some(_) | None, None) | (None, Some(_)) => {}
        }
    }

    fn build_of_before(&mut self, first: &NodeFacts) {
        let before = &self.procedure.begin.before;
        let (was, is) = match (&before.image, &first.image) {
            (Some(was), Some(is)) => (Some(was), Some(is)),
            (Some(_) | None, None) | (None, Some(_)) => {
                (before.build.as_ref(), first.build.as_ref())
            }
        };
        match (was, is) {
            (Some(was), Some(is)) if was != is => {
                let what = format!("{} runs {is}, and ran {was} before the upgrade", first.id);
                let remedy = "put the old version in place, then `retry`";
                self.object(Objection::new(ObjectionKind::WrongBuild, what, remedy));
            }
            (Some(_), Some(is)) => {
                self.standing.proven(format!("the build of before: {is}"), "page", first.taken);
            }
            (Some(_) | None, None) | (None, Some(_)) => {}
        }
    }

    fn plugins_kept(&mut self, first: &NodeFacts) {
        let (Some(before), Some(now)) = (&self.procedure.begin.before.plugins, &first.plugins)
        else {
            return;
        };
        let lost: Vec<&str> =
            before.iter().filter(|name| !now.contains(name)).map(String::as_str).collect();
        if lost.is_empty() {
            let what = format!("all {} plugins of before are enabled", before.len());
            return self.standing.proven(what, "pm:listEnabled", first.taken);
        }
        let what = format!("plugins that were enabled before are not now: {}", lost.join(", "));
        let remedy = "see whether the new version dropped them on purpose; then `waive` this with \
                      your reason, else `rollback`";
        self.object(Objection::new(ObjectionKind::PluginsLost, what, remedy));
    }

    /// In-app work: what it changed, for whoever verifies.
    fn plugins_now(&mut self, first: &NodeFacts) {
        let (Some(before), Some(now)) = (&self.procedure.begin.before.plugins, &first.plugins)
        else {
            return;
        };
        let new = now.iter().filter(|name| !before.contains(name)).map(|name| format!("+{name}"));
        let gone = before.iter().filter(|name| !now.contains(name)).map(|name| format!("-{name}"));
        let all: Vec<String> = new.chain(gone).collect();
        let changed = if all.is_empty() { "none changed".to_owned() } else { all.join(" ") };
        let what = format!("plugins enabled: {} (before {}): {changed}", now.len(), before.len());
        self.standing.proven(what, "pm:listEnabled", first.taken);
    }

    fn backed_up(&mut self) {
        let procedure = self.procedure;
        for flaw in &procedure.flaws {
            let remedy = "look at the command's output; `retry` backs up again";
            self.object(Objection::new(ObjectionKind::BackupFlawed, flaw.to_string(), remedy));
        }
        if let (Some(free), Some(last)) =
            (self.facts.free_bytes, procedure.begin.before.backup_bytes)
            && free < last
            && procedure.backup.is_none()
        {
            let what = format!("{free} bytes are free; the last backup took {last}");
            let remedy = "free space where the backup goes, or `waive` this with your reason";
            self.object(Objection::new(ObjectionKind::LittleSpace, what, remedy));
        }
        let Some(backup) = &procedure.backup else {
            if !self.backup_is_under_way() || procedure.waived("no_backup").is_some() {
                let what = "there is no proven backup";
                let remedy = "back up, then `retry` (or `continue` where you do it by hand); without \
                              one there is no rollback: `waive` only with a reason that you can defend";
                self.object(Objection::new(ObjectionKind::NoBackup, what, remedy));
            }
            return;
        };
        for artefact in &backup.artefacts {
            let (path, bytes) = (&artefact.path, artefact.bytes);
            let digest: String = artefact.sha256.chars().take(16).collect();
            let what = format!("{path}: {bytes} bytes, SHA-256 {digest}...");
            self.standing.proven(what, "disk", Some(backup.at));
        }
        if let Some(last) = procedure.begin.before.backup_bytes
            && backup.bytes() < last / 2
        {
            let what = format!("the backup has {} bytes; the last one had {last}", backup.bytes());
            let remedy = "see what is missing; `retry`, or `waive` this with your reason";
            self.object(Objection::new(ObjectionKind::MuchSmaller, what, remedy));
        }
    }

    fn backup_is_under_way(&self) -> bool {
        let open = |job: &Job| matches!(job.state, JobState::Wanted | JobState::Running { .. });
        self.procedure.jobs.iter().any(|job| open(job) && !self.waits_for_word(job))
    }

    /// The commands of this phase.
    fn jobs(&mut self) {
        let nodes_say = self.standing.is_complete();
        for job in &self.procedure.jobs {
            let proven_otherwise = job.work.is_proven_by_nodes() && nodes_say;
            match &job.state {
                _ if proven_otherwise && !job.is_running() => {}
                JobState::Wanted if self.waits_for_word(job) => {}
                JobState::Wanted => self.standing.wait(format!("the command: {}", job.work)),
                JobState::Running { since, .. } => {
                    self.standing.wait(format!("{} (runs since {since})", job.work));
                }
                JobState::Ended { ending, at } if ending.is_success() => {
                    let what = format!("{} {ending}", job.work);
                    self.standing.proven(what, "exit code", Some(*at));
                }
                JobState::Ended { ending, at: _ } => {
                    let failed = self.failure(job, &format!("{} {ending}", job.work));
                    self.object(failed);
                }
                JobState::Unknown { .. } => {
                    let what =
                        format!("{} ran when the gateway died; its outcome is unknown", job.work);
                    let remedy =
                        "see what it did; `adopt` takes it for done, `retry` runs it again";
                    self.object(Objection::new(ObjectionKind::CommandUnknown, what, remedy));
                }
            }
        }
    }

    /// Measuring a backup by hand begins with the operator's word.
    fn waits_for_word(&self, job: &Job) -> bool {
        self.procedure.phase == Phase::BackUp
            && self.procedure.is_by_hand()
            && !self.procedure.word
            && matches!(job.work, Work::Measure | Work::VerifyBackup)
    }

    fn failure(&self, job: &Job, what: &str) -> Objection {
        if job.work == Work::Rehash {
            let flaws = self.procedure.flaws.iter().map(ToString::to_string);
            let what = flaws.collect::<Vec<_>>().join("; ");
            let remedy = "find the backup that was made and put it back, then `retry`";
            return Objection::new(ObjectionKind::BackupChanged, what, remedy);
        }
        let failed = |remedy| Objection::new(ObjectionKind::CommandFailed, what, remedy);
        if job.work == Work::Verify {
            // The operator's eye may know better than a script.
            let remedy = "look at its output; `retry` runs it again, `rollback` goes back; where the \
                          command is wrong, `waive` this with your reason";
            return Objection { waivable: true, ..failed(remedy) };
        }
        failed("look at its output; `retry` runs it again")
    }
}

impl Procedure {
    /// From when on a silent port counts for this node; `None` while its stop command runs or is
    /// about to.
    pub(super) fn stop_asked(&self, node: &NodeRecord) -> Option<Timestamp> {
        let stops = |job: &&Job| match &job.work {
            Work::Stop(other) => *other == node.id,
            Work::StopAll => true,
            Work::StopOthers => !self.is_first(&node.id),
            Work::Start(_)
            | Work::StartFirst
            | Work::StartOthers
            | Work::Backup
            | Work::Measure
            | Work::VerifyBackup
            | Work::Update
            | Work::Rehash
            | Work::Restore
            | Work::Revert
            | Work::Verify => false,
        };
        let under_way = self
            .jobs
            .iter()
            .filter(stops)
            .any(|job| matches!(job.state, JobState::Wanted | JobState::Running { .. }));
        if under_way {
            return None;
        }
        let asked = node.stop_ended.unwrap_or(self.began);
        // After a restart of the gateway the watch begins anew.
        Some(self.resumed.filter(|_| node.unproven).map_or(asked, |resumed| resumed.max(asked)))
    }

    pub(super) fn is_worker(&self, id: &NodeId) -> bool {
        self.begin.member(id).is_some_and(|member| member.role == NodeRole::Worker)
    }
}
