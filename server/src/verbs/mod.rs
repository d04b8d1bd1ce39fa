//! The verbs, one file each: what is asked of a store and what it answers with. They know no version of the protocol: what asks is
//! a [`Verb`], records come in through [`Records`], batches go out through [`Answers`], and what went wrong is a [`Failure`].

mod append;
mod boundary;
mod commit;
mod failure;
mod follow;
mod lease;
mod list;
mod outgoing;
mod peek;
mod pieces;
mod read;
mod remove;
mod status;
mod subscribe;
#[cfg(test)]
mod tests;
mod verb;
mod workers;

use std::sync::Arc;

use streamkit_engine::Store;
use tracing::Instrument as _;

use crate::calls::Call;
use crate::live::Live;
use crate::metrics::Metrics;

pub(crate) use boundary::{
    Answers, Awaited, Batch, DoesNotFit, Next, Portion, ReceivedRecord, Records, SignOfLife, Totals,
};
pub(crate) use failure::Failure;
pub(crate) use outgoing::Outgoing;
pub(crate) use verb::{
    Commit, Follow, Heartbeat, Kind, LeaseChange, LeaseRequest, Read, SegmentList, Subscribe, Verb, Watch, Within,
    Worker,
};

/// Does what is asked. Returns when everything is answered but the end. What only reads is given up when the peer ends its side,
/// as [`Records::ended`] tells; what changes something runs to its end once begun. The store is held for no longer than it is read or
/// written.
///
/// # Errors
/// [`Failure`], or what `records` fail with.
pub(crate) async fn run<R: Records, A: Answers>(
    verb: Verb,
    store: Arc<dyn Store>,
    records: &mut R,
    out: &Outgoing<A>,
    (live, metrics): (&Live, &Metrics),
) -> Result<(), R::Error> {
    let span = verb.span();
    if let Some((space, segment)) = verb.names() {
        Call::is_about(space, segment);
    }
    let work = async {
        match verb {
            // In a box, as all that is larger than a commit: of those there may be many, and each is not to hold room for the others.
            Verb::Append(path) => Box::pin(append::run(path, &*store, records, out, (live, metrics))).await,
            Verb::Commit(asked) => commit::run(asked, &*store, records, out, (live, metrics)).await,
            Verb::Trim(path, first) => Ok(remove::trim(path, first, &*store, out).await?),
            Verb::Delete(path) => Ok(remove::delete(path, &*store).await?),
            Verb::Peek(path) => until_ended(records, metrics, async || peek::run(path, &*store, out).await).await,
            Verb::Read(asked) => until_ended(records, metrics, async || pieces::run(&asked, &*store, out).await).await,
            Verb::Follow(asked) => {
                until_ended(records, metrics, async || {
                    match follow::run(asked, store, live, out).await? {}
                })
                .await
            }
            Verb::ReadSegment(read) => {
                let reader = || store.read_segment(read.clone());
                until_ended(records, metrics, async || read::run(reader, out).await).await
            }
            Verb::ReadSpaces(read) => {
                let reader = || store.read_spaces(read.clone());
                until_ended(records, metrics, async || read::run(reader, out).await).await
            }
            Verb::Spaces => until_ended(records, metrics, async || list::spaces(&store, out).await).await,
            Verb::Segments(list) => {
                until_ended(records, metrics, async || list::segments(list, &store, out).await).await
            }
            Verb::Status(within) => {
                until_ended(records, metrics, async || status::run(within, &store, out).await).await
            }
            Verb::Lease(asked) => Ok(lease::run(asked, &*store, out).await?),
            Verb::Subscribe(subscribe) => {
                until_ended(records, metrics, async || {
                    match subscribe::run(subscribe, store, live, out).await? {}
                })
                .await
            }
            Verb::Watch(watched) => {
                let id = store.id();
                // Nothing of the store is needed for its workers.
                drop(store);
                match Box::pin(workers::run(watched, id, live, records, out)).await? {}
            }
        }
    };
    work.instrument(span).await
}

/// Does `work`, which answers on its own, until the peer ends its side.
async fn until_ended<R: Records>(
    records: &mut R,
    metrics: &Metrics,
    work: impl AsyncFnOnce() -> Result<(), Failure>,
) -> Result<(), R::Error> {
    let ended = records.ended();
    tokio::select! {
        biased;
        // What is complete is not given up, and its peer often ends its side just then.
        done = Box::pin(work()) => Ok(done.inspect_err(|failure| failure.count(metrics))?),
        failure = ended => Err(failure),
    }
}
