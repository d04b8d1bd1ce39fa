//! What stands in blobs: a sealed extent, and a checkpoint.

use bytes::Bytes;
use streamkit_engine::Timestamp;

use super::codec::{FieldReader, FieldWriter, Malformed};
use super::group::GroupId;
use super::place::Place;
use crate::medium::{ExtentId, SlotNumber};

const HISTORY: [u8; 4] = *b"SKh1";
const CHECKPOINT: [u8; 4] = *b"SKc1";

/// A sealed extent: the bytes of its slots from 1 up to the seal, void ones, too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedExtent {
    /// Its name.
    pub extent: ExtentId,
    /// Its slots, from 1.
    pub slots: Vec<Bytes>,
}

impl SealedExtent {
    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut fields = FieldWriter::new(HISTORY);
        fields.uuid(self.extent.0);
        fields.list(&self.slots, |fields, slot| _ = fields.bytes(slot));
        fields.done()
    }

    /// The extent that these bytes say. Shares them.
    ///
    /// # Errors
    /// They are none, or another one.
    pub fn decode(bytes: &Bytes, extent: ExtentId) -> Result<Self, Malformed> {
        let mut taken = FieldReader::new(bytes, HISTORY, "history blob")?;
        let found = ExtentId(taken.uuid()?);
        let slots = taken.list(FieldReader::bytes)?;
        taken.end()?;
        match found == extent {
            true => Ok(Self { extent, slots }),
            false => Err(Malformed("history blob of this extent")),
        }
    }

    /// Its slots from one on, with their numbers.
    pub fn rows(self, from: SlotNumber) -> impl Iterator<Item = (SlotNumber, Bytes)> {
        let numbers = (SlotNumber::FIRST.0..).map(SlotNumber);
        numbers.zip(self.slots).skip_while(move |(number, _)| *number < from)
    }
}

/// The state of a store at a place of its log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The place.
    pub place: Place,
    /// The last valid group before it.
    pub last: Option<GroupId>,
    /// The commit time of that group.
    pub time: Timestamp,
    /// What the ledger wrote.
    pub ledger: Bytes,
}

impl Checkpoint {
    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut fields = FieldWriter::new(CHECKPOINT);
        fields.place(self.place).predecessor(self.last).i64(self.time.0);
        fields.bytes(&self.ledger);
        fields.done()
    }

    /// The checkpoint that these bytes say.
    ///
    /// # Errors
    /// They are none.
    pub fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let mut taken = FieldReader::new(bytes, CHECKPOINT, "checkpoint")?;
        let checkpoint = Self {
            place: taken.place()?,
            last: taken.predecessor()?,
            time: Timestamp(taken.i64()?),
            ledger: taken.bytes()?,
        };
        taken.end()?;
        Ok(checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn blobs_are_what_their_bytes_say() {
        let extent = ExtentId(Uuid::from_u128(1));
        let slots = vec![Bytes::from_static(b"one"), Bytes::new(), Bytes::from_static(b"three")];
        let sealed = SealedExtent { extent, slots };
        let bytes = sealed.encode();
        assert_eq!(SealedExtent::decode(&bytes, extent), Ok(sealed.clone()));
        assert!(SealedExtent::decode(&bytes, ExtentId(Uuid::from_u128(2))).is_err());
        let rows: Vec<_> = sealed.rows(SlotNumber(2)).map(|(number, _)| number.0).collect();
        assert_eq!(rows, [2, 3]);
        let checkpoint = Checkpoint {
            place: Place::begin(3, extent),
            last: None,
            time: Timestamp(4),
            ledger: Bytes::from_static(b"ledger"),
        };
        assert_eq!(Checkpoint::decode(&checkpoint.encode()), Ok(checkpoint));
    }
}
