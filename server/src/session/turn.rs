//! The right to read entries for a peer. All that reads hold, from before they read until the socket of their peer has taken
//! it, is within one budget of the server. A read takes before what the largest batch may cost, since nobody knows how large
//! the next one is, and gives back what is more than it found.
//!
//! A small answer waits for no bulk of others: while there is no room for a large batch, a few reads at a time look whether
//! all that they are to answer is small. If so, it goes out through the room that each connection always has; if not, they
//! forget it and wait in turn.

use std::sync::Arc;
use std::time::Duration;

use streamkit_engine::limits::RECORD_BYTES_MAX;
use streamkit_protocol::FrameHead;
use streamkit_protocol::limits::{MESSAGE_BYTES_MAX, PEER_FRAME_BYTES_MAX};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::budget::Share;
use super::budgets::Budgets;
use super::fair::FairShare;
use super::heavy::{HeavyTurn, Turns};
use super::outbound::{Batch, Outbound, SMALL_BYTES};
use crate::operations::Failure;

/// What the entries of a batch may be at most, their messages, and frames of them: all but full, and the largest entry on top.
pub(super) const TURN_BYTES: usize = (1 << 20) + RECORD_BYTES_MAX + MESSAGE_BYTES_MAX + PEER_FRAME_BYTES_MAX;

/// What entries, a message and a batch of frames cost together for each byte of the entries, and once.
const GROWTH: usize = 4;
const GROWTH_BYTES: usize = 256 << 10;

/// Reads that look at a time whether they are small.
pub(super) const PROBES: usize = 4;

/// How long one may look: others want to.
const PROBE: Duration = Duration::from_millis(100);

/// Readers that a connection may have open; further reads wait without one, for their turn.
const READERS_MAX: usize = 256;

/// What an open reader holds between its batches: places that it has looked up (some 1000 of 40 bytes) and, of what it read last,
/// an allocation that it goes on with.
const READER_BYTES: usize = 40 << 10;

/// The sending half of a channel.
pub(crate) struct Outgoing {
    pub(super) head: FrameHead,
    pub(super) outbound: Outbound,
    pub(super) reads: Reads,
    pub(super) budgets: Arc<Budgets>,
}

/// What the reads of a connection share.
#[derive(Clone)]
pub(super) struct Reads {
    /// How many may hold entries.
    places: Arc<Semaphore>,
    /// One at a time asks for a share, so that those of others come in between; and one looks whether it is small.
    asks: Arc<Semaphore>,
    looks: Arc<Semaphore>,
    /// How many may have a reader open.
    readers: Arc<Semaphore>,
    heavy: Turns,
}

impl Reads {
    pub(super) fn new(places: usize, budgets: &Budgets) -> Self {
        let semaphore = |places| Arc::new(Semaphore::new(places));
        Self {
            places: semaphore(places.clamp(1, Semaphore::MAX_PERMITS)),
            asks: semaphore(1),
            looks: semaphore(1),
            readers: semaphore(READERS_MAX),
            heavy: Turns::new(budgets.heavy.clone()),
        }
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, Failure> {
        self.places.clone().acquire_owned().await.map_err(|_| Failure::Ending)
    }
}

/// The right to have a reader open.
#[expect(dead_code, reason = "held, not used")]
pub(crate) struct OpenReader(OwnedSemaphorePermit, FairShare);

/// The right to hold what was read.
pub(crate) struct Turn {
    _place: OwnedSemaphorePermit,
    share: Share,
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
}

fn grown(bytes: usize) -> usize {
    bytes.saturating_mul(GROWTH).saturating_add(GROWTH_BYTES)
}

impl Outgoing {
    /// Waits until this read may open its reader: for other reads of its connection, which go on as its socket
    /// does.
    ///
    /// # Errors
    /// [`Failure::Overloaded`]: its store has as many open as it may. [`Failure::Ending`]: the connection is gone.
    pub(crate) async fn reader(&self) -> Result<OpenReader, Failure> {
        let place = self.reads.readers.clone().acquire_owned().await;
        let place = place.map_err(|_| Failure::Ending)?;
        let share = self.budgets.requests.try_take(self.head.store_id, READER_BYTES);
        Ok(OpenReader(place, share.ok_or(Failure::Overloaded)?))
    }

    /// Waits for this connection's turn of work that grows with what a store holds. Nothing is to be waited for with it but
    /// parts of that work.
    ///
    /// # Errors
    /// [`Failure::Ending`]: the connection is gone.
    pub(crate) async fn heavy(&self) -> Result<HeavyTurn, Failure> {
        self.reads.heavy.turn().await
    }

    /// Waits until this read may hold entries. To be given back after every batch, so that reads of a connection whose peer
    /// takes little hold little together: none begins while as much waits for the peer as may.
    ///
    /// # Errors
    /// [`Failure::Ending`]: the connection is gone.
    pub(crate) async fn turn(&self) -> Result<Turn, Failure> {
        let place = self.reads.place().await?;
        let _asks = self.reads.asks.acquire().await.map_err(|_| Failure::Ending)?;
        loop {
            going_on(self.outbound.has_room().await)?;
            let share = self.budgets.outgoing.take(TURN_BYTES).await;
            // Another read of this connection may have taken the room meanwhile.
            if self.outbound.is_roomy() {
                return Ok(Turn { _place: place, share });
            }
        }
    }

    /// Sends all that `answer` makes if it is small and would have to wait for others otherwise. Whether it did; if not, the
    /// answer is to be made again, in a [`Turn`].
    ///
    /// # Errors
    /// [`Failure::Ending`]: the connection is gone.
    pub(crate) async fn send_if_small(&self, answer: impl Future<Output = Option<Batch>>) -> Result<bool, Failure> {
        if !self.budgets.outgoing.is_short_of(TURN_BYTES) {
            return Ok(false);
        }
        let _place = self.reads.place().await?;
        let looks = self.reads.looks.acquire().await.map_err(|_| Failure::Ending)?;
        let probe = self.budgets.probes.acquire().await.map_err(|_| Failure::Ending)?;
        let answer = tokio::time::timeout(PROBE, answer).await.ok().flatten();
        let Some(small) = answer.filter(|answer| answer.len() <= SMALL_BYTES) else {
            return Ok(false);
        };
        drop((probe, looks));
        self.answer(small).await?;
        Ok(true)
    }

    /// Whether another read of this connection waits, being large: so will this one, most likely.
    pub(crate) fn is_behind_a_large_one(&self) -> bool {
        self.reads.asks.available_permits() == 0
    }

    /// An empty batch for this channel.
    pub(crate) fn batch(&self) -> Batch {
        Batch::new(self.head)
    }

    /// Sends a batch of what was read, waiting for the peer to make room. Entries of so many bytes are left of it.
    ///
    /// # Errors
    /// [`Failure::Ending`]: the connection is gone.
    pub(crate) async fn send(&self, batch: Batch, turn: &mut Turn, left: usize) -> Result<(), Failure> {
        let share = turn.share.split(batch.capacity());
        turn.has_left(left);
        going_on(self.outbound.send_of(batch, share).await)
    }

    /// Sends something small, waiting for the peer to make room.
    ///
    /// # Errors
    /// [`Failure::Ending`]: the connection is gone.
    pub(crate) async fn answer(&self, batch: Batch) -> Result<(), Failure> {
        going_on(self.outbound.send(batch).await)
    }
}

fn going_on(is_connected: bool) -> Result<(), Failure> {
    is_connected.then_some(()).ok_or(Failure::Ending)
}
