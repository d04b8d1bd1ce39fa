//! A consumer that follows a mix, loses its connection, and goes on from a cursor that it kept.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use streamkit_client::record::LogCursor;
use streamkit_client::{Follow, Followed, StoreClient};
use streamkit_engine::Dice;
use tokio_util::sync::CancellationToken;

use crate::reader::is_of_the_network;
use crate::sightings::Seen;
use crate::witness::{Broken, Mix, SEGMENTS, Witness, path, segment_of};

/// Cursors that a follower keeps.
const KEPT: usize = 64;

/// The last entry of each segment.
type Heads = [u64; SEGMENTS.len()];

/// A follower with a connection of its own.
pub(crate) struct Follower {
    pub store: StoreClient,
    pub witness: Arc<Witness>,
    pub dice: Dice,
    mix: Mix,
    /// What it has handled, in the order in which it came.
    seen: Vec<Seen>,
    /// The last entry of each segment that it has handled.
    heads: Heads,
    /// The latest cursors that it kept, each with how much it had handled.
    kept: VecDeque<(LogCursor, usize, Heads)>,
}

/// What a follower has seen at the end.
pub struct FollowSeen {
    pub(crate) mix: Mix,
    pub(crate) seen: Vec<Seen>,
}

impl Follower {
    pub fn new(store: StoreClient, witness: Arc<Witness>, mut dice: Dice) -> Self {
        let mix = crate::reader::mix(&mut dice);
        Self {
            store,
            witness,
            dice,
            mix,
            seen: Vec::new(),
            heads: Heads::default(),
            kept: VecDeque::from([(LogCursor::default(), 0, Heads::default())]),
        }
    }

    /// Follows until it is told to stop, in lives of some length; then to the end over a way that is good.
    pub async fn work(mut self, ending: CancellationToken, good: StoreClient) -> FollowSeen {
        while !ending.is_cancelled() {
            tokio::select! {
                () = ending.cancelled() => break,
                done = self.life(false) => if let Err(why) = done {
                    self.witness.breaks(why);
                    break;
                },
            }
        }
        self.store = good;
        if let Err(why) = self.life(true).await {
            self.witness.breaks(why);
        }
        FollowSeen {
            mix: self.mix,
            seen: self.seen,
        }
    }

    /// Goes on from one of the latest cursors, until the connection is lost, or it has had enough; `to_the_end`: until it is caught up.
    async fn life(&mut self, to_the_end: bool) -> Result<(), Broken> {
        let back = self.dice.below(3).min(self.kept.len() as u64 - 1) as usize;
        self.kept.truncate(self.kept.len() - back);
        let (cursor, handled, heads) = self.kept.back().cloned().unwrap_or_default();
        self.seen.truncate(handled);
        self.heads = heads;
        let due = self.witness.known().heads;
        let mut follow = Follow::new(self.mix.parts.clone(), cursor);
        follow.filter = self.mix.filter.clone();
        follow.heartbeat = Duration::from_millis(1000);
        let mut told = self.store.follow(follow);
        let mut left = 1 + self.dice.below(30);
        let mut caught_up = false;
        loop {
            let next = match told.next().await {
                Some(Ok(next)) => next,
                Some(Err(error)) if is_of_the_network(&error) && !to_the_end => return Ok(()),
                Some(Err(error)) => return Err(format!("a follow ends for no reason: {error}")),
                None => return Err("a follow ends without an error".to_owned()),
            };
            match next {
                Followed::Batch(entries, cursor) => {
                    if let Some(last) = entries.last() {
                        self.witness.has_come_to(cursor.clone(), last);
                    }
                    for entry in &entries {
                        if let Some(segment) = segment_of(&entry.path) {
                            self.heads[segment] = entry.sequence.0;
                        }
                    }
                    self.seen.extend(self.witness.sees(entries));
                    self.keeps(cursor);
                }
                Followed::CaughtUp(cursor) => {
                    if std::mem::replace(&mut caught_up, true) {
                        return Err("a follow is caught up twice".to_owned());
                    }
                    self.has_come_to(&due)?;
                    self.keeps(cursor);
                    if to_the_end {
                        return Ok(());
                    }
                }
                Followed::At(cursor) => self.keeps(cursor),
            }
            left -= 1;
            if left == 0 && !to_the_end {
                return Ok(());
            }
            if self.dice.chance(1, 6) {
                tokio::time::sleep(Duration::from_millis(self.dice.below(20))).await;
            }
        }
    }

    fn keeps(&mut self, cursor: LogCursor) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((cursor, self.seen.len(), self.heads));
    }

    /// Whoever is caught up has seen what was acknowledged before it asked. The check at the end tells of gaps.
    fn has_come_to(&self, due: &Heads) -> Result<(), Broken> {
        let passes_all = self.mix.filter.metadata.is_empty();
        for (segment, (due, head)) in due.iter().zip(&self.heads).enumerate() {
            let path = path(segment);
            if passes_all && self.mix.wants(&path) && head < due {
                return Err(format!("a follow of {:?} is caught up without {path} {due}", self.mix));
            }
        }
        Ok(())
    }
}
