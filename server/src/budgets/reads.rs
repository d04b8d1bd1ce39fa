//! The right to read entries for a peer. All that reads hold, from before they read until the socket of their peer has taken
//! it, is within one budget of the server. A read takes before what the largest batch may cost, since nobody knows how large
//! the next one is, and gives back what is more than it found.
//!
//! A small answer waits for no bulk of others: while there is no room for a large batch, a few reads at a time look whether
//! all that they are to answer is small. If so, it goes out through the room that each connection always has; if not, they
//! forget it and wait in turn.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::all::Budgets;
use super::budget::Share;
use super::ended::Ended;
use super::fair::FairShare;
use super::heavy::{HeavyTurn, Turns};
use crate::limits::{BATCH_BYTES_MAX, Limits};

/// What entries, a message and a batch of frames cost together for each byte of the entries, and once.
const GROWTH: usize = 4;
const GROWTH_BYTES: usize = 256 << 10;

/// How long one may look whether it is small: others want to.
const PROBE: Duration = Duration::from_millis(100);

/// Readers that a connection may have open; further reads wait without one, for their turn.
const READERS_MAX: usize = 256;

/// What an open reader holds between its batches: places that it has looked up (some 1000 of 40 bytes) and, of what it read last,
/// an allocation that it goes on with.
const READER_BYTES: usize = 40 << 10;

/// What the reads of a connection share.
#[derive(Clone)]
pub(crate) struct Reads {
    budgets: Arc<Budgets>,
    /// How many may hold entries.
    places: Arc<Semaphore>,
    /// One at a time asks for a share, so that those of others come in between; and one looks whether it is small.
    asks: Arc<Semaphore>,
    looks: Arc<Semaphore>,
    /// How many may have a reader open.
    readers: Arc<Semaphore>,
    heavy: Turns,
    entries_max: u64,
}

/// The right to have a reader open.
#[expect(dead_code, reason = "held, not used")]
pub(crate) struct OpenReader(OwnedSemaphorePermit, FairShare);

/// A place among the reads of a connection that hold something.
pub(crate) struct ReadPlace(#[expect(dead_code, reason = "held, not used")] OwnedSemaphorePermit);

/// The right to look whether an answer is small.
pub(crate) struct Look {
    place: ReadPlace,
    _one_each: OwnedSemaphorePermit,
    _one_of_few: OwnedSemaphorePermit,
}

/// The read of its connection that asks for a share now.
pub(crate) struct Asking {
    place: ReadPlace,
    _one_each: OwnedSemaphorePermit,
    budgets: Arc<Budgets>,
}

/// The right to hold what was read.
pub(crate) struct Turn {
    _place: ReadPlace,
    share: Share,
}

impl Reads {
    /// Those of one connection.
    pub(crate) fn new(limits: &Limits, budgets: Arc<Budgets>) -> Self {
        let semaphore = |places| Arc::new(Semaphore::new(places));
        Self {
            places: semaphore(limits.reads.clamp(1, Semaphore::MAX_PERMITS)),
            asks: semaphore(1),
            looks: semaphore(1),
            readers: semaphore(READERS_MAX),
            heavy: Turns::new(budgets.heavy.clone()),
            entries_max: limits.consume_entries,
            budgets,
        }
    }

    /// Most entries that a read yields.
    pub(crate) fn entries_max(&self) -> u64 {
        self.entries_max
    }

    /// Waits until a read may open its reader: for other reads of its connection, which go on as its socket does. `None` if its
    /// store has as many open as it may.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`Ended`].
    pub(crate) async fn reader(&self, store: Uuid) -> Result<Option<OpenReader>, Ended> {
        let place = permit(&self.readers).await?;
        let share = self.budgets.requests.try_take(store, READER_BYTES);
        Ok(share.map(|share| OpenReader(place, share)))
    }

    /// Waits for this connection's turn of work that grows with what a store holds. Nothing is to be waited for with it but
    /// parts of that work.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`Ended`].
    pub(crate) async fn heavy(&self) -> Result<HeavyTurn, Ended> {
        self.heavy.turn().await
    }

    /// Waits until a read is the one of its connection that asks for a share.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`Ended`].
    pub(crate) async fn ask(&self) -> Result<Asking, Ended> {
        Ok(Asking {
            place: self.place().await?,
            _one_each: permit(&self.asks).await?,
            budgets: self.budgets.clone(),
        })
    }

    /// Waits for a share of what goes out, without a place among the reads of this connection.
    ///
    /// Cancel safe.
    pub(crate) async fn room(&self, bytes: usize) -> Share {
        self.budgets.outgoing.take(bytes).await
    }

    /// Whether a read of this connection asks, being large: so will another, most likely.
    pub(crate) fn is_asking(&self) -> bool {
        self.asks.available_permits() == 0
    }

    /// Waits until a read may look whether its answer is small. `None` if a large one would not wait either.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`Ended`].
    pub(crate) async fn look(&self) -> Result<Option<Look>, Ended> {
        if !self.budgets.outgoing.is_short_of(BATCH_BYTES_MAX) {
            return Ok(None);
        }
        Ok(Some(Look {
            place: self.place().await?,
            _one_each: permit(&self.looks).await?,
            _one_of_few: permit(&self.budgets.probes).await?,
        }))
    }

    async fn place(&self) -> Result<ReadPlace, Ended> {
        Ok(ReadPlace(permit(&self.places).await?))
    }
}

async fn permit(of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Ended> {
    of.clone().acquire_owned().await.map_err(|_| Ended)
}

impl Look {
    /// What `answer` makes, if it makes something soon, with the place in which to send it.
    pub(crate) async fn at<T>(self, answer: impl AsyncFnOnce() -> Option<T>) -> Option<(T, ReadPlace)> {
        let answer = tokio::time::timeout(PROBE, answer()).await.ok().flatten()?;
        Some((answer, self.place))
    }
}

impl Asking {
    /// Waits for a share of what goes out for so many bytes: those of the largest batch, or of one that is known.
    ///
    /// Cancel safe.
    pub(crate) async fn share_of(&self, bytes: usize) -> Share {
        self.budgets.outgoing.take(bytes).await
    }

    /// The turn that a share gives.
    pub(crate) fn turn(self, share: Share) -> Turn {
        let _place = self.place;
        Turn { _place, share }
    }
}

impl Turn {
    /// Entries of so many bytes are to be sent yet, and no more.
    pub(crate) fn has_left(&mut self, bytes: usize) {
        self.share.shrink_to(grown(bytes));
    }

    /// Whether as much is left of it as entries of so many bytes cost.
    pub(crate) fn covers(&self, bytes: usize) -> bool {
        self.share.bytes() >= grown(bytes)
    }

    /// The share of a batch that takes so many bytes of memory, while entries of so many are left.
    pub(crate) fn share(&mut self, capacity: usize, left: usize) -> Share {
        let share = self.share.split(capacity);
        self.has_left(left);
        share
    }
}

fn grown(bytes: usize) -> usize {
    bytes.saturating_mul(GROWTH).saturating_add(GROWTH_BYTES)
}
