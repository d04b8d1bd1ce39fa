//! Reads that look at the tail of the shared log first: a read that begins after an acknowledgement, by whichever host, sees it.

use std::sync::Arc;

use async_trait::async_trait;
use streamkit_engine::{
    Entry, EntryReader, LocalStore, LogCursor, PieceBatch, PieceReader, PiecesRead, ReadError, ReadSource,
    StorageError, Store as _,
};

use super::at_hand::AtHand;

/// A read of entries. What makes it begins after the look.
pub(super) struct LookingEntries<F> {
    pub log: Arc<AtHand>,
    pub reads: Reads<F, Box<dyn EntryReader>>,
}

/// A read of pieces.
pub(super) struct LookingPieces {
    pub log: Arc<AtHand>,
    pub copy: LocalStore,
    pub reads: Reads<PiecesRead, Box<dyn PieceReader>>,
    /// Behind all that was returned.
    pub start: LogCursor,
    /// The end was found when the copy was there.
    pub ended: Option<u64>,
}

/// What is to be read, and the read.
pub(super) enum Reads<F, R> {
    /// It has not begun.
    Waits(F),
    /// Its look is under way, or was given up.
    Looks,
    /// It has.
    Runs(R),
}

#[async_trait]
impl<F: FnOnce() -> Box<dyn EntryReader> + Send> EntryReader for LookingEntries<F> {
    async fn next_batch(&mut self) -> Result<Option<Vec<Entry>>, ReadError> {
        match std::mem::replace(&mut self.reads, Reads::Looks) {
            Reads::Waits(begin) => {
                self.log.look().await?;
                self.reads = Reads::Runs(begin());
            }
            Reads::Looks => return Err(StorageError::Interrupted.into()),
            runs @ Reads::Runs(_) => self.reads = runs,
        }
        match &mut self.reads {
            Reads::Runs(reader) => reader.next_batch().await,
            Reads::Waits(_) | Reads::Looks => unreachable!("it has begun"),
        }
    }
}

impl LookingPieces {
    pub(super) fn new(log: Arc<AtHand>, copy: LocalStore, read: PiecesRead) -> Self {
        let start = match &read.source {
            ReadSource::Log(_, behind) => behind.clone(),
            ReadSource::Segment(..) => LogCursor::default(),
        };
        Self {
            log,
            copy,
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
            Reads::Waits(read) => {
                self.log.look().await?;
                self.reads = Reads::Runs(self.copy.read_pieces(read));
            }
            Reads::Looks => return Err(StorageError::Interrupted.into()),
            runs @ Reads::Runs(_) => {
                if self.ended == Some(self.copy.position()) {
                    self.log.look().await?;
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
        Ok(batch)
    }

    fn cursor(&self) -> LogCursor {
        self.start.clone()
    }
}
