//! Lists: the spaces of a store, the segments of a space, sorted by bytes. Each page is made in a turn of its own, so that
//! whoever takes a list slowly keeps nobody from theirs.

use std::ops::Bound;
use std::sync::Arc;

use streamkit_engine::{Name, Store};

use super::boundary::{Answers, Batch};
use super::failure::Failure;
use super::outgoing::Outgoing;
use super::verb::SegmentList;

/// Names sent at a time, and segments read from the store at a time.
pub(super) const PAGE: usize = 1000;

pub(super) async fn spaces<A: Answers>(store: &Arc<dyn Store>, out: &Outgoing<A>) -> Result<(), Failure> {
    let list = async || {
        let (store, turn) = (store.clone(), out.heavy().await?);
        Ok::<_, Failure>(turn.run(async move { store.spaces().await }).await??)
    };
    let batch = |spaces: &[Name]| {
        let mut batch = out.batch();
        for space in spaces {
            batch.name(space);
        }
        batch
    };
    let small = async || {
        let spaces = list().await.ok()?;
        (spaces.len() <= PAGE).then(|| batch(&spaces))
    };
    if out.send_if_small(small).await? {
        return Ok(());
    }
    let mut turn = out.turn().await?;
    let spaces = list().await?;
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
        // Where there is room, nothing else lets others of this thread go on.
        tokio::task::yield_now().await;
    }
    Ok(())
}

pub(super) async fn segments<A: Answers>(
    list: SegmentList,
    store: &Arc<dyn Store>,
    out: &Outgoing<A>,
) -> Result<(), Failure> {
    let SegmentList {
        space,
        after,
        limit: mut left,
        with_status,
    } = list;
    let mut after = after.map_or(Bound::Unbounded, Bound::Excluded);
    let page = async |after, asked| {
        let (store, space, batch) = (store.clone(), space.clone(), out.batch());
        let page = async move { Page::read(&*store, &space, after, (asked, with_status), batch).await };
        out.heavy().await?.run(page).await?
    };
    let small = async || {
        let asked = left.min(PAGE);
        let page: Page<A::Batch> = page(after.clone(), asked).await.ok()?;
        (page.len < asked || asked == left).then_some(page.batch)
    };
    if out.send_if_small(small).await? {
        return Ok(());
    }
    loop {
        let mut turn = out.turn().await?;
        let asked = left.min(PAGE);
        let page = page(after, asked).await?;
        out.send(page.batch, &mut turn, 0).await?;
        left -= page.len;
        match page.last {
            Some(last) if page.len == asked && left > 0 => after = Bound::Excluded(last),
            _ => return Ok(()),
        }
    }
}

/// Segments of a space, as they are sent.
struct Page<B> {
    batch: B,
    len: usize,
    last: Option<Name>,
}

impl<B: Batch> Page<B> {
    async fn read(
        store: &dyn Store,
        space: &Name,
        after: Bound<Name>,
        (asked, with_status): (usize, bool),
        mut batch: B,
    ) -> Result<Self, Failure> {
        let mut page = store.segments(space, after, asked).await?;
        for status in &page {
            if with_status {
                batch.row(status);
            } else {
                batch.name(&status.path.segment);
            }
        }
        let len = page.len();
        let last = page.pop().map(|last| last.path.segment);
        Ok(Self { batch, len, last })
    }
}

/// Bytes of memory that names take.
fn bytes(names: &[Name]) -> usize {
    names.iter().map(|name| size_of::<Name>() + name.as_str().len()).sum()
}
