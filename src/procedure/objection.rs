//! Why a procedure does not go on, what that means, and what helps.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::NodeId;

/// What kind of thing speaks against going on. Its name is stable: programs and waivers use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectionKind {
    NotDown,
    CameBack,
    NotReady,
    NotRestarted,
    MixedBuilds,
    BuildUnknown,
    NothingChanged,
    WrongBuild,
    WrongVersion,
    PluginsLost,
    CommandFailed,
    CommandUnknown,
    CommandRunning,
    NoBackup,
    BackupFlawed,
    MuchSmaller,
    LittleSpace,
    BackupChanged,
    NodesChanged,
    SwitchRefused,
    PublicHasWritten,
    NoWayBack,
    WorkDone,
    LastNode,
    NotHere,
    NotYet,
}

impl ObjectionKind {
    pub const ALL: [Self; 26] = [
        Self::NotDown,
        Self::CameBack,
        Self::NotReady,
        Self::NotRestarted,
        Self::MixedBuilds,
        Self::BuildUnknown,
        Self::NothingChanged,
        Self::WrongBuild,
        Self::WrongVersion,
        Self::PluginsLost,
        Self::CommandFailed,
        Self::CommandUnknown,
        Self::CommandRunning,
        Self::NoBackup,
        Self::BackupFlawed,
        Self::MuchSmaller,
        Self::LittleSpace,
        Self::BackupChanged,
        Self::NodesChanged,
        Self::SwitchRefused,
        Self::PublicHasWritten,
        Self::NoWayBack,
        Self::WorkDone,
        Self::LastNode,
        Self::NotHere,
        Self::NotYet,
    ];

    pub const fn code(self) -> &'static str {
        match self {
            Self::NotDown => "not_down",
            Self::CameBack => "came_back",
            Self::NotReady => "not_ready",
            Self::NotRestarted => "not_restarted",
            Self::MixedBuilds => "mixed_builds",
            Self::BuildUnknown => "build_unknown",
            Self::NothingChanged => "nothing_changed",
            Self::WrongBuild => "wrong_build",
            Self::WrongVersion => "wrong_version",
            Self::PluginsLost => "plugins_lost",
            Self::CommandFailed => "command_failed",
            Self::CommandUnknown => "command_unknown",
            Self::CommandRunning => "command_running",
            Self::NoBackup => "no_backup",
            Self::BackupFlawed => "backup_flawed",
            Self::MuchSmaller => "much_smaller",
            Self::LittleSpace => "little_space",
            Self::BackupChanged => "backup_changed",
            Self::NodesChanged => "nodes_changed",
            Self::SwitchRefused => "switch_refused",
            Self::PublicHasWritten => "public_has_written",
            Self::NoWayBack => "no_way_back",
            Self::WorkDone => "work_done",
            Self::LastNode => "last_node",
            Self::NotHere => "not_here",
            Self::NotYet => "not_yet",
        }
    }

    /// What names an objection of this kind, to this node: `not_down:n2`, `no_backup`.
    pub fn id(self, node: Option<&NodeId>) -> String {
        match node {
            Some(node) => format!("{}:{node}", self.code()),
            None => self.code().to_owned(),
        }
    }

    /// The kind, and the node, that such a name stands for.
    pub(super) fn named(id: &str) -> Option<(Self, Option<NodeId>)> {
        let (code, node) = match id.split_once(':') {
            Some((code, node)) => (code, Some(node.parse().ok()?)),
            None => (id, None),
        };
        Self::ALL.into_iter().find(|kind| kind.code() == code).map(|kind| (kind, node))
    }

    /// What it means, for somebody who meets it for the first time.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::NotDown => "it is not proven that this node is stopped",
            Self::CameBack => "a node that was down answers before its turn",
            Self::NotReady => "a node does not answer as a ready one, often enough in a row",
            Self::NotRestarted => {
                "a node was not seen to restart, so that it may run the old state"
            }
            Self::MixedBuilds => "the nodes run different versions",
            Self::BuildUnknown => "what this node runs could not be found out",
            Self::NothingChanged => "the first node runs the same build as before the upgrade",
            Self::WrongBuild => "after the way back a node does not run what it ran before",
            Self::WrongVersion => "a version is missing, or not the one that is wanted",
            Self::PluginsLost => "plugins that were enabled before are not now",
            Self::CommandFailed => "a command failed, and nothing else proves its work",
            Self::CommandUnknown => "a command ran when the gateway died; its outcome is unknown",
            Self::CommandRunning => "a command still runs",
            Self::NoBackup => "there is no proven backup",
            Self::BackupFlawed => "the backup is missing, empty, old or unreadable",
            Self::MuchSmaller => "the backup has less than half the size of the last one",
            Self::LittleSpace => "there is less free space than the last backup took",
            Self::BackupChanged => "the backup is not the one that was measured",
            Self::NodesChanged => {
                "the configuration names other nodes than the procedure began with"
            }
            Self::SwitchRefused => "the mode could not be changed",
            Self::PublicHasWritten => "the bridge was lowered: the public has written since",
            Self::NoWayBack => "there is no safe way back from here",
            Self::WorkDone => "work was done inside the application; it cannot be undone from here",
            Self::LastNode => "without this node nobody would be served",
            Self::NotHere => "this cannot be said as things stand",
            Self::NotYet => "something that is waited for is not there yet",
        }
    }

    /// May an operator go over it, with a reason, where nothing worse is known? Some of them may
    /// only where nothing proves the contrary.
    pub const fn may_be_waived(self) -> bool {
        match self {
            Self::NotDown
            | Self::NotReady
            | Self::BuildUnknown
            | Self::NothingChanged
            | Self::PluginsLost
            | Self::NoBackup
            | Self::MuchSmaller
            | Self::LittleSpace => true,
            Self::CameBack
            | Self::NotRestarted
            | Self::MixedBuilds
            | Self::WrongBuild
            | Self::WrongVersion
            | Self::CommandFailed
            | Self::CommandUnknown
            | Self::CommandRunning
            | Self::BackupFlawed
            | Self::BackupChanged
            | Self::NodesChanged
            | Self::SwitchRefused
            | Self::PublicHasWritten
            | Self::NoWayBack
            | Self::WorkDone
            | Self::LastNode
            | Self::NotHere
            | Self::NotYet => false,
        }
    }
}

/// Something that speaks against going on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    pub kind: ObjectionKind,
    pub node: Option<NodeId>,
    pub detail: String,
    pub remedy: String,
    /// May this one be waived, here and now?
    pub waivable: bool,
}

impl Objection {
    pub(super) fn new(kind: ObjectionKind, detail: impl Into<String>, remedy: &str) -> Self {
        let waivable = kind.may_be_waived();
        Self { kind, node: None, detail: detail.into(), remedy: remedy.to_owned(), waivable }
    }

    pub(super) fn of(self, node: &NodeId) -> Self {
        Self { node: Some(node.clone()), ..self }
    }

    pub(super) fn not_waivable(self) -> Self {
        Self { waivable: false, ..self }
    }

    /// As `waive` names it: `not_down:n2`, `no_backup`.
    pub fn id(&self) -> String {
        self.kind.id(self.node.as_ref())
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}
