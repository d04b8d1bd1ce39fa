//! Subscribe: the status of a segment, or of all segments of a space, then each that changes, until the peer has enough. A follower who is
//! slow is told the newest status of each segment, and nobody waits for him.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use streamkit_engine::{Name, SegmentPath, SegmentStatus, Store};
use tokio::time::{Instant, MissedTickBehavior};

use super::boundary::{Answers, Batch as _};
use super::failure::Failure;
use super::list;
use super::outgoing::Outgoing;
use super::verb::{SegmentList, Subscribe};
use crate::live::{Interest, Live, News};

/// Segments whose statuses go out without a turn.
const FEW_SEGMENTS: usize = 8;

pub(super) async fn run<A: Answers>(
    asked: Subscribe,
    store: Arc<dyn Store>,
    live: &Live,
    out: &Outgoing<A>,
) -> Result<Infallible, Failure> {
    let Subscribe { interest, heartbeat } = asked;
    // Before the snapshot: what is committed while that is made is news.
    let subscription = live.subscribe(&store, interest.clone());
    let mut told = Told {
        interest,
        last: None,
        out,
    };
    told.all(store).await?;
    let mut beats = heartbeat.map(beats);
    loop {
        let store = {
            // What waits for a place goes on waiting while a heartbeat is sent.
            let mut ready = pin!(subscription.ready());
            loop {
                tokio::select! {
                    biased;
                    () = beat(&mut beats) => {
                        let mut batch = out.batch();
                        batch.heartbeat(&told.interest);
                        out.answer(batch).await?;
                    }
                    store = &mut ready => break store?,
                }
            }
        };
        match subscription.take() {
            News::OfAny => told.all(store).await?,
            News::Of(segments) => told.some(store, segments).await?,
        }
    }
}

/// Ticks of a heartbeat, from now on. One that was late is not made up for.
pub(super) fn beats(period: Duration) -> tokio::time::Interval {
    let mut beats = tokio::time::interval_at(Instant::now(), period);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beats
}

/// The next tick, if there are any.
pub(super) async fn beat(beats: &mut Option<tokio::time::Interval>) {
    match beats {
        Some(beats) => drop(beats.tick().await),
        None => std::future::pending().await,
    }
}

/// What a follower was told.
struct Told<'a, A> {
    interest: Interest,
    /// Of one segment, the last.
    last: Option<SegmentStatus>,
    out: &'a Outgoing<A>,
}

impl<A: Answers> Told<'_, A> {
    /// Tells all that he follows, as it is now.
    async fn all(&mut self, store: Arc<dyn Store>) -> Result<(), Failure> {
        match self.interest.segment.clone() {
            Some(segment) => self.some(store, BTreeSet::from([segment])).await,
            None => {
                let list = SegmentList {
                    space: self.interest.space.clone(),
                    after: None,
                    limit: usize::MAX,
                    with_status: true,
                };
                list::segments(list, &store, self.out).await
            }
        }
    }

    /// Tells the statuses of some segments as they are now, but for what he knows already. Many of them are read and encoded as a list
    /// is: in turn, so that followers who take nothing hold nothing, and off the threads that serve.
    async fn some(&mut self, store: Arc<dyn Store>, segments: BTreeSet<Name>) -> Result<(), Failure> {
        let is_one = self.interest.segment.is_some();
        let is_few = segments.len() <= FEW_SEGMENTS;
        let now = statuses(store, self.interest.space.clone(), segments);
        let mut batch = self.out.batch();
        if is_few {
            for status in now.await? {
                if self.last.as_ref() != Some(&status) {
                    batch.status(&status);
                }
                self.last = is_one.then_some(status);
            }
            return self.out.answer(batch).await;
        }
        let mut turn = self.out.turn().await?;
        let encoded = async move {
            for status in now.await? {
                batch.status(&status);
            }
            Ok::<_, Failure>(batch)
        };
        let batch = self.out.heavy().await?.run(encoded).await??;
        self.out.send(batch, &mut turn, 0).await
    }
}

/// The statuses of these segments, but for those that are gone. The store may be closed for others then.
async fn statuses(store: Arc<dyn Store>, space: Name, segments: BTreeSet<Name>) -> Result<Vec<SegmentStatus>, Failure> {
    let mut statuses = Vec::with_capacity(segments.len());
    for segment in segments {
        let space = space.clone();
        statuses.extend(store.segment_status(&SegmentPath { space, segment }).await?);
    }
    Ok(statuses)
}
