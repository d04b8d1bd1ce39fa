//! Reads entries by segment in sequence order, and by space in log order. A scan is a plain struct that blocks; the
//! reader around it runs each batch on the engine's read threads.

mod ahead;
pub(crate) mod backwards;
pub(crate) mod changes;
pub(crate) mod choice;
pub(crate) mod entries;
mod find;
pub(crate) mod gather;
mod hit;
mod listed;
pub(crate) mod pieces;
mod place;
pub(crate) mod reader;
mod resolve;
pub(crate) mod segment;
pub(crate) mod sources;
pub(crate) mod spaces;

use std::sync::Arc;

use async_trait::async_trait;

use self::gather::{Entries, Gather};
use self::place::Place;
use crate::boundary::EntryReader;
use crate::error::{ReadError, StorageError};
use crate::log::window::SPAN_BYTES_MAX;
use crate::runtime::pools::Pools;
use streamkit_record::Entry;

/// Runs looked up at once.
pub(crate) const RUNS_PER_LOOKUP: u32 = 1024;
/// Runs that a batch may skip before it ends without an entry, so that a read which finds little shares its thread, and
/// stops when nobody waits for it any more.
pub(crate) const SKIPPED_RUNS: usize = 64 << 10;
/// Places that a batch may read, or extents that it may look through, for nothing: as above, but these wait for the disk.
pub(crate) const SKIPPED_READS: usize = 256;
/// Bytes of the log looked through for the place of a cursor before others get a turn, and one group more.
const PART_BYTES: u64 = 4 << 20;
/// Bytes read beyond what is needed when the next run stands close.
const GAP_BYTES: u32 = 16 << 10;

/// Entries that are few enough to be read on the thread that asks.
const AT_ONCE_ENTRIES: u64 = 64;

/// Something that yields batches, blocking.
pub(crate) trait Scan: Send + 'static {
    /// What it makes of what it finds.
    type Batch: Gather;

    /// As [`EntryReader::next_batch`]; an empty batch says only that there was much to skip.
    fn next_batch(&mut self) -> Result<Option<Self::Batch>, StorageError>;
    /// Whether nothing can come any more: then nobody need ask.
    fn is_done(&self) -> bool;
    /// Whether more may come behind the end, once it is written.
    fn goes_on(&self) -> bool {
        false
    }
    /// Where it goes on if it came to the end of what it is of, as far as it knows; else, that is behind its last batch.
    fn place(&self) -> Option<Place> {
        None
    }
    /// Adds to a failure what it takes a while to find out.
    fn explain(&self, error: StorageError) -> StorageError;
    /// Tries to read what is left at once, on the thread that asks: a few entries that are cached, where a change of threads would
    /// take longer than to read them. `None` leaves the scan as it is: also where that failed, since the other way explains it.
    fn without_waiting(&mut self) -> Option<Option<Self::Batch>> {
        None
    }
}

/// Runs a scan on the read threads.
pub(crate) struct Reader<S> {
    state: State<S>,
    pools: Arc<Pools>,
}

enum State<S> {
    Reading(S),
    /// Everything was read, up to this place if it is known.
    Ended(Option<Place>),
    /// A batch was lost: its read failed, or was given up half-way. This must never look like the end.
    Broken(StorageError),
}

impl<S: Scan> State<S> {
    /// A scan returned this.
    fn behind(scan: S, batch: Option<&S::Batch>) -> Self {
        let may_return_more = match batch {
            Some(_) => !scan.is_done(),
            None => scan.goes_on(),
        };
        match (may_return_more, scan.is_done()) {
            (true, _) => Self::Reading(scan),
            (false, false) => Self::Ended(scan.place()),
            // Its limits ended it, wherever it is.
            (false, true) => Self::Ended(None),
        }
    }
}

impl<S> Reader<S> {
    pub(crate) fn new(scan: S, pools: Arc<Pools>) -> Self {
        Self {
            state: State::Reading(scan),
            pools,
        }
    }
}

#[async_trait]
impl<S: Scan<Batch = Entries>> EntryReader for Reader<S> {
    async fn next_batch(&mut self) -> Result<Option<Vec<Entry>>, ReadError> {
        Ok(self.next_filled().await?.map(|batch| batch.all))
    }
}

impl<S: Scan> Reader<S> {
    /// As [`Scan::place`].
    fn place(&self) -> Option<Place> {
        match &self.state {
            State::Reading(scan) => scan.place(),
            State::Ended(place) => *place,
            State::Broken(_) => None,
        }
    }

    async fn next_filled(&mut self) -> Result<Option<S::Batch>, StorageError> {
        loop {
            match self.next_part().await? {
                Some(batch) if batch.entries() == 0 => {}
                batch => return Ok(batch),
            }
        }
    }

    async fn next_part(&mut self) -> Result<Option<S::Batch>, StorageError> {
        let mut scan = match std::mem::replace(&mut self.state, State::Broken(StorageError::Interrupted)) {
            State::Reading(scan) => scan,
            State::Ended(place) => {
                self.state = State::Ended(place);
                return Ok(None);
            }
            State::Broken(why) => {
                self.state = State::Broken(why.clone());
                return Err(why);
            }
        };
        if let Some(batch) = scan.without_waiting() {
            self.state = State::behind(scan, batch.as_ref());
            return Ok(batch);
        }
        let outcome = self.pools.read.run(move || {
            let batch = scan.next_batch().map_err(|error| scan.explain(error));
            (scan, batch)
        });
        // Without an outcome the scan panicked, which is a bug: to the caller the read failed, it did not end.
        let (scan, batch) = outcome.await.ok_or(StorageError::Interrupted)?;
        self.state = match &batch {
            Ok(batch) => State::behind(scan, batch.as_ref()),
            Err(error) => State::Broken(error.clone()),
        };
        batch
    }
}

/// How many bytes after the first of some places in an extent the last one stands that is to be read with it; 0: none is.
pub(crate) fn close_behind(places: impl Iterator<Item = u32>) -> usize {
    let mut first = None;
    let mut last = 0;
    for place in places {
        let start = *first.get_or_insert(place);
        let far = place.saturating_sub(last) > GAP_BYTES && place != start;
        if far || place.saturating_sub(start) as usize > SPAN_BYTES_MAX {
            break;
        }
        last = place;
    }
    last.saturating_sub(first.unwrap_or(0)) as usize
}
