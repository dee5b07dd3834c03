//! How the model's types are written in records: ids and modes as people write them, times as
//! milliseconds since 1970.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Mode, ModeKind, NodeId, NodeRole, Timestamp};

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for NodeRole {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for NodeRole {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let role = [Self::Request, Self::Worker].into_iter().find(|role| role.as_str() == text);
        role.ok_or_else(|| D::Error::custom(format!("`{text}` is no role")))
    }
}

/// `cluster`, `maintenance` or `single NODE`.
impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        mode(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is no mode")))
    }
}

fn mode(text: &str) -> Option<Mode> {
    match text.split_once(' ') {
        None if text == ModeKind::Cluster.as_str() => Some(Mode::Cluster),
        None if text == ModeKind::Maintenance.as_str() => Some(Mode::Maintenance),
        Some((kind, node)) if kind == ModeKind::Single.as_str() => {
            Some(Mode::Single(node.parse().ok()?))
        }
        None | Some(_) => None,
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(self.as_millis())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        i64::deserialize(from).map(Self::from_millis)
    }
}
