//! What a checkpoint of the shared log holds of the copies.

use bytes::Bytes;
use streamkit_engine::archive::Snapshot;

use crate::log::{FieldReader, FieldWriter, Malformed};

const CONTENT: [u8; 4] = *b"SKa1";

/// A copy at a place of the log, or further.
pub(crate) struct Content {
    /// The number of the last transaction before the place.
    pub applied: u64,
    /// A copy that holds it, and perhaps more.
    pub snapshot: Snapshot,
}

impl Content {
    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut fields = FieldWriter::new(CONTENT);
        fields.u64(self.applied).bytes(&self.snapshot.encode());
        fields.done()
    }

    /// The content that these bytes say.
    ///
    /// # Errors
    /// They are none.
    pub fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let mut taken = FieldReader::new(bytes, CONTENT, "checkpoint of copies")?;
        let applied = taken.u64()?;
        let snapshot = Snapshot::decode(&taken.bytes()?);
        taken.end()?;
        Ok(Self {
            applied,
            snapshot: snapshot.map_err(|_| Malformed("snapshot of a copy"))?,
        })
    }
}
