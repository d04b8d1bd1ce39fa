//! A read of pieces, and the place to which it has come.

use std::sync::Arc;

use async_trait::async_trait;

use super::pieces::GatheredPieces;
use super::place::Place;
use super::{Reader, Scan};
use crate::boundary::pieces::{PieceBatch, PieceReader};
use crate::error::{ReadError, StorageError};
use crate::log::opened::StoreLog;
use crate::log::shown::Newest;
use crate::runtime::pools::Pools;
use streamkit_record::LogCursor;

/// Runs a scan of pieces on the read threads.
pub(crate) struct PiecesReader<S> {
    reader: Reader<S>,
    /// Behind the last batch; before there was one, where it began.
    behind: LogCursor,
}

impl<S> PiecesReader<S> {
    pub(crate) fn new(scan: S, behind: LogCursor, pools: Arc<Pools>) -> Self {
        let reader = Reader::new(scan, pools);
        let behind = match Place::is_beginning(&behind) {
            true => Place::BEGINNING.cursor(),
            false => behind,
        };
        Self { reader, behind }
    }
}

#[async_trait]
impl<S: Scan<Batch = GatheredPieces>> PieceReader for PiecesReader<S> {
    async fn next_batch(&mut self) -> Result<Option<PieceBatch>, ReadError> {
        let batch = self.reader.next_filled().await?.map(GatheredPieces::finish);
        if let Some(batch) = &batch {
            self.behind = batch.cursor.clone();
        }
        Ok(batch)
    }

    fn cursor(&self) -> LogCursor {
        let place = self.reader.place();
        place.map_or_else(|| self.behind.clone(), |place| place.cursor())
    }
}

impl Newest {
    /// The place behind it.
    pub(super) fn place(&self) -> Place {
        Place::behind(self.at, &self.header, self.header.record_count)
    }
}

/// Behind all that is durable.
///
/// # Errors
/// As [`StoreLog::known_end`].
pub(crate) fn cursor_at_end(log: &StoreLog) -> Result<LogCursor, StorageError> {
    let newest = log.known_end()?.newest;
    Ok(newest.map_or(Place::BEGINNING, |newest| newest.place()).cursor())
}
