//! Those who work in a run, and the comparison of what they were told with what is there.

use std::net::SocketAddr;
use std::sync::Arc;

use streamkit_client::StoreClient;
use streamkit_engine::{Dice, Store};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::check::check;
use crate::follower::{FollowSeen, Follower};
use crate::holder::Holder;
use crate::host::{Trouble, client};
use crate::reader::Reader;
use crate::shift::Shift;
use crate::truth::Truth;
use crate::witness::{Broken, Witness};
use crate::writer::Writer;

const WRITERS: u64 = 3;
const READERS: u64 = 2;
const FOLLOWERS: u64 = 3;
const HOLDERS: u64 = 3;

/// All of them, each with connections and dice of its own.
pub struct Crew {
    pub(crate) witness: Arc<Witness>,
    seed: u64,
    /// Of those that there are already.
    numbers: u64,
    workers: JoinSet<()>,
    followers: JoinSet<FollowSeen>,
    ending: CancellationToken,
    called_off: CancellationToken,
}

impl Crew {
    /// Nobody yet.
    pub fn new(seed: u64) -> Self {
        Self {
            witness: Arc::default(),
            seed,
            numbers: 0,
            workers: JoinSet::new(),
            followers: JoinSet::new(),
            ending: CancellationToken::new(),
            called_off: CancellationToken::new(),
        }
    }

    /// Transactions that somebody tried to append, those of them that were acknowledged, and reads.
    pub fn counts(&self) -> (usize, usize, usize) {
        let attempts = self.witness.attempts().len();
        (attempts, self.witness.known().attempts, self.witness.reads().len())
    }

    /// Dice of somebody.
    pub fn dice(&self, kind: u64, number: u64) -> Dice {
        Dice::new(self.seed.wrapping_mul(31) ^ (kind << 32) ^ number)
    }

    /// Followers begin at an address. They come to their ends over `last`, a server that is still there then.
    ///
    /// # Errors
    /// None that is known; likewise below.
    pub fn follow(&mut self, at: SocketAddr, last: SocketAddr) -> Result<(), Trouble> {
        for _ in 0..FOLLOWERS {
            self.numbers += 1;
            let follower = Follower::new(client(at)?, self.witness.clone(), self.dice(3, self.numbers));
            self.followers.spawn(follower.work(self.ending.clone(), client(last)?));
        }
        Ok(())
    }

    /// The others do, through a network that may bring what they send twice, or not.
    ///
    /// # Errors
    /// None that is known.
    pub fn work(&mut self, at: SocketAddr, may_come_twice: bool) -> Result<(), Trouble> {
        self.work_for(at, may_come_twice, 40)
    }

    /// The same, for so many attempts of each writer.
    ///
    /// # Errors
    /// None that is known.
    pub fn work_for(&mut self, at: SocketAddr, may_come_twice: bool, attempts: u32) -> Result<(), Trouble> {
        let shift = |turns| Shift::new(turns, self.called_off.clone());
        let others = (u64::from(attempts) * 5 / 8) as u32;
        let from = self.numbers + 1;
        self.numbers += WRITERS.max(READERS).max(HOLDERS);
        for number in from..from + WRITERS {
            let stores: Vec<StoreClient> = vec![client(at)?, client(at)?];
            let writer = Writer::new(stores, self.witness.clone(), self.dice(1, number), may_come_twice);
            self.workers.spawn(writer.work(shift(attempts)));
        }
        for number in from..from + READERS {
            let reader = Reader {
                store: client(at)?,
                witness: self.witness.clone(),
                dice: self.dice(2, number),
            };
            self.workers.spawn(reader.work(shift(others)));
        }
        for number in from..from + HOLDERS {
            let holder = Holder {
                store: client(at)?,
                witness: self.witness.clone(),
                dice: self.dice(5, number),
                number,
                gave_up: 0,
                stored: None,
                heads: Default::default(),
            };
            self.workers.spawn(holder.work(shift(others)));
        }
        Ok(())
    }

    /// Nobody but the followers begins anything more.
    pub fn call_off(&self) {
        self.called_off.cancel();
    }

    /// Waits for all but the followers.
    ///
    /// # Errors
    /// One of them ended by a bug.
    pub async fn is_done(&mut self) -> Result<(), JoinError> {
        while let Some(done) = self.workers.join_next().await {
            done?;
        }
        Ok(())
    }

    /// Lets the followers come to their ends: nothing is written any more.
    ///
    /// # Errors
    /// One of them ended by a bug.
    pub async fn follows(&mut self) -> Result<Vec<FollowSeen>, JoinError> {
        self.ending.cancel();
        let mut follows = Vec::new();
        while let Some(done) = self.followers.join_next().await {
            follows.push(done?);
        }
        Ok(follows)
    }

    /// Compares what everybody was told with what a store has: how many entries that are, and what was broken.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn judge(&self, store: &dyn Store, follows: &[FollowSeen]) -> Result<(usize, Vec<Broken>), Trouble> {
        let attempts = self.witness.attempts().clone();
        Ok(match Truth::read(store, &attempts).await? {
            Ok(truth) => (truth.entries.len(), check(&self.witness, &truth, follows)),
            Err(why) => (0, vec![why]),
        })
    }
}
