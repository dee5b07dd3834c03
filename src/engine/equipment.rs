//! What the operator configured for procedures: commands, artefacts, bounds.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{
    self, CommandLine, Drivers, NodeConfig, NodeDrivers, Placeholder, Placeholders, Procedures,
};
use crate::drivers::{self, Order, Runner, Until};
use crate::model::limits::FACTS_AGE_MAX;
use crate::model::{NodeId, NodeRole};
use crate::procedure::{
    Bounds, Kind, Means, Member, NodeMeans, Phase, PhaseLimits, Procedure, Road, Work,
};

/// The operator's commands, and where they are run.
#[derive(Clone, Debug)]
pub struct Equipment {
    pub runner: Runner,
    pub nodes: Vec<NodeConfig>,
    pub drivers: Drivers,
    pub procedures: Procedures,
    /// How long requests on removed nodes may go on at a switch of a procedure.
    pub drain: Duration,
}

impl Equipment {
    pub(super) fn means(&self) -> Means {
        let drivers = &self.drivers;
        Means {
            stop_all: drivers.stop_all.is_some(),
            stop_others: drivers.stop_others.is_some(),
            start_first: drivers.start_first.is_some(),
            start_others: drivers.start_others.is_some(),
            backup: drivers.backup.is_some(),
            verify_backup: drivers.verify_backup.is_some(),
            update: drivers.update.is_some(),
            restore: drivers.restore.is_some(),
            revert: drivers.revert.is_some(),
            verify: drivers.verify.is_some(),
        }
    }

    pub(super) fn members(&self) -> Vec<Member> {
        let member = |node: &NodeConfig| Member {
            id: node.id.clone(),
            role: node.role,
            address: node.address.as_ref().map(ToString::to_string),
            means: NodeMeans {
                start: node.drivers.start.is_some(),
                stop: node.drivers.stop.is_some(),
                status: node.drivers.status.is_some(),
                build: node.drivers.build.is_some(),
            },
        };
        self.nodes.iter().map(member).collect()
    }

    pub(super) fn bounds(&self) -> Bounds {
        let (settings, limits) = (&self.procedures, self.procedures.limits);
        Bounds {
            down_after: settings.down_after,
            ready_in_a_row: settings.ready_in_a_row,
            stale_after: FACTS_AGE_MAX,
            closed_max: settings.closed_max,
            limits: PhaseLimits::new([
                (Phase::Raise, limits.raise),
                (Phase::Narrow, limits.narrow),
                (Phase::Stop, limits.stop),
                (Phase::BackUp, limits.back_up),
                (Phase::Update, limits.update),
                (Phase::Restore, limits.restore),
                (Phase::Revert, limits.revert),
                (Phase::StartFirst, limits.start_first),
                (Phase::Work, limits.work),
                (Phase::Verify, limits.verify),
                (Phase::StartOthers, limits.start_others),
                (Phase::Lower, limits.lower),
            ]),
        }
    }

    /// Where the backup of procedure `id` goes, and the artefacts that it leaves. A plan has no
    /// number yet.
    ///
    /// # Errors
    /// A placeholder that has no value there.
    pub(super) fn backup_of(
        &self,
        id: Option<u64>,
    ) -> Result<(String, Vec<String>), config::Unfilled> {
        let id = id.map_or_else(|| "ID".to_owned(), |id| id.to_string());
        let mut values = Placeholders::from([(Placeholder::Id, id)]);
        let path = config::fill(&self.procedures.backup_path, &values)?;
        values.insert(Placeholder::Backup, path.clone());
        let artefacts = self.procedures.artefacts.iter();
        let artefacts = artefacts.map(|artefact| config::fill(artefact, &values));
        Ok((path, artefacts.collect::<Result<_, _>>()?))
    }

    /// The first node of role request.
    pub(super) fn first_request(&self) -> Option<&NodeId> {
        let mut requests = self.nodes.iter().filter(|node| node.role == NodeRole::Request);
        requests.next().map(|node| &node.id)
    }

    pub(super) fn of_node(&self, id: &NodeId) -> Option<&NodeDrivers> {
        self.nodes.iter().find(|node| node.id == *id).map(|node| &node.drivers)
    }

