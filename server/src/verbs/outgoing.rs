//! How a verb answers: within what its connection and the server may hold of answers. See [`crate::budgets`].

use streamkit_engine::StoreId;

use super::boundary::{Answers, Batch as _};
use super::failure::Failure;
use crate::budgets::{HeavyTurn, OpenReader, Reads, Share, Turn};
use crate::limits::{BATCH_BYTES_MAX, SMALL_BYTES};

/// The sending half of a call.
pub(crate) struct Outgoing<A> {
    store: StoreId,
    answers: A,
    reads: Reads,
}

impl<A: Answers> Outgoing<A> {
    /// `reads`: what the reads of its connection share.
    pub(crate) fn new(store: StoreId, answers: A, reads: Reads) -> Self {
        Self { store, answers, reads }
    }

    /// How this call is answered, beside what its verb answers.
    pub(crate) fn answers(&self) -> &A {
        &self.answers
    }

    /// Most entries that a read answers with.
    pub(super) fn entries_max(&self) -> u64 {
        self.reads.entries_max()
    }

    /// Waits until this read may open its reader: for other reads of its connection, which go on as its socket does.
    ///
    /// # Errors
    /// [`Failure::Overloaded`]: its store has as many open as it may. [`Failure::Ending`]: the connection is gone.
    pub(super) async fn reader(&self) -> Result<OpenReader, Failure> {
        let reader = self.reads.reader(self.store.0).await?;
        reader.ok_or(Failure::Overloaded)
    }

    /// Waits for this connection's turn of work that grows with what a store holds. Nothing is to be waited for with it but
    /// parts of that work.
    ///
    /// # Errors
    /// [`Failure::Ending`]: the connection is gone.
    pub(super) async fn heavy(&self) -> Result<HeavyTurn, Failure> {
        Ok(self.reads.heavy().await?)
    }

    /// Waits until this read may hold entries. To be given back after every batch, so that reads of a connection whose peer
    /// takes little hold little together: none begins while as much waits for the peer as may.
    ///
    /// # Errors
    /// [`Failure::Ending`]: the connection is gone.
    pub(super) async fn turn(&self) -> Result<Turn, Failure> {
        self.turn_of(BATCH_BYTES_MAX).await
    }

    /// The same of a read that knows how many bytes it will hold.
    ///
    /// # Errors
    /// As [`Self::turn`].
    pub(super) async fn turn_of(&self, bytes: usize) -> Result<Turn, Failure> {
        loop {
            // With nothing in hand: a peer may want other answers than this one.
            self.answers.has_room().await?;
            let asking = self.reads.ask().await?;
            let share = asking.share_of(bytes).await;
            // Another read of this connection may have taken the room meanwhile.
            if self.answers.is_roomy() {
                return Ok(asking.turn(share));
            }
        }
    }

    /// Waits for room to read the largest batch for others too: for no peer, and for no other read of this connection.
    ///
    /// Cancel safe.
    pub(super) async fn room(&self) -> Share {
        self.reads.room(BATCH_BYTES_MAX).await
    }

    /// Waits until the peer would take something more, without being among those that read for it.
    ///
    /// # Errors
    /// [`Failure::Ending`]: the connection is gone.
    pub(super) async fn waits(&self) -> Result<(), Failure> {
        Ok(self.answers.has_room().await?)
    }

    /// Sends all that `answer` makes if it is small and would have to wait for others otherwise. Whether it did; if not, the
    /// answer is to be made again, in a [`Turn`].
    ///
    /// # Errors
    /// [`Failure::Ending`]: the connection is gone.
    pub(super) async fn send_if_small(&self, answer: impl AsyncFnOnce() -> Option<A::Batch>) -> Result<bool, Failure> {
        let Some(look) = self.reads.look().await? else {
            return Ok(false);
        };
        let Some((answer, _place)) = look.at(answer).await else {
            return Ok(false);
        };
        if answer.len() > SMALL_BYTES {
            return Ok(false);
        }
        self.answer(answer).await?;
        Ok(true)
    }

    /// Whether another read of this connection waits, being large: so will this one, most likely.
    pub(super) fn is_behind_a_large_one(&self) -> bool {
        self.reads.is_asking()
    }

    /// An empty batch.
    pub(super) fn batch(&self) -> A::Batch {
        self.answers.batch()
    }

    /// Sends a batch of what was read, waiting for the peer to make room. Entries of so many bytes are left of it.
    ///
    /// # Errors
    /// [`Failure::Ending`]: the connection is gone.
    pub(super) async fn send(&self, batch: A::Batch, turn: &mut Turn, left: usize) -> Result<(), Failure> {
        let share = turn.share(batch.capacity(), left);
        Ok(self.answers.send_of(batch, share).await?)
    }

    /// Sends something small, waiting for the peer to make room.
    ///
    /// # Errors
    /// [`Failure::Ending`]: the connection is gone.
    pub(super) async fn answer(&self, batch: A::Batch) -> Result<(), Failure> {
        Ok(self.answers.send(batch).await?)
    }

    /// As [`Answers::acknowledge`].
    ///
    /// # Errors
    /// As there.
    pub(super) fn acknowledge(&self, batch: A::Batch) -> impl Future<Output = Result<(), Failure>> {
        self.answers.acknowledge(batch)
    }
}
