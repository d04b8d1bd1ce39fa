//! A stream of records as appends: each chunk is one transaction, and the next is sent before the last is answered. The server takes
//! the appends of a connection in their order, and each chunk demands the head that the one before it leaves.

use std::collections::VecDeque;
use std::sync::Arc;

use streamkit_protocol::SegmentStatus;
use streamkit_protocol::limits::CHUNK_RECORDS_MAX;
use streamkit_protocol::v2::Call as Asked;
use streamkit_record::limits::{RECORD_BYTES_MAX, TRANSACTION_BYTES_MAX};
use streamkit_record::{Record, SegmentPath, Sequence, StoreId};

use super::again::Missed;
use super::append::{Attempts, Next, append, appended, one_section};
use super::lookup::range_of;
use super::names::segment_path;
use crate::asked::Append;
use crate::call::Call;
use crate::error::Error;
use crate::model::NewRecord;
use crate::v2::{Connection, Patience, Pending};

/// Chunks that are not answered.
const UNDER_WAY_MAX: usize = 4;

/// What a frame has beside records: its head, what the call asks, names.
const FRAME_OVERHEAD_BYTES: usize = 4 << 10;

/// What a record has beside its bytes.
const RECORD_OVERHEAD_BYTES: usize = 8;

/// Records on their way to one segment.
pub(crate) struct Chunks {
    call: Call,
    path: SegmentPath,
    /// Where chunks are under way.
    connection: Option<Arc<Connection>>,
    gathered: Vec<Record>,
    /// Bytes of them.
    bytes: usize,
    /// The sequence of the first one ever sent, and of the next one.
    first: u64,
    next: u64,
    under_way: VecDeque<Chunk>,
    acknowledged: u64,
    /// Commit times of the first chunk and of the last one that was acknowledged.
    times: Option<(i64, i64)>,
    /// Why it is over.
    failed: Option<Error>,
}

/// Records that are stored together.
struct Chunk {
    asked: Asked,
    first: u64,
    last: u64,
    attempts: Attempts,
    /// `None`: it has to be sent, for the first time or over another connection.
    pending: Option<Pending>,
}

impl Chunk {
    fn is_answered(&self) -> bool {
        self.pending.as_ref().is_some_and(Pending::is_answered)
    }
}

impl Chunks {
    pub(crate) fn new(call: Call, path: SegmentPath, first: u64) -> Self {
        Self {
            call,
            path,
            connection: None,
            gathered: Vec::new(),
            bytes: 0,
            first,
            next: first,
            under_way: VecDeque::new(),
            acknowledged: first - 1,
            times: None,
            failed: None,
        }
    }

