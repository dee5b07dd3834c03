//! What the journal, its base and the marker hold, as stored: the one place of their serialised
//! types. A stored value is a SHA-256 over its number and its JSON, then the JSON; so a record that
//! changed on disk, or that stands at another number's place, never passes for a real one.

mod slot;
mod state;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::model::{Generation, Mode, NodeId, Timestamp};
use crate::procedure;

pub use slot::{Origin, Raised};
pub(super) use slot::{SLOT_BYTES, Slot, Witness};
pub use state::{GuardedCall, Setting, State, Unfinished};

/// The format of records, base and marker that this program writes, and the only one it reads.
const FORMAT: u32 = 1;
const DIGEST_BYTES: usize = 32;

/// Number of a record in the journal: counts from 1, without gaps.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl std::fmt::Display for Seq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A record in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub seq: Seq,
    pub at: Timestamp,
    pub record: Record,
}

/// One thing that happened. `Initial`, `Doubt`, `Switch`, `Recovered`, `Begun`, `Procedure`
/// and `Included` change the state, and the number of the last of them is the revision; the
/// others do not move it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    /// The first start: the configured mode.
    Initial { mode: Mode },
    /// A start in doubt: raised without a command, until the next command.
    Doubt {
        /// The mode that was in force, where it is known.
        #[serde(default)]
        mode_before: Option<Mode>,
        reason: String,
        /// Where the journal that could not be read was moved to.
        #[serde(default)]
        kept_as: Option<String>,
    },
    /// A switch that was commanded; written before it takes effect.
    Switch(Switch),
    /// A switch whose end was not recorded before a restart: the less open of its two modes.
    Recovered {
        switch: Seq,
        mode: Mode,
        /// Address of the kept node, in single mode.
        #[serde(default)]
        address: Option<String>,
    },
    /// The effect of a switch is complete.
    Finished(Finished),
    /// A command that had nothing to change, kept for the sake of its idempotency key.
    Same(Same),
    /// A procedure begins; its id is the number of this record.
    Begun {
        begin: Box<procedure::Begin>,
        #[serde(default)]
        idempotency: Option<IdempotencyKey>,
    },
    /// Something happened to the procedure `id`.
    Procedure {
        id: u64,
        event: Box<procedure::Event>,
        #[serde(default)]
        idempotency: Option<IdempotencyKey>,
    },
    /// A node is taken back, outside a procedure.
    Included {
        node: NodeId,
        by: Commander,
        #[serde(default)]
        idempotency: Option<IdempotencyKey>,
    },
    /// A call that changes what runs is passed to the kept node in single mode, or was.
    GuardedCall {
        node: NodeId,
        #[serde(default)]
        step: GuardedStep,
    },
}

/// How far the guarded calls of a node have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardedStep {
    /// One is being written; until another step is recorded, any number may run.
    Began,
    /// At least one may have run. None is under way.
    #[default]
    Ran,
    /// None came to anything since the step before. None is under way.
    CameToNothing,
}

/// Who commanded something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commander {
    pub uid: u32,
    pub name: String,
}

/// A key under which a repeated command is harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyKey {
    pub key: String,
    /// SHA-256 of the command, in hexadecimal.
    pub digest: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    pub from: Mode,
    pub to: Mode,
    /// `host:port` of the kept node as configured, where `to` is single: a later start sees
    /// whether the node moved.
    #[serde(default)]
    pub address: Option<String>,
    pub by: Commander,
    #[serde(default)]
    pub why: Option<String>,
    /// Id of the procedure that made it.
    #[serde(default)]
    pub procedure: Option<u64>,
    #[serde(default)]
    pub forced: bool,
    /// The objections that the force went over, in words.
    #[serde(default)]
    pub forced_over: Vec<String>,
    #[serde(default)]
    pub idempotency: Option<IdempotencyKey>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    pub switch: Seq,
    pub ending: Ending,
}

/// How a switch ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "snake_case")]
pub enum Ending {
    /// Nothing old is left on removed nodes, or it was cut.
    Drained { generation: u64, removed: Vec<Left>, took_ms: u64 },
    /// A later switch to a less open mode took over.
    Superseded { by: Seq },
    /// Settled at a start: the marker held the mode while the journal could not be written.
    FromMarker,
}

impl Ending {
    pub fn drained(generation: Generation, removed: Vec<Left>, took: std::time::Duration) -> Self {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Self::Drained { generation: generation.0, removed, took_ms }
    }
}

/// What a switch left on one removed node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    pub node: NodeId,
    pub in_flight: u64,
    pub cut: u64,
    pub tunnels_closed: u64,
    pub abandoned: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Same {
    pub mode: Mode,
    /// The revision in force when it was answered.
    pub revision: u64,
    pub by: Commander,
    #[serde(default)]
    pub idempotency: Option<IdempotencyKey>,
}

/// Everything before the first kept record, as the state that it amounted to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Base {
    /// Number of the last record that went into it; the first kept one follows.
    pub seq: Seq,
    pub state: State,
}

