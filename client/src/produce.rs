//! Produces over v1: records go out in batches, statuses come back per chunk, and a window keeps the two from drifting apart.

use streamkit_protocol::limits::PRODUCE_WINDOW_RECORDS;
use streamkit_protocol::{Produce, RecordRef, Request, SegmentStatus, Terminal};

use crate::channel::{Batch, Channel};
use crate::error::Error;
use crate::lookup;
use crate::model::NewRecord;

/// Bytes of frames to gather before sending them.
const BATCH_BYTES: usize = 64 << 10;

/// A stream of records to one segment. Dropping it before its end asks the server to discard records not yet in a chunk.
pub(crate) struct Produced {
    channel: Channel,
    batch: Batch,
    message: Vec<u8>,
    path: (String, String),
    next: u64,
    acknowledged: u64,
    last: Option<SegmentStatus>,
}

impl Produced {
    pub(crate) fn open(mut channel: Channel, space: &str, segment: &str, first_sequence: u64) -> Result<Self, Error> {
        if first_sequence == 0 {
            return Err(Error::Invalid("sequences start at 1".to_owned()));
        }
        channel.discard_when_dropped();
        let request = Request::Produce(Produce {
            space: space.to_owned(),
            segment: segment.to_owned(),
        });
        let batch = channel.asking(&request)?;
        Ok(Self {
            channel,
            batch,
            message: Vec::new(),
            path: (space.to_owned(), segment.to_owned()),
            next: first_sequence,
            acknowledged: first_sequence - 1,
            last: None,
        })
    }

    /// Sends one record and returns its sequence. Waits while the server is a window of 15 000 records behind.
    ///
    /// Cancel safe: if dropped while it waits, the record is not part of the stream, and its sequence goes to the next
    /// one.
    ///
    /// # Errors
    /// [`Error`]; the stream is then over.
    pub(crate) async fn send(&mut self, record: &NewRecord) -> Result<u64, Error> {
        // All waiting comes first.
        if self.batch.len() >= BATCH_BYTES {
            self.flush().await?;
        }
        while self.next - self.acknowledged > PRODUCE_WINDOW_RECORDS {
            self.flush().await?;
            let message = self.receive().await?;
            self.status(message)?;
        }
        let sequence = self.next;
        let next = sequence.checked_add(1);
        let next = next.ok_or_else(|| Error::Invalid("no sequences left".to_owned()))?;
        self.message.clear();
        let wire = RecordRef {
            sequence,
            payload: Some(&record.payload),
            metadata: &record.metadata,
        };
        wire.encode_into(&mut self.message);
        self.batch.push(&self.message)?;
        self.next = next;
        Ok(sequence)
    }

    /// The highest sequence known to be durable.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// The last status that acknowledged something.
    pub(crate) fn last(&self) -> Option<&SegmentStatus> {
        self.last.as_ref()
    }

    /// Sends gathered records, and takes in the statuses that have arrived. Cancel safe.
    async fn flush(&mut self) -> Result<(), Error> {
        let sent = self.channel.send(&mut self.batch).await;
        // Even if sending failed, and then first: what has arrived may tell the reason.
        self.arrived().await?;
        sent
    }

    async fn arrived(&mut self) -> Result<(), Error> {
        while let Some(received) = self.channel.try_receive() {
            match received {
                Ok(message) => self.status(message)?,
                Err(error) => return Err(self.explain(error).await),
            }
        }
        Ok(())
    }

    async fn receive(&mut self) -> Result<Option<bytes::Bytes>, Error> {
        match self.channel.receive().await {
            Err(error) => Err(self.explain(error).await),
            received => received,
        }
    }

    /// Translates an error for a producer.
    async fn explain(&self, error: Error) -> Error {
        match error {
            // The conflict of one Go backend, which does not say where the head is.
            Error::Refused(text) if text == "sequence mismatch" => {
                let (space, segment) = &self.path;
                let got = self.acknowledged.saturating_add(1);
                match lookup::peek(self.channel.another(), space, segment).await {
                    Ok(last) => Error::Conflict {
                        head: last.map_or(0, |entry| entry.sequence),
                        got,
                    },
                    Err(_) => Error::Refused(text),
                }
            }
            // It had begun. A Go server opens the store again for records behind the end of their produce, which may have been
            // overtaken by that.
            Error::NotBegun(text) if self.last.is_some() => Error::Unknown(text),
            // Perhaps after the commit.
            Error::Refused(text) if text.starts_with("panic: ") => Error::Unknown(text),
            error => error,
        }
    }

    /// Ends the stream and waits until everything sent is durable. `None` if nothing was sent.
    ///
    /// # Errors
    /// [`Error`]; also [`Error::Protocol`] if the server ends the stream without a status for the last record.
    pub(crate) async fn finish(mut self) -> Result<Option<SegmentStatus>, Error> {
        self.batch.push(&Terminal::Close.encode())?;
        if let Err(error) = self.channel.send(&mut self.batch).await {
            self.arrived().await?;
            return Err(error);
        }
        while let Some(message) = self.receive().await? {
            self.status(Some(message))?;
        }
        let sent = self.next - 1;
        if self.acknowledged == sent {
            return Ok(self.last.take());
        }
        let acknowledged = self.acknowledged;
        Err(Error::Protocol(format!(
            "the produce ended with {acknowledged} acknowledged, but {sent} was sent"
        )))
    }

    fn status(&mut self, message: Option<bytes::Bytes>) -> Result<(), Error> {
        let acknowledged = self.acknowledged;
        let message = message.ok_or_else(|| {
            Error::Protocol(format!(
                "the server ended the produce after {acknowledged} while records were sent"
            ))
        })?;
        let status = SegmentStatus::decode(&message).map_err(Error::malformed)?;
        let here = (status.space.as_str(), status.segment.as_str()) == (self.path.0.as_str(), self.path.1.as_str());
        if !here || status.last_sequence <= acknowledged || status.last_sequence >= self.next {
            return Err(Error::Protocol(format!(
                "a status for {}/{} up to {} after {acknowledged} was acknowledged and {} sent",
                status.space,
                status.segment,
                status.last_sequence,
                self.next - 1
            )));
        }
        self.acknowledged = status.last_sequence;
        self.last = Some(status);
        Ok(())
    }
}