    /// The command of a piece of work, filled for this procedure.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub(super) fn order(&self, work: &Work, procedure: &Procedure) -> Result<Order, String> {
        let (node, command) = match work {
            Work::Stop(node) => (node, self.of_node(node).and_then(|own| own.stop.as_ref())),
            Work::Start(node) => (node, self.of_node(node).and_then(|own| own.start.as_ref())),
            Work::StopAll => (&procedure.first, self.drivers.stop_all.as_ref()),
            Work::StopOthers => (&procedure.first, self.drivers.stop_others.as_ref()),
            Work::StartFirst => (&procedure.first, self.drivers.start_first.as_ref()),
            Work::StartOthers => (&procedure.first, self.drivers.start_others.as_ref()),
            Work::Backup => (&procedure.first, self.drivers.backup.as_ref()),
            Work::VerifyBackup => (&procedure.first, self.drivers.verify_backup.as_ref()),
            Work::Update => (&procedure.first, self.drivers.update.as_ref()),
            Work::Restore => (&procedure.first, self.drivers.restore.as_ref()),
            Work::Revert => (&procedure.first, self.drivers.revert.as_ref()),
            Work::Verify => (&procedure.first, self.drivers.verify.as_ref()),
            Work::Measure | Work::Rehash => return Err("it is no command".to_owned()),
        };
        let Some(command) = command else {
            return Err("its command is not in the configuration any more".to_owned());
        };
        let mut order = self.filled(command, node, procedure)?;
        order.until = match work.is_proven_by_nodes() {
            // What a start leaves behind is the node.
            true => Until::Itself,
            false => Until::Group,
        };
        Ok(order)
    }

    /// One of these commands that cannot be run without a version, if any is configured so.
    pub(super) fn needing_version(&self, names: &[&str]) -> Option<&'static str> {
        let of_nodes = self.nodes.iter().flat_map(|node| node.drivers.each());
        let mut all = self.drivers.each().into_iter().chain(of_nodes);
        let needs = |command: &CommandLine| command.needs().contains(&Placeholder::Version);
        all.find(|(name, command)| names.contains(name) && command.is_some_and(needs))
            .map(|(name, _)| name)
    }

    /// A quick command of one node.
    pub(super) fn ask(
        &self,
        command: Option<&CommandLine>,
        node: &NodeId,
        procedure: &Procedure,
    ) -> Option<Order> {
        self.filled(command?, node, procedure).ok()
    }

    /// The command that tells what a node runs, which needs no procedure.
    pub(super) fn build_of(&self, node: &NodeConfig) -> Option<Order> {
        let mut values = Placeholders::from([(Placeholder::Node, node.id.to_string())]);
        let address = node.address.as_ref();
        values.extend(address.map(|address| (Placeholder::Address, address.to_string())));
        drivers::fill(node.drivers.build.as_ref()?, &values).ok()
    }

    fn filled(
        &self,
        command: &CommandLine,
        node: &NodeId,
        procedure: &Procedure,
    ) -> Result<Order, String> {
        let values = values(node, procedure);
        drivers::fill(command, &values).map_err(|unfilled| match unfilled.0 {
            Placeholder::Version => {
                "it needs {version}, which is not known: `begin` names it with \
                                     --to, and the old one is what the database named before"
                    .to_owned()
            }
            _ => unfilled.to_string(),
        })
    }

    /// The command that tells people something, filled.
    pub(super) fn notification(&self, procedure: &Procedure, message: &str) -> Option<Order> {
        let command = self.drivers.notify.as_ref()?;
        let mut values = values(&procedure.first, procedure);
        values.insert(Placeholder::Message, message.to_owned());
        drivers::fill(command, &values).ok()
    }

    /// Folder that free space is looked for in.
    pub(super) fn backup_place(&self, procedure: &Procedure) -> PathBuf {
        PathBuf::from(procedure.begin.artefacts.first().unwrap_or(&procedure.begin.backup_path))
    }
}

/// What placeholders stand for. On the road back the version is the old one, as it is where none is
/// to change.
fn values(node: &NodeId, procedure: &Procedure) -> Placeholders {
    let begin = &procedure.begin;
    let version = match procedure.road {
        Road::Forward if procedure.kind() == Kind::Upgrade => begin.to.as_ref(),
        Road::Forward | Road::Back | Road::Abort => begin.before.version.as_ref(),
    };
    let mut values = Placeholders::from([
        (Placeholder::Node, node.to_string()),
        (Placeholder::Backup, begin.backup_path.clone()),
        (Placeholder::Id, procedure.id.to_string()),
        (Placeholder::Phase, procedure.phase.to_string()),
        (Placeholder::Procedure, procedure.kind().to_string()),
    ]);
    let address = begin.member(node).and_then(|member| member.address.clone());
    values.extend(address.map(|address| (Placeholder::Address, address)));
    values.extend(version.map(|version| (Placeholder::Version, version.clone())));
    values
}

/// How long a quick answer is waited for before it is asked for again.
pub(super) const ASK_STATUS_EVERY: Duration = Duration::from_secs(2);
/// A node that comes and goes is not asked more often.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(1);
pub(super) const ASK_BUILD_EVERY: Duration = Duration::from_secs(5);
/// The same while no procedure runs.
pub(super) const ASK_BUILD_IDLE: Duration = Duration::from_secs(60);
