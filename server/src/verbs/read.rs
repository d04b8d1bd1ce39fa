//! Reads: a segment in sequence order; spaces in log order. Each is a snapshot that ends at the head of the moment it was asked
//! for. A storage error ends the read with its reason, never as a clean end.

use streamkit_engine::{Entry, EntryReader};

use super::boundary::{Answers, Batch};
use super::failure::Failure;
use super::outgoing::Outgoing;
use crate::limits::SMALL_BYTES;

/// Bytes sent at a time: large enough that queueing costs nothing, small enough that calls take turns.
const BATCH_BYTES: usize = 128 << 10;

/// `read` makes a reader; it may be asked twice.
pub(super) async fn run<A: Answers>(read: impl Fn() -> Box<dyn EntryReader>, out: &Outgoing<A>) -> Result<(), Failure> {
    let most = out.entries_max();
    let small = async || match out.is_behind_a_large_one() {
        true => None,
        false => small(read(), out.batch(), most).await,
    };
    if out.send_if_small(small).await? {
        return Ok(());
    }
    let _open = out.reader().await?;
    let mut reader = read();
    let mut batch = out.batch();
    let mut allowed = most;
    loop {
        // Nothing is held between turns but the reader itself.
        let mut turn = out.turn().await?;
        let Some(entries) = reader.next_batch().await? else {
            return Ok(());
        };
        let mut left = entries.iter().map(bytes).sum();
        turn.has_left(left);
        for entry in entries {
            left -= bytes(&entry);
            if allowed == 0 {
                out.send(batch, &mut turn, left).await?;
                return Err(Failure::TooManyEntries(most));
            }
            allowed -= 1;
            if batch.entry(&entry).is_err() {
                // What was read before is as good as ever; the error comes after it.
                out.send(batch, &mut turn, left).await?;
                return Err(Failure::does_not_fit(&entry));
            }
            if batch.len() >= BATCH_BYTES {
                // A large one may be held for long otherwise.
                drop(entry);
                out.send(batch.take(), &mut turn, left).await?;
            }
        }
        out.send(batch.take(), &mut turn, left).await?;
    }
}

/// All that a reader yields, if it is little.
async fn small<B: Batch>(mut reader: Box<dyn EntryReader>, mut batch: B, most: u64) -> Option<B> {
    let mut allowed = most;
    while let Some(entries) = reader.next_batch().await.ok()? {
        for entry in &entries {
            allowed = allowed.checked_sub(1)?;
            if batch.len() + entry.payload.len() > SMALL_BYTES {
                return None;
            }
            batch.entry(entry).ok()?;
        }
    }
    Some(batch)
}

/// Bytes of memory that an entry takes.
fn bytes(entry: &Entry) -> usize {
    size_of::<Entry>() + entry.payload.len() + entry.metadata.encoded().len()
}
