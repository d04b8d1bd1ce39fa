//! Status: how much a store, a space or a segment holds.

use std::ops::Bound;
use std::sync::Arc;

use streamkit_engine::{Name, SegmentPath, Store};

use super::boundary::{Answers, Batch as _, Totals};
use super::failure::Failure;
use super::list::PAGE;
use super::outgoing::Outgoing;
use super::verb::Within;
use crate::budgets::HeavyTurn;

pub(super) async fn run<A: Answers>(within: Within, store: &Arc<dyn Store>, out: &Outgoing<A>) -> Result<(), Failure> {
    // The small ones too: so a connection that asks for thousands has one at work.
    let turn = out.heavy().await?;
    let totals = match &within {
        Within::Store => of_store(&**store).await?,
        Within::Space(space) => of_space(space, store, &turn).await?,
        Within::Segment(path) => of_segment(path, &**store).await?,
    };
    drop(turn);
    let mut batch = out.batch();
    batch.totals(&Totals { within, ..totals });
    out.answer(batch).await
}

async fn of_store(store: &dyn Store) -> Result<Totals, Failure> {
    let all = store.status().await?;
    Ok(Totals {
        space_count: all.space_count,
        segment_count: all.segment_count,
        entry_count: all.entry_count,
        last_timestamp: all.last_timestamp,
        ..Totals::default()
    })
}

async fn of_space(space: &Name, store: &Arc<dyn Store>, turn: &HeavyTurn) -> Result<Totals, Failure> {
    let mut totals = Totals::default();
    let mut after = Bound::Unbounded;
    loop {
        let (space, store) = (space.clone(), store.clone());
        let page = turn.run(async move { store.segments(&space, after, PAGE).await });
        let page = page.await??;
        for segment in &page {
            totals.space_count = 1;
            totals.segment_count += 1;
            totals.entry_count += segment.last_sequence.0 - segment.first_sequence.0 + 1;
            totals.last_timestamp = totals.last_timestamp.max(segment.last_timestamp);
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Bound::Excluded(last.path.segment.clone()),
            _ => return Ok(totals),
        }
    }
}

async fn of_segment(path: &SegmentPath, store: &dyn Store) -> Result<Totals, Failure> {
    let found = store.segment_status(path).await?;
    Ok(found.map_or_else(Totals::default, |found| Totals {
        space_count: 1,
        segment_count: 1,
        entry_count: found.last_sequence.0 - found.first_sequence.0 + 1,
        first_sequence: found.first_sequence,
        first_timestamp: found.first_timestamp,
        last_sequence: found.last_sequence,
        last_timestamp: found.last_timestamp,
        ..Totals::default()
    }))
}
