//! What one slot of the marker holds.

use serde::{Deserialize, Serialize};

use super::{Commander, Seq, Undecodable, seal, unseal};
use crate::model::Timestamp;
use crate::model::limits::DOUBT_CHARS_MAX;

/// A slot fills its own page, so that writing one never touches the other.
pub(in crate::journal) const SLOT_BYTES: usize = 4096;
const MAGIC: &[u8; 8] = b"DSPNMRK1";
const NUMBER_AT: usize = MAGIC.len();
const LENGTH_AT: usize = NUMBER_AT + 8;
const BODY_AT: usize = LENGTH_AT + 4;

/// The bridge is raised, whatever the journal says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raised {
    pub at: Timestamp,
    pub origin: Origin,
}

/// Who raised it by the marker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "origin", rename_all = "snake_case")]
pub enum Origin {
    /// An operator, while the journal could not be written.
    Command { by: Commander, why: Option<String> },
    /// A start in doubt.
    Doubt { reason: String },
}

/// What the journal held when it last wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::journal) struct Witness {
    /// The journal's own name, in hexadecimal: another gateway's journal has another.
    pub journal: String,
    /// Its last record; 0 while it is being made for the first time.
    pub last: Seq,
    /// Its file was at least this long.
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::journal) struct Slot {
    pub witness: Witness,
    pub raised: Option<Raised>,
}

impl Slot {
    /// The bytes of the slot for the `number`-th write of the marker.
    pub(in crate::journal) fn encode(&self, number: u64) -> Result<Vec<u8>, serde_json::Error> {
        let mut body = seal(number, self)?;
        if SLOT_BYTES < BODY_AT + body.len() {
            // Escaped characters can make a text many times longer. Raising matters more than
            // the words for it.
            body = seal(number, &self.shortened())?;
        }
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let mut slot = Vec::with_capacity(SLOT_BYTES);
        slot.extend_from_slice(MAGIC);
        slot.extend_from_slice(&number.to_le_bytes());
        slot.extend_from_slice(&length.to_le_bytes());
        slot.extend_from_slice(&body);
        slot.resize(SLOT_BYTES, 0);
        Ok(slot)
    }

    pub(in crate::journal) fn decode(slot: &[u8]) -> Result<(u64, Self), Undecodable> {
        let number = slot.get(NUMBER_AT..LENGTH_AT).and_then(|bytes| bytes.try_into().ok());
        let length = slot.get(LENGTH_AT..BODY_AT).and_then(|bytes| bytes.try_into().ok());
        let (Some(number), Some(length)) = (number, length) else {
            return Err(Undecodable::Shape("it is too short".to_owned()));
        };
        if !slot.starts_with(MAGIC) {
            return Err(Undecodable::Shape("it is not drawspan's".to_owned()));
        }
        let number = u64::from_le_bytes(number);
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        let body = slot.get(BODY_AT..BODY_AT.saturating_add(length));
        let slot = unseal(number, body.ok_or(Undecodable::Checksum)?)?;
        Ok((number, slot))
    }

    fn shortened(&self) -> Self {
        const KEPT: usize = DOUBT_CHARS_MAX / 5;
        let short = |text: &str| text.chars().take(KEPT).collect::<String>();
        let raised = self.raised.as_ref().map(|raised| Raised {
            at: raised.at,
            origin: match &raised.origin {
                Origin::Command { by, why } => Origin::Command {
                    by: Commander { uid: by.uid, name: short(&by.name) },
                    why: why.as_deref().map(short),
                },
                Origin::Doubt { reason } => Origin::Doubt { reason: short(reason) },
            },
        });
        Self { witness: self.witness.clone(), raised }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_room_for_raising_however_long_the_words_for_it() {
        let witness = Witness { journal: "ab".repeat(16), last: Seq(u64::MAX), bytes: u64::MAX };
        for text in ["why".to_owned(), "\u{1}".repeat(100_000), "\u{10ffff}".repeat(100_000)] {
            let by = Commander { uid: u32::MAX, name: text.clone() };
            let origin = Origin::Command { by, why: Some(text) };
            let raised = Some(Raised { at: Timestamp::from_millis(i64::MAX), origin });
            let slot = Slot { witness: witness.clone(), raised };
            let bytes = slot.encode(3).expect("it can be written");
            assert_eq!(bytes.len(), SLOT_BYTES);
            let (number, read) = Slot::decode(&bytes).expect("it reads back");
            assert_eq!((number, read.witness), (3, witness.clone()));
            assert!(read.raised.is_some());
        }
    }
}
