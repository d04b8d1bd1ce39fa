//! A consumer that follows a mix, loses its connection, and goes on from a cursor that it kept.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use streamkit_client::record::{Entry, LogCursor};
use streamkit_client::{Follow, Followed, StoreClient};
use streamkit_engine::Dice;
use tokio_util::sync::CancellationToken;

use crate::reader::is_of_the_network;
use crate::witness::{Broken, Fate, Mix, Witness};

/// A follower with a connection of its own.
pub(crate) struct Follower {
    pub store: StoreClient,
    pub witness: Arc<Witness>,
    pub dice: Dice,
    mix: Mix,
    /// What it has handled, in the order in which it came.
    seen: Vec<Entry>,
    /// Cursors that it kept, each with how much it had handled.
    kept: Vec<(LogCursor, usize)>,
}

/// What a follower has seen at the end.
pub struct FollowSeen {
    pub(crate) mix: Mix,
    pub(crate) seen: Vec<Entry>,
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
            kept: vec![(LogCursor::default(), 0)],
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
        let (cursor, handled) = self.kept.last().cloned().unwrap_or_default();
        self.seen.truncate(handled);
        let called = self.witness.now();
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
                        let place = (last.path.clone(), last.sequence);
                        self.witness.places().push((cursor.clone(), place));
                    }
                    self.seen.extend(entries);
                    self.kept.push((cursor, self.seen.len()));
                }
                Followed::CaughtUp(cursor) => {
                    if std::mem::replace(&mut caught_up, true) {
                        return Err("a follow is caught up twice".to_owned());
                    }
                    self.has_all_of_before(called)?;
                    self.kept.push((cursor, self.seen.len()));
                    if to_the_end {
                        return Ok(());
                    }
                }
                Followed::At(cursor) => self.kept.push((cursor, self.seen.len())),
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

    /// Whoever is caught up has seen what was acknowledged before it asked.
    fn has_all_of_before(&self, called: u64) -> Result<(), Broken> {
        let attempts = self.witness.attempts();
        let passes_all = self.mix.filter.metadata.is_empty();
        for (number, attempt) in attempts.iter().enumerate() {
            let (Fate::There(_, _, firsts), Some(answered)) = (&attempt.fate, attempt.answered) else {
                continue;
            };
            if answered > called || !passes_all {
                continue;
            }
            for (part, first) in attempt.parts.iter().zip(firsts) {
                let path = crate::witness::path(part.segment);
                let is_of_it = |entry: &&Entry| entry.path == path && entry.sequence.0 == *first;
                if self.mix.wants(&path) && !self.seen.iter().any(|entry| is_of_it(&entry)) {
                    return Err(format!(
                        "a follow of {:?} is caught up without {path} {first} of attempt {number}",
                        self.mix
                    ));
                }
            }
        }
        Ok(())
    }
}
