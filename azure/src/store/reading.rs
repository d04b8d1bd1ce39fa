//! Reads that look at the tail of the shared log first: a read that begins after an acknowledgement, by whichever host, sees it. Where the log is
//! damaged, they return what the copy has from before, and then tell of the damage instead of an end.

use std::sync::Arc;

use async_trait::async_trait;
use streamkit_engine::{
    Entry, EntryReader, LocalStore, LogCursor, PieceBatch, PieceReader, PiecesRead, ReadError, ReadSource, Sequence,
    StorageError, Store as _,
};

use super::at_hand::AtHand;
use super::told;
use crate::log::Failure;

/// A read of entries. What makes it begins after the look.
pub(super) struct LookingEntries<F> {
    log: Arc<AtHand>,
    reads: Reads<F, Box<dyn EntryReader>>,
    left: Left,
}

/// A read of pieces.
pub(super) struct LookingPieces {
    log: Arc<AtHand>,
    copy: LocalStore,
    reads: Reads<PiecesRead, Box<dyn PieceReader>>,
    left: Left,
    /// Behind all that was returned.
    start: LogCursor,
    /// The end was found when the copy was there.
    ended: Option<u64>,
}

/// What is to be read, and the read.
enum Reads<F, R> {
    /// It has not begun.
    Waits(F),
    /// Its look is under way, or was given up.
    Looks,
    /// It has.
    Runs(R),
}

/// What a read may still return.
struct Left {
    entries: u64,
    /// It comes before an end of the copy, unless the read has had all that it may return.
    damage: Option<Failure>,
}

impl Left {
    /// Most entries of a read, which has so many sequences if it is of a segment.
    fn of(limit: u64, sequences: Option<(Sequence, Sequence)>) -> Self {
        let entries = sequences.map_or(u64::MAX, |(from, to)| to.0.saturating_sub(from.0).saturating_add(1));
        Self {
            entries: entries.min(limit),
            damage: None,
        }
    }

    fn next<B>(&mut self, log: &AtHand, batch: Option<B>, entries: fn(&B) -> u64) -> Result<Option<B>, ReadError> {
        match (&batch, &self.damage) {
            (Some(more), _) => self.entries = self.entries.saturating_sub(entries(more)),
            (None, Some(failure)) if self.entries > 0 => return Err(told::failed(log.store, failure).into()),
            (None, _) => {}
        }
        Ok(batch)
    }
}

impl<F> LookingEntries<F> {
    /// Most entries of it, and the sequences if it is of a segment.
    pub(super) fn new(log: Arc<AtHand>, limit: u64, sequences: Option<(Sequence, Sequence)>, begin: F) -> Self {
        Self {
            log,
            reads: Reads::Waits(begin),
            left: Left::of(limit, sequences),
        }
    }
}

#[async_trait]
impl<F: FnOnce() -> Box<dyn EntryReader> + Send> EntryReader for LookingEntries<F> {
    async fn next_batch(&mut self) -> Result<Option<Vec<Entry>>, ReadError> {
        match std::mem::replace(&mut self.reads, Reads::Looks) {
            Reads::Waits(begin) => {
                self.left.damage = self.log.look_until_damage().await?;
                self.reads = Reads::Runs(begin());
            }
            Reads::Looks => return Err(StorageError::Interrupted.into()),
            runs @ Reads::Runs(_) => self.reads = runs,
        }
        let Reads::Runs(reader) = &mut self.reads else {
            unreachable!("it has begun")
        };
        let batch = reader.next_batch().await?;
        self.left.next(&self.log, batch, |batch| batch.len() as u64)
    }
}

impl LookingPieces {
    pub(super) fn new(log: Arc<AtHand>, copy: LocalStore, read: PiecesRead) -> Self {
        let (start, sequences) = match &read.source {
            ReadSource::Log(_, behind) => (behind.clone(), None),
            ReadSource::Segment(_, from, to) => (LogCursor::default(), Some((*from, *to))),
        };
        Self {
            log,
            copy,
            left: Left::of(read.entries, sequences),
            reads: Reads::Waits(read),
            start,
            ended: None,
        }
    }
}

#[async_trait]
impl PieceReader for LookingPieces {
    async fn next_batch(&mut self) -> Result<Option<PieceBatch>, ReadError> {
        // One that goes on behind the end looks again, unless there is more already.
        match std::mem::replace(&mut self.reads, Reads::Looks) {
            // What would come first stands behind the damage.
            Reads::Waits(read) if read.is_backwards => {
                self.log.look().await?;
                self.reads = Reads::Runs(self.copy.read_pieces(read));
            }
            Reads::Waits(read) => {
                self.left.damage = self.log.look_until_damage().await?;
                self.reads = Reads::Runs(self.copy.read_pieces(read));
            }
            Reads::Looks => return Err(StorageError::Interrupted.into()),
            runs @ Reads::Runs(_) => {
                if self.ended == Some(self.copy.position()) && self.left.damage.is_none() {
                    self.left.damage = self.log.look_until_damage().await?;
                }
                self.reads = runs;
            }
        }
        let Reads::Runs(reader) = &mut self.reads else {
            unreachable!("it has begun")
        };
        // Of before the read: what comes meanwhile is looked for again.
        let position = self.copy.position();
        let batch = reader.next_batch().await?;
        self.ended = batch.is_none().then_some(position);
        self.start = reader.cursor();
        self.left.next(&self.log, batch, |batch| batch.entries)
    }

    fn cursor(&self) -> LogCursor {
        self.start.clone()
    }
}
