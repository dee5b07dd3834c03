//! How the model's types are written in records.

/// `cluster`, `maintenance` or `single NODE`.
pub(super) mod mode {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::model::{Mode, ModeKind};

    pub fn serialize<S: Serializer>(mode: &Mode, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(mode)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Mode, D::Error> {
        let text = String::deserialize(from)?;
        parse(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is no mode")))
    }

    fn parse(text: &str) -> Option<Mode> {
        match text.split_once(' ') {
            None if text == ModeKind::Cluster.as_str() => Some(Mode::Cluster),
            None if text == ModeKind::Maintenance.as_str() => Some(Mode::Maintenance),
            Some((kind, node)) if kind == ModeKind::Single.as_str() => {
                Some(Mode::Single(node.parse().ok()?))
            }
            None | Some(_) => None,
        }
    }
}

/// As [`mode`], or absent.
pub(super) mod mode_or_none {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::model::Mode;

    #[derive(Deserialize)]
    struct Present(#[serde(with = "super::mode")] Mode);

    pub fn serialize<S: Serializer>(mode: &Option<Mode>, to: S) -> Result<S::Ok, S::Error> {
        match mode {
            Some(mode) => super::mode::serialize(mode, to),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Mode>, D::Error> {
        Ok(Option::<Present>::deserialize(from)?.map(|present| present.0))
    }
}

/// A node's id as it is.
pub(super) mod node {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::model::NodeId;

    pub fn serialize<S: Serializer>(node: &NodeId, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(node.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<NodeId, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// Milliseconds since 1970.
pub(super) mod time {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::model::Timestamp;

    pub fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(time.as_millis())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        i64::deserialize(from).map(Timestamp::from_millis)
    }
}
