//! Lists: the spaces of a store, the segments of a space, sorted by bytes.

use std::ops::Bound;

use streamkit_engine::{Name, SegmentStatus, Store};
use streamkit_protocol::GetSegments;

use super::{Failure, name, segment_status};
use crate::session::Outgoing;

/// Names sent at a time, and segments read from the store at a time.
pub(super) const PAGE: usize = 1000;

pub(super) async fn spaces(store: &dyn Store, out: &Outgoing) -> Result<(), Failure> {
    let batch = |spaces: &[Name]| {
        let mut batch = out.batch();
        for space in spaces {
            batch.push(&name_message(space));
        }
        batch
    };
    let small = async {
        let spaces = store.spaces().await.ok()?;
        (spaces.len() <= PAGE).then(|| batch(&spaces))
    };
    if out.send_if_small(small).await? {
        return Ok(());
    }
    let mut turn = out.turn().await?;
    let spaces = store.spaces().await?;
    let mut left = bytes(&spaces);
    turn.has_left(left);
    for page in spaces.chunks(PAGE) {
        // Of a list that is larger than a turn, what waits for the next turn is not counted meanwhile.
        if !turn.covers(left) {
            drop(turn);
            turn = out.turn().await?;
        }
        left -= bytes(page);
        out.send(batch(page), &mut turn, left).await?;
    }
    Ok(())
}

pub(super) async fn segments(request: GetSegments, store: &dyn Store, out: &Outgoing) -> Result<(), Failure> {
    let space = name("space", &request.space)?;
    let mut after = match request.after.as_str() {
        "" => Bound::Unbounded,
        text => Bound::Excluded(name("after", text)?),
    };
    let mut left = match request.limit {
        0 => usize::MAX,
        limit => usize::try_from(limit).unwrap_or(usize::MAX),
    };
    let batch = |page: &[SegmentStatus]| {
        let mut batch = out.batch();
        for status in page {
            if request.with_status {
                batch.push(&segment_status(status).encode());
            } else {
                batch.push(&name_message(&status.path.segment));
            }
        }
        batch
    };
    let small = async {
        let asked = left.min(PAGE);
        let page = store.segments(&space, after.clone(), asked).await.ok()?;
        (page.len() < asked || asked == left).then(|| batch(&page))
    };
    if out.send_if_small(small).await? {
        return Ok(());
    }
    loop {
        let mut turn = out.turn().await?;
        let asked = left.min(PAGE);
        let page = store.segments(&space, after, asked).await?;
        out.send(batch(&page), &mut turn, 0).await?;
        left -= page.len();
        match page.last() {
            Some(last) if page.len() == asked && left > 0 => after = Bound::Excluded(last.path.segment.clone()),
            _ => return Ok(()),
        }
    }
}

/// Bytes of memory that names take.
fn bytes(names: &[Name]) -> usize {
    names.iter().map(|name| size_of::<Name>() + name.as_str().len()).sum()
}

fn name_message(name: &Name) -> Vec<u8> {
    // A text always has a JSON form.
    serde_json::to_vec(name.as_str()).unwrap_or_default()
}
