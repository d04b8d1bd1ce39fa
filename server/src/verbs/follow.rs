//! Follow: any parts of a store in the order of its log, from a cursor on: what is there, then what comes, until the peer has enough. A
//! follower who is slow holds a cursor and keeps nobody waiting; the store is open for him only while something comes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use streamkit_engine::{PieceReader, PiecesRead, ReadSource, Store};
use tokio::time::{Instant, timeout};

use super::boundary::{Answers, Batch as _, Portion};
use super::failure::Failure;
use super::outgoing::Outgoing;
use super::subscribe::{beat, beats};
use super::verb::Follow;
use crate::live::Live;

/// How long a follower to whom nothing comes, or who takes nothing, keeps the store open.
const STAYS: Duration = Duration::from_secs(1);

/// The store, while it is open for him.
struct Looking {
    reader: Box<dyn PieceReader>,
    _store: Arc<dyn Store>,
}

pub(super) async fn run<A: Answers>(
    mut asked: Follow,
    store: Arc<dyn Store>,
    live: &Live,
    out: &Outgoing<A>,
) -> Result<Infallible, Failure> {
    // Before the first look: what is committed behind that is news.
    let subscription = live.follow(&store, &asked.parts);
    let mut beats = asked.heartbeat.map(beats);
    if asked.is_from_now && asked.cursor.bytes().is_empty() {
        asked.cursor = store.tail_cursor().await?;
    }
    let mut looking = Some(look(&asked, store));
    let mut is_caught_up = false;
    loop {
        let open = match looking.take() {
            Some(open) => open,
            None => look(&asked, subscription.store().await?),
        };
        looking = tell(&mut asked, open, out).await?;
        if looking.is_none() {
            continue;
        }
        if !std::mem::replace(&mut is_caught_up, true) {
            say(Portion::CaughtUp(&asked.cursor), out).await?;
        }
        let stays = Instant::now() + STAYS;
        loop {
            tokio::select! {
                biased;
                () = beat(&mut beats) => say(Portion::At(&asked.cursor), out).await?,
                () = subscription.news() => break,
                () = tokio::time::sleep_until(stays), if looking.is_some() => looking = None,
            }
        }
        subscription.take();
        // A reader that is open still might find nothing new, and then nobody would hear of it.
        subscription.goes_on()?;
    }
}

fn look(asked: &Follow, store: Arc<dyn Store>) -> Looking {
    let source = ReadSource::Log(asked.parts.clone(), asked.cursor.clone());
    let reader = store.read_pieces(PiecesRead {
        filter: asked.filter.clone(),
        ..PiecesRead::all(source)
    });
    Looking { reader, _store: store }
}

/// Tells what there is. `None`: the peer takes it too slowly for the store to be kept open for him.
async fn tell<A: Answers>(
    asked: &mut Follow,
    mut open: Looking,
    out: &Outgoing<A>,
) -> Result<Option<Looking>, Failure> {
    loop {
        let Ok(turn) = timeout(STAYS, out.turn()).await else {
            drop(open);
            out.waits().await?;
            return Ok(None);
        };
        let mut turn = turn?;
        let next = open.reader.next_batch().await?;
        asked.cursor = open.reader.cursor();
        let Some(pieces) = next else {
            return Ok(Some(open));
        };
        turn.has_left(pieces.bytes());
        let mut batch = out.batch();
        batch.portion(Portion::Followed(&pieces));
        drop(pieces);
        out.send(batch, &mut turn, 0).await?;
    }
}

async fn say<A: Answers>(what: Portion<'_>, out: &Outgoing<A>) -> Result<(), Failure> {
    let mut batch = out.batch();
    batch.portion(what);
    out.answer(batch).await
}
