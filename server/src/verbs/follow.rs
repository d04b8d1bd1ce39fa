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
use crate::live::{Live, Subscription};

/// How long a follower to whom nothing comes, or who takes nothing, keeps the store open.
const STAYS: Duration = Duration::from_secs(1);

/// What he follows, and how far he is.
struct Position {
    asked: Follow,
}

/// The store, while it is open for him.
struct Looking {
    reader: Box<dyn PieceReader>,
    _store: Arc<dyn Store>,
}

pub(super) async fn run<A: Answers>(
    asked: Follow,
    store: Arc<dyn Store>,
    live: &Live,
    out: &Outgoing<A>,
) -> Result<Infallible, Failure> {
    // Before the first look: what is committed behind that is news.
    let subscription = live.follow(&store, &asked.parts);
    let mut beats = asked.heartbeat.map(beats);
    let mut position = Position { asked };
    if position.asked.is_from_now && position.asked.cursor.bytes().is_empty() {
        position.asked.cursor = store.tail_cursor().await?;
    }
    let mut looking = Some(position.look(store));
    let mut is_caught_up = false;
    loop {
        let open = match looking.take() {
            Some(open) => open,
            None => position.look(subscription.store().await?),
        };
        looking = position.tell(open, out).await?;
        let Some(open) = &looking else { continue };
        position.asked.cursor = open.reader.cursor();
        if !std::mem::replace(&mut is_caught_up, true) {
            position.say(Portion::CaughtUp, out).await?;
        }
        let stays = Instant::now() + STAYS;
        loop {
            tokio::select! {
                biased;
                () = beat(&mut beats) => position.say(Portion::At, out).await?,
                () = subscription.news() => break,
                () = tokio::time::sleep_until(stays), if looking.is_some() => looking = None,
            }
        }
        subscription.take();
    }
}

impl Position {
    fn look(&self, store: Arc<dyn Store>) -> Looking {
        let source = ReadSource::Log(self.asked.parts.clone(), self.asked.cursor.clone());
        let reader = store.read_pieces(PiecesRead {
            filter: self.asked.filter.clone(),
            ..PiecesRead::all(source)
        });
        Looking { reader, _store: store }
    }

    /// Tells what there is. `None`: the peer takes it too slowly for the store to be kept open for him.
    async fn tell<A: Answers>(&mut self, mut open: Looking, out: &Outgoing<A>) -> Result<Option<Looking>, Failure> {
        loop {
            let Ok(turn) = timeout(STAYS, out.turn()).await else {
                drop(open);
                out.waits().await?;
                return Ok(None);
            };
            let mut turn = turn?;
            let Some(pieces) = open.reader.next_batch().await? else {
                return Ok(Some(open));
            };
            turn.has_left(pieces.bytes());
            let mut batch = out.batch();
            batch.portion(Portion::Followed(&pieces));
            let cursor = pieces.cursor.clone();
            drop(pieces);
            out.send(batch, &mut turn, 0).await?;
            self.asked.cursor = cursor;
        }
    }

    async fn say<A: Answers>(
        &self,
        what: impl FnOnce(&streamkit_engine::LogCursor) -> Portion<'_>,
        out: &Outgoing<A>,
    ) -> Result<(), Failure> {
        let mut batch = out.batch();
        batch.portion(what(&self.asked.cursor));
        out.answer(batch).await
    }
}
