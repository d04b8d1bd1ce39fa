//! A stream of records to one segment, over either version.

use streamkit_protocol::SegmentStatus;

use crate::call::Call;
use crate::error::Error;
use crate::model::NewRecord;
use crate::surviving::Surviving;
use crate::verbs::{Chunks, segment_path};

/// A stream of records to one segment. Records are durable once the server has acknowledged their chunk: [`Producer::acknowledged`]
/// tells how far, [`Producer::finish`] waits for all. Dropping it earlier discards records not yet in a chunk.
///
/// It survives its connection until the client's timeout: over v2 chunks whose answer was lost are asked for under their ids; over v1 the client looks whether the same
/// records stand at their sequences, and sends them again if nothing does. [`Error::Conflict`] then has the head of other records. Over v1 it keeps up to 64 MiB of records that
/// are not acknowledged; with more under way a lost connection is [`Error::ConnectionLost`].
pub struct Producer(Over);

enum Over {
    V1(Box<Surviving>),
    V2(Box<Chunks>),
}

impl Producer {
    pub(crate) async fn open(call: &Call, space: &str, segment: &str, first_sequence: u64) -> Result<Self, Error> {
        if first_sequence == 0 {
            return Err(Error::Invalid("sequences start at 1".to_owned()));
        }
        Ok(Self(match call.is_v2().await? {
            true => {
                let path = segment_path(space, segment)?;
                Over::V2(Box::new(Chunks::new(call.clone(), path, first_sequence)))
            }
            false => Over::V1(Box::new(Surviving::open(call, space, segment, first_sequence).await?)),
        }))
    }

    /// Takes one record and returns its sequence. Waits while the server is far behind: 15 000 records over v1, four chunks over v2. A
    /// chunk is up to 10 000 records of at most 16 MiB in all.
    ///
    /// Cancel safe: if dropped while it waits, the record is not part of the stream, and its sequence goes to the next
    /// one.
    ///
    /// # Errors
    /// [`Error`]; the stream is then over.
    pub async fn send(&mut self, record: &NewRecord) -> Result<u64, Error> {
        match &mut self.0 {
            Over::V1(produced) => produced.send(record).await,
            Over::V2(chunks) => chunks.send(record).await,
        }
    }

    /// The highest sequence known to be durable.
    pub fn acknowledged(&self) -> u64 {
        match &self.0 {
            Over::V1(produced) => produced.acknowledged(),
            Over::V2(chunks) => chunks.acknowledged(),
        }
    }

    /// Ends the stream and waits until everything sent is durable. `None` if nothing was sent.
    ///
    /// # Errors
    /// [`Error`]; also [`Error::Protocol`] if the server ends the stream without a status for the last record.
    pub async fn finish(self) -> Result<Option<SegmentStatus>, Error> {
        match self.0 {
            Over::V1(produced) => produced.finish().await,
            Over::V2(chunks) => chunks.finish().await,
        }
    }
}
