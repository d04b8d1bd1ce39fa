//! Commit: a transaction that is here as a whole. If it does not come, since segments are not as it demands, the peer may be told
//! at once what was committed in them since.

use std::pin::pin;
use std::task::Poll;

use futures_util::poll;
use streamkit_engine::{
    AppendError, Expected, PiecesRead, ReadSource, Rejection, SegmentAppend, SegmentPath, Sequence, Store, Transaction,
};
use tokio::task::unconstrained;

use super::append::EVERY;
use super::boundary::{Answers, Batch as _, Portion, Records};
use super::failure::Failure;
use super::outgoing::Outgoing;
use super::verb::Commit;
use crate::live::Live;
use crate::metrics::Metrics;

/// Most bytes that go with a conflict.
const CONFLICT_BYTES_MAX: usize = 1 << 20;

/// Commits a transaction and acknowledges it. Runs to its end once begun: what the store commits, the peer is told if it listens.
pub(super) async fn run<R: Records, A: Answers>(
    asked: Commit,
    store: &dyn Store,
    records: &mut R,
    out: &Outgoing<A>,
    (live, metrics): (&Live, &Metrics),
) -> Result<(), R::Error> {
    let Commit {
        transaction,
        conflict_bytes,
    } = asked;
    refuse_reserved(&transaction)?;
    let counts: Vec<u64> = transaction
        .segments
        .iter()
        .map(|part| part.records.len() as u64)
        .collect();
    let count = counts.iter().sum::<u64>() as usize;
    let known = match conflict_bytes {
        0 => Vec::new(),
        _ => heads_known(&transaction),
    };
    let mut appending = pin!(store.append(transaction));
    // Whatever budget of its turn this task has left: now it is in the store's queue, and what comes behind it may follow.
    let first = poll!(unconstrained(&mut appending));
    records.queued();
    let appended = match first {
        Poll::Ready(appended) => appended,
        Poll::Pending => appending.await,
    };
    records.settled();
    let committed = match appended {
        Ok(committed) => committed,
        Err(error) => {
            metrics.stores.append_failed(&error);
            let failure = failed(error);
            if let Failure::Conflicts(heads) = &failure {
                let bytes = conflict_bytes.min(CONFLICT_BYTES_MAX);
                // In a box: it is rare, and needs more room than all the rest.
                Box::pin(tell_since(&known, heads, bytes, store, out)).await?;
            }
            return Err(failure.into());
        }
    };
    metrics.stores.appended(count);
    live.committed(store);
    let mut batch = out.batch();
    batch.committed(&committed, &counts);
    Ok(out.acknowledge(batch).await?)
}

/// A segment that is not there cannot get the name that stands for all.
fn refuse_reserved(transaction: &Transaction) -> Result<(), Failure> {
    let begins = |part: &SegmentAppend| part.path.segment.as_str() == EVERY && part.first_sequence <= Sequence::FIRST;
    match transaction.segments.iter().any(begins) {
        true => Err(Failure::ReservedName),
        false => Ok(()),
    }
}

fn failed(error: AppendError) -> Failure {
    match error {
        AppendError::Rejected(Rejection::Conflict { path, head, .. }) => Failure::Conflicts(vec![(path, head)]),
        AppendError::Rejected(Rejection::Conflicts(conflicts)) => {
            let heads = conflicts.into_iter().map(|conflict| (conflict.path, conflict.head));
            Failure::Conflicts(heads.collect())
        }
        error => Failure::of_write("an append", error),
    }
}

/// The head up to which its producer knows each segment that it demands something of.
fn heads_known(transaction: &Transaction) -> Vec<(SegmentPath, Sequence)> {
    let continued = transaction.segments.iter().filter(|part| part.first_sequence.0 > 0);
    let continued = continued.map(|part| (part.path.clone(), Sequence(part.first_sequence.0 - 1)));
    let demanded = transaction.conditions.iter().filter_map(|condition| {
        let head = match condition.expected {
            Expected::Head(head) => head,
            Expected::IsAbsent => Sequence(0),
            Expected::Exists => return None,
        };
        Some((condition.path.clone(), head))
    });
    continued.chain(demanded).collect()
}

/// Tells what each segment has beyond what is known of it, within a bound in bytes. What cannot be read is left out: the peer
/// is told the heads.
async fn tell_since<A: Answers>(
    known: &[(SegmentPath, Sequence)],
    heads: &[(SegmentPath, Sequence)],
    bytes: usize,
    store: &dyn Store,
    out: &Outgoing<A>,
) -> Result<(), Failure> {
    let mut left = bytes as u64;
    for (path, head) in heads {
        let of_it = known.iter().find(|(of, _)| of == path);
        let Some((_, known)) = of_it.filter(|(_, known)| known < head && left > 0) else {
            continue;
        };
        let source = ReadSource::Segment(path.clone(), known.next(), *head);
        let mut reader = store.read_pieces(PiecesRead {
            bytes: left,
            ..PiecesRead::all(source)
        });
        loop {
            let mut turn = out.turn().await?;
            let Ok(Some(pieces)) = reader.next_batch().await else {
                break;
            };
            turn.has_left(pieces.bytes());
            let mut batch = out.batch();
            batch.portion(Portion::Since(&pieces));
            left = left.saturating_sub(pieces.bytes() as u64);
            drop(pieces);
            out.send(batch, &mut turn, 0).await?;
        }
    }
    Ok(())
}