    /// Takes a record, and returns its sequence. All waiting comes first.
    ///
    /// Cancel safe.
    pub(crate) async fn send(&mut self, record: &NewRecord) -> Result<u64, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let record = record.clone().into_log();
        let bytes = record.len();
        if bytes > RECORD_BYTES_MAX {
            return Err(Error::Invalid(format!(
                "record too large: {bytes} bytes of payload and metadata, at most {RECORD_BYTES_MAX} are allowed"
            )));
        }
        while self.under_way.front().is_some_and(Chunk::is_answered) {
            self.settle_first().await?;
        }
        let most = self.chunk_bytes().await?;
        if self.gathered.len() == CHUNK_RECORDS_MAX || self.bytes + bytes > most {
            self.flush().await?;
        }
        let sequence = self.next;
        let next = sequence.checked_add(1);
        self.next = next.ok_or_else(|| Error::Invalid("no sequences left".to_owned()))?;
        self.bytes += bytes;
        self.gathered.push(record);
        Ok(sequence)
    }

    /// The highest sequence known to be durable.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Bytes that a chunk may have.
    async fn chunk_bytes(&mut self) -> Result<usize, Error> {
        let connection = match &self.connection {
            Some(connection) => connection.clone(),
            None => self.call.v2(self.call.timeout()).await?,
        };
        let overhead = FRAME_OVERHEAD_BYTES + CHUNK_RECORDS_MAX * RECORD_OVERHEAD_BYTES;
        let most = connection.frame_bytes().saturating_sub(overhead);
        if self.under_way.is_empty() {
            self.connection = Some(connection);
        }
        Ok(most.min(TRANSACTION_BYTES_MAX))
    }

    /// Sends what is gathered, once not too much is under way. Cancel safe.
    async fn flush(&mut self) -> Result<(), Error> {
        while self.under_way.len() >= UNDER_WAY_MAX {
            self.settle().await?;
        }
        if !self.gathered.is_empty() {
            let records = std::mem::take(&mut self.gathered);
            self.bytes = 0;
            let first = self.next - records.len() as u64;
            self.under_way.push_back(Chunk {
                asked: one_section(self.path.clone(), Sequence(first), records)?,
                first,
                last: self.next - 1,
                attempts: Attempts::new(self.call.timeout()),
                pending: None,
            });
        }
        self.begin().await
    }

    /// Sends what has to be sent, in order. Cancel safe.
    async fn begin(&mut self) -> Result<(), Error> {
        let store = StoreId(self.call.store());
        while let Some(at) = self.under_way.iter().position(|chunk| chunk.pending.is_none()) {
            let is_usable = self
                .connection
                .as_ref()
                .is_some_and(|connection| connection.is_usable());
            if !is_usable && at > 0 {
                // Over another connection it could overtake what is under way over this one.
                self.settle_first().await?;
                continue;
            }
            let chunk = &mut self.under_way[at];
            let connection = match self.connection.take().filter(|_| is_usable) {
                Some(connection) => Ok(connection),
                None => self.call.v2(chunk.attempts.patience.left()).await,
            };
            let begun = match connection {
                Ok(connection) => {
                    let connection = self.connection.insert(connection);
                    let begun = connection.ask(store, &chunk.asked, chunk.attempts.patience, true).await;
                    begun.map_err(Missed::Made)
                }
                Err(error) => Err(Missed::Unmade(error)),
            };
            match begun {
                Ok(pending) => chunk.pending = Some(pending),
                Err(missed) => self.missed(at, missed).await?,
            }
        }
        Ok(())
    }

    /// Waits until the first chunk is answered, whatever has to be sent before. Cancel safe.
    async fn settle(&mut self) -> Result<(), Error> {
        let before = self.under_way.len();
        while !self.under_way.is_empty() && self.under_way.len() >= before {
            self.begin().await?;
            self.settle_first().await?;
        }
        Ok(())
    }

    /// Waits for the answer of the first chunk, if it was sent.
    async fn settle_first(&mut self) -> Result<(), Error> {
        let Some(chunk) = self.under_way.front_mut() else {
            return Ok(());
        };
        let Some(pending) = &mut chunk.pending else {
            return Ok(());
        };
        match pending.result(chunk.attempts.patience).await {
            Ok(result) => self.stored(&result),
            Err(fault) => {
                // Those behind it expect what it leaves.
                self.under_way.iter_mut().for_each(|chunk| chunk.pending = None);
                self.missed(0, Missed::Made(fault)).await
            }
        }
    }

    fn stored(&mut self, result: &[u8]) -> Result<(), Error> {
        let Some(chunk) = self.under_way.pop_front() else {
            return Ok(());
        };
        let Asked::Append(append) = &chunk.asked else {
            return Ok(());
        };
        let time = match appended(result, append) {
            Ok(appended) => appended.timestamp.0,
            Err(error) => return Err(self.over(error)),
        };
        self.acknowledged = chunk.last;
        self.times = Some((self.times.map_or(time, |(first, _)| first), time));
        if let Some(next) = self.under_way.front_mut() {
            // The server was not silent.
            next.attempts.patience = Patience::new(self.call.timeout());
        }
        Ok(())
    }

    /// A chunk was not answered. Waits, if it is to be sent again.
    async fn missed(&mut self, at: usize, missed: Missed) -> Result<(), Error> {
        self.connection = None;
        let Some(chunk) = self.under_way.get_mut(at) else {
            return Ok(());
        };
        let got = chunk.first;
        match chunk.attempts.next(Err(missed)).await {
            Next::Again => Ok(()),
            Next::Stored(result) => self.stored(&result),
            Next::Failed(Error::Conflicts { heads, .. }) => {
                let head = heads
                    .iter()
                    .find(|(path, _)| *path == self.path)
                    .map_or(0, |(_, head)| head.0);
                Err(self.over(Error::Conflict { head, got }))
            }
            Next::Failed(error) => Err(self.over(error)),
        }
    }

    /// Ends the stream with an error.
    fn over(&mut self, error: Error) -> Error {
        self.under_way.clear();
        self.gathered.clear();
        self.failed = Some(error.clone());
        error
    }

    /// Waits until everything is durable. `None` if nothing was sent.
    pub(crate) async fn finish(mut self) -> Result<Option<SegmentStatus>, Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.flush().await?;
        while !self.under_way.is_empty() {
            self.settle().await?;
        }
        let Some((first_time, last_time)) = self.times else {
            return Ok(None);
        };
        let stored = (self.first, self.acknowledged);
        Ok(Some(
            range_behind(&self.call, &self.path, stored, (first_time, last_time)).await,
        ))
    }
}

/// Appends one record behind the head.
pub(crate) async fn publish(
    call: &Call,
    space: &str,
    segment: &str,
    record: NewRecord,
) -> Result<SegmentStatus, Error> {
    let path = segment_path(space, segment)?;
    let one = Append::behind(path.clone(), vec![record.into_log()]);
    let appended = append(call, call.v2(call.timeout()).await?, one).await?;
    let time = appended.timestamp.0;
    match appended.sections[..] {
        [(first, last)] => Ok(range_behind(call, &path, (first.0, last.0), (time, time)).await),
        _ => Err(Error::Protocol("a publish was answered with other segments".to_owned())),
    }
}

/// The range of a segment right behind an append: its first and last sequence, and the commit times of both. If nobody can be asked
/// now where it begins, it is where the append does: that all of that is stored is known.
async fn range_behind(call: &Call, path: &SegmentPath, stored: (u64, u64), times: (i64, i64)) -> SegmentStatus {
    let range = match stored.0 {
        1 => None,
        _ => range_of(call, path).await.ok().flatten(),
    };
    SegmentStatus {
        space: path.space.to_string(),
        segment: path.segment.to_string(),
        first_sequence: range.as_ref().map_or(stored.0, |range| range.first_sequence),
        first_timestamp: range.as_ref().map_or(times.0, |range| range.first_timestamp),
        last_sequence: stored.1,
        last_timestamp: times.1,
        heartbeat: false,
    }
}