/// Why stored bytes are no value of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Undecodable {
    #[error("its checksum does not match")]
    Checksum,
    #[error("it has format {0}; this program reads format {FORMAT}")]
    Format(u32),
    #[error("{0}")]
    Shape(String),
}

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    v: u32,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize, Deserialize)]
struct Dated {
    at: Timestamp,
    #[serde(flatten)]
    record: Record,
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// `number` is what the value is stored under: a record's number, the marker's write count.
fn seal<T: Serialize>(number: u64, body: &T) -> Result<Vec<u8>, serde_json::Error> {
    let json = serde_json::to_vec(&Envelope { v: FORMAT, body })?;
    let mut sealed = digest(number, &json);
    sealed.extend_from_slice(&json);
    Ok(sealed)
}

fn unseal<T: DeserializeOwned>(number: u64, sealed: &[u8]) -> Result<T, Undecodable> {
    let (stored, json) = sealed.split_at_checked(DIGEST_BYTES).ok_or(Undecodable::Checksum)?;
    if digest(number, json) != stored {
        return Err(Undecodable::Checksum);
    }
    let shape = |error: serde_json::Error| Undecodable::Shape(error.to_string());
    let version: Version = serde_json::from_slice(json).map_err(shape)?;
    if version.v != FORMAT {
        return Err(Undecodable::Format(version.v));
    }
    let envelope: Envelope<T> = serde_json::from_slice(json).map_err(shape)?;
    Ok(envelope.body)
}

fn digest(number: u64, json: &[u8]) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(number.to_le_bytes());
    hash.update(json);
    hash.finalize().to_vec()
}

impl Entry {
    pub(super) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        seal(self.seq.0, &Dated { at: self.at, record: self.record.clone() })
    }

    pub(super) fn decode(seq: Seq, stored: &[u8]) -> Result<Self, Undecodable> {
        let Dated { at, record } = unseal(seq.0, stored)?;
        Ok(Self { seq, at, record })
    }
}

impl Base {
    pub(super) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        seal(0, self)
    }

    pub(super) fn decode(stored: &[u8]) -> Result<Self, Undecodable> {
        unseal(0, stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str) -> NodeId {
        id.parse().expect("a legal id")
    }

    fn every_kind() -> Vec<Record> {
        let by = Commander { uid: 1000, name: "ada".into() };
        let key = IdempotencyKey { key: "k".into(), digest: "d".into() };
        let left = Left { node: node("n2"), in_flight: 0, cut: 1, tunnels_closed: 2, abandoned: 3 };
        vec![
            Record::Initial { mode: Mode::Cluster },
            Record::Doubt {
                mode_before: Some(Mode::Single(node("n1"))),
                reason: "lost".into(),
                kept_as: None,
            },
            Record::Doubt { mode_before: None, reason: "lost".into(), kept_as: Some("/d".into()) },
            Record::Switch(Switch {
                from: Mode::Cluster,
                to: Mode::Single(node("n1")),
                address: Some("app-1:13000".into()),
                by: by.clone(),
                why: Some("upgrade".into()),
                procedure: Some(3),
                forced: true,
                forced_over: vec!["no node is ready".into()],
                idempotency: Some(key.clone()),
            }),
            Record::Recovered { switch: Seq(4), mode: Mode::Maintenance, address: None },
            Record::Finished(Finished {
                switch: Seq(4),
                ending: Ending::Drained { generation: 2, removed: vec![left], took_ms: 12 },
            }),
            Record::Finished(Finished {
                switch: Seq(4),
                ending: Ending::Superseded { by: Seq(5) },
            }),
            Record::Finished(Finished { switch: Seq(4), ending: Ending::FromMarker }),
            Record::Same(Same { mode: Mode::Cluster, revision: 1, by, idempotency: Some(key) }),
            Record::Procedure {
                id: 3,
                event: Box::new(procedure::Event::Paused { by: "ada".into() }),
                idempotency: None,
            },
            Record::Included {
                node: node("n2"),
                by: Commander { uid: 0, name: "root".into() },
                idempotency: None,
            },
            Record::GuardedCall { node: node("n1"), step: GuardedStep::Began },
            Record::GuardedCall { node: node("n1"), step: GuardedStep::Ran },
            Record::GuardedCall { node: node("n1"), step: GuardedStep::CameToNothing },
        ]
    }

    #[test]
    fn every_kind_of_record_reads_back_as_it_was_written() {
        for record in every_kind() {
            let entry = Entry { seq: Seq(7), at: Timestamp::from_millis(42), record };
            let stored = entry.encode().expect("it can be written");
            assert_eq!(Entry::decode(Seq(7), &stored), Ok(entry));
        }
    }

    #[test]
    fn a_record_that_changed_or_moved_is_no_record() {
        let record = Record::Initial { mode: Mode::Cluster };
        let entry = Entry { seq: Seq(7), at: Timestamp::from_millis(42), record };
        let stored = entry.encode().expect("it can be written");
        assert_eq!(Entry::decode(Seq(8), &stored), Err(Undecodable::Checksum));
        for place in 0..stored.len() {
            let mut changed = stored.clone();
            changed[place] ^= 1;
            assert_eq!(Entry::decode(Seq(7), &changed), Err(Undecodable::Checksum), "{place}");
        }
        assert_eq!(Entry::decode(Seq(7), &stored[..5]), Err(Undecodable::Checksum));
    }

    #[test]
    fn a_record_of_a_newer_format_is_named_as_such() {
        let json = br#"{"v":2,"kind":"something_new"}"#;
        let mut stored = digest(1, json);
        stored.extend_from_slice(json);
        assert_eq!(Entry::decode(Seq(1), &stored), Err(Undecodable::Format(2)));
    }
}
