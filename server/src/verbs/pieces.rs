//! Read: transactions as they stand in the log, whole or in part, of a segment or of any parts of a store. It ends once all is told
//! that was there when it began.

use streamkit_engine::{LogCursor, PieceBatch, PieceReader, PiecesRead, ReadSource, Store};

use super::boundary::{Answers, Batch as _, Portion};
use super::failure::Failure;
use super::outgoing::Outgoing;
use super::verb::Read;
use crate::limits::SMALL_BYTES;

/// What a read has told.
#[derive(Default)]
struct Progress {
    entries: u64,
    cursor: LogCursor,
}

pub(super) async fn run<A: Answers>(asked: &Read, store: &dyn Store, out: &Outgoing<A>) -> Result<(), Failure> {
    let mut newest = store.position();
    if newest < asked.at_least {
        store.catch_up().await?;
        newest = store.position();
    }
    if newest < asked.at_least {
        return Err(Failure::NotThereYet(newest));
    }
    let most = out.entries_max();
    let mut read = asked.read.clone();
    // One more shows that there is more.
    read.entries = read.entries.min(most.saturating_add(1));
    let small = async || {
        let mut batch = out.batch();
        let mut reader = store.read_pieces(read.clone());
        let (mut done, mut bytes) = (Progress::default(), 0);
        while let Some(pieces) = reader.next_batch().await.ok()? {
            let pieces = told(pieces, &read);
            batch.portion(Portion::Read(&pieces));
            done.add(&pieces);
            bytes += pieces.bytes();
            if bytes > SMALL_BYTES || done.entries > most {
                return None;
            }
        }
        done.ended(&*reader, &read);
        batch.portion(done.portion());
        Some(batch)
    };
    if out.send_if_small(small).await? {
        return Ok(());
    }
    let _open = out.reader().await?;
    let mut reader = store.read_pieces(read.clone());
    let mut done = Progress::default();
    loop {
        // Nothing is held between turns but the reader itself.
        let mut turn = out.turn().await?;
        let Some(pieces) = reader.next_batch().await? else {
            break;
        };
        let pieces = told(pieces, &read);
        turn.has_left(pieces.bytes());
        let mut batch = out.batch();
        batch.portion(Portion::Read(&pieces));
        done.add(&pieces);
        drop(pieces);
        out.send(batch, &mut turn, 0).await?;
        if done.entries > most {
            return Err(Failure::TooManyEntries(most));
        }
    }
    done.ended(&*reader, &read);
    let mut batch = out.batch();
    batch.portion(done.portion());
    out.answer(batch).await
}

impl Progress {
    fn add(&mut self, pieces: &PieceBatch) {
        self.entries += pieces.entries;
    }

    /// Notes the place from which whoever asks again goes on, though nothing came. Newest first, and within a segment, there is none.
    fn ended(&mut self, reader: &dyn PieceReader, read: &PiecesRead) {
        if goes_on(read) {
            self.cursor = reader.cursor();
        }
    }

    fn portion(&self) -> Portion<'_> {
        Portion::Done(self.entries, &self.cursor)
    }
}

/// Whether a read that is cut off goes on from a place in the log: newest first, and within a segment, there is none.
fn goes_on(read: &PiecesRead) -> bool {
    matches!(read.source, ReadSource::Log(..)) && !read.is_backwards
}

/// What was read, as it is told.
fn told(mut pieces: PieceBatch, read: &PiecesRead) -> PieceBatch {
    if !goes_on(read) {
        pieces.cursor = LogCursor::default();
    }
    pieces
}
