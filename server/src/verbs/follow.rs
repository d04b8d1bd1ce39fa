//! Follow: any parts of a store in the order of its log, from a cursor on: what is there, then what comes, until the peer has enough. A
//! follower who is slow holds a cursor and keeps nobody waiting; the store is open for him only while something comes. Those who follow
//! the same and are at the end of the log go on in common: what comes is read and encoded once for all of them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use streamkit_engine::{LogCursor, Piece, PiecesRead, ReadSource, Store};
use tokio::time::{Instant, sleep_until, timeout};

use super::boundary::{Answers, Batch, Portion};
use super::failure::Failure;
use super::outgoing::Outgoing;
use super::subscribe::{beat, beats};
use super::verb::Follow;
use crate::live::{Common, Live, Looking, Member, NextCommon, Subscription};

/// How long a follower to whom nothing comes, or who takes nothing, keeps the store open.
const STAYS: Duration = Duration::from_secs(1);

/// A follow under way.
struct Following {
    asked: Follow,
    subscription: Subscription,
    /// What those who follow the same share.
    common: Arc<Common>,
    /// His place among those who go on in common.
    member: Option<Member>,
    /// The store, while it is open for him alone.
    looking: Option<Looking>,
    /// The last transaction of which he was told.
    told: Option<u64>,
    /// The newest transaction he may know of: he is not at the end before he was told all that is wanted up to it.
    until: u64,
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
    let until = store.position();
    let mut following = Following {
        common: subscription.common(&asked.parts, &asked.filter),
        member: None,
        looking: Some(look(&asked, asked.cursor.clone(), store)),
        told: None,
        until,
        subscription,
        asked,
    };
    let mut is_caught_up = false;
    loop {
        following.tell(out).await?;
        if !std::mem::replace(&mut is_caught_up, true) {
            say(Portion::CaughtUp(&following.asked.cursor), out).await?;
        }
        let mut rests = Some(Instant::now() + STAYS);
        loop {
            tokio::select! {
                biased;
                () = beat(&mut beats) => say(Portion::At(&following.asked.cursor), out).await?,
                () = following.subscription.news() => break,
                () = sleep_until(rests.unwrap_or_else(Instant::now)), if rests.is_some() => rests = following.rest(),
            }
        }
        following.subscription.take();
        // A reader that is open still might find nothing new, and then nobody would hear of it.
        following.subscription.goes_on()?;
    }
}

fn look(asked: &Follow, behind: LogCursor, store: Arc<dyn Store>) -> Looking {
    let source = ReadSource::Log(asked.parts.clone(), behind);
    let reader = store.read_pieces(PiecesRead {
        filter: asked.filter.clone(),
        ..PiecesRead::all(source)
    });
    Looking { reader, store }
}

impl Following {
    /// Tells what there is.
    async fn tell<A: Answers>(&mut self, out: &Outgoing<A>) -> Result<(), Failure> {
        loop {
            let is_at_end = match self.member.take() {
                Some(member) => self.tell_in_common(member, out).await?,
                None => self.tell_alone(out).await?,
            };
            if is_at_end {
                return Ok(());
            }
        }
    }

    /// Tells a batch, if there is one. Whether there was none.
    async fn tell_alone<A: Answers>(&mut self, out: &Outgoing<A>) -> Result<bool, Failure> {
        let mut open = match self.looking.take() {
            Some(open) => open,
            None => look(&self.asked, self.asked.cursor.clone(), self.subscription.store().await?),
        };
        let Some(mut turn) = soon(out.turn()).await? else {
            drop(open);
            out.waits().await?;
            return Ok(false);
        };
        self.until = self.until.max(open.store.position());
        let next = open.reader.next_batch().await?;
        self.asked.cursor = open.reader.cursor();
        let Some(mut pieces) = next else {
            if self.common.has_others() {
                self.member = self.common.join(&self.asked.cursor, self.told, self.until);
            }
            // To one who goes on in common the reader is of no use.
            self.looking = self.member.is_none().then_some(open);
            return Ok(true);
        };
        match self.common.join_within(&mut pieces) {
            Some(member) => {
                self.asked.cursor = pieces.cursor.clone();
                self.member = Some(member);
            }
            None => self.looking = Some(open),
        }
        self.told = pieces.pieces.last().map(Piece::number).or(self.told);
        turn.has_left(pieces.bytes());
        let mut batch = out.batch();
        batch.portion(Portion::Followed(&pieces));
        drop(pieces);
        out.send(batch, &mut turn, 0).await?;
        Ok(false)
    }

    /// The same of one that was read for all. He does so no longer if he is too slow for that.
    async fn tell_in_common<A: Answers>(&mut self, mut member: Member, out: &Outgoing<A>) -> Result<bool, Failure> {
        let until = self.until.max(self.subscription.position());
        let bytes = match member.next(until) {
            NextCommon::End(at) => {
                self.asked.cursor = at;
                self.member = Some(member);
                return Ok(true);
            }
            NextCommon::Gone => return Ok(false),
            NextCommon::Unread => {
                let store = self.subscription.store();
                let open = |behind, store| look(&self.asked, behind, store);
                let (room, encode) = (out.room(), <A::Batch as Batch>::common);
                member.read::<Failure, _>(until, room, store, open, encode).await?;
                self.member = Some(member);
                return Ok(false);
            }
            NextCommon::Batch(batch) => batch.bytes.len(),
        };
        // With nothing in hand of what is kept for others.
        let Some(mut turn) = soon(out.turn_of(bytes)).await? else {
            drop(member);
            out.waits().await?;
            return Ok(false);
        };
        let NextCommon::Batch(common) = member.next(until) else {
            return Ok(false);
        };
        let mut batch = out.batch();
        batch.portion(Portion::FollowedInCommon(&common.bytes));
        self.asked.cursor = common.cursor.clone();
        self.told = Some(common.last);
        drop(common);
        member.took();
        self.member = Some(member);
        out.send(batch, &mut turn, 0).await?;
        Ok(false)
    }

    /// Lets the store be closed; when to ask again, if others have looked at it just now.
    fn rest(&mut self) -> Option<Instant> {
        self.looking = None;
        self.member.as_ref().and_then(|member| member.rest(STAYS))
    }
}

/// `None`: the peer takes it too slowly for anything to be kept for him.
async fn soon<T>(waits: impl Future<Output = Result<T, Failure>>) -> Result<Option<T>, Failure> {
    timeout(STAYS, waits).await.ok().transpose()
}

async fn say<A: Answers>(what: Portion<'_>, out: &Outgoing<A>) -> Result<(), Failure> {
    let mut batch = out.batch();
    batch.portion(what);
    out.answer(batch).await
}
