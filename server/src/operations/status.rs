//! Status: how much a store, a space or a segment holds. An addition to what Go servers answer.

use std::ops::Bound;
use std::sync::Arc;

use streamkit_engine::{Name, Store};
use streamkit_protocol::{GetStatus, Status};

use super::list::PAGE;
use super::{Failure, name, path};
use crate::session::{HeavyTurn, Outgoing};

pub(super) async fn run(request: GetStatus, store: &Arc<dyn Store>, out: &Outgoing) -> Result<(), Failure> {
    // The small ones too: so a connection that asks for thousands has one at work.
    let turn = out.heavy().await?;
    let status = match (request.space.as_str(), request.segment.as_str()) {
        ("", "") => {
            let all = store.status().await?;
            Status {
                space_count: all.space_count,
                segment_count: all.segment_count,
                entry_count: all.entry_count,
                last_timestamp: all.last_timestamp.0,
                ..Status::default()
            }
        }
        ("", _) => return Err(Failure::Told("a segment's status needs its space".to_owned())),
        (space, "") => of_space(name("space", space)?, store, &turn).await?,
        (space, segment) => of_segment(space, segment, &**store).await?,
    };
    drop(turn);
    let mut batch = out.batch();
    batch.push(&status.encode());
    out.answer(batch).await
}

async fn of_space(space: Name, store: &Arc<dyn Store>, turn: &HeavyTurn) -> Result<Status, Failure> {
    let mut status = Status {
        space: space.to_string(),
        ..Status::default()
    };
    let mut after = Bound::Unbounded;
    loop {
        let (space, store) = (space.clone(), store.clone());
        let page = turn.run(async move { store.segments(&space, after, PAGE).await });
        let page = page.await??;
        for segment in &page {
            status.space_count = 1;
            status.segment_count += 1;
            status.entry_count += segment.last_sequence.0 - segment.first_sequence.0 + 1;
            status.last_timestamp = status.last_timestamp.max(segment.last_timestamp.0);
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Bound::Excluded(last.path.segment.clone()),
            _ => return Ok(status),
        }
    }
}

async fn of_segment(space: &str, segment: &str, store: &dyn Store) -> Result<Status, Failure> {
    let found = store.segment_status(&path(space, segment)?).await?;
    let named = Status {
        space: space.to_owned(),
        segment: segment.to_owned(),
        ..Status::default()
    };
    Ok(match found {
        None => named,
        Some(found) => Status {
            space_count: 1,
            segment_count: 1,
            entry_count: found.last_sequence.0 - found.first_sequence.0 + 1,
            first_sequence: found.first_sequence.0,
            first_timestamp: found.first_timestamp.0,
            last_sequence: found.last_sequence.0,
            last_timestamp: found.last_timestamp.0,
            ..named
        },
    })
}
