//! What all who follow the same of a store have in common: one reader at the end of the log, and the batches it read last, each encoded
//! once. Who keeps up takes them from here. Who does not has a reader of his own until he is at the end again, so that nobody slow is
//! waited for, and nothing is kept for him.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use streamkit_engine::{Filter, LogCursor, Piece, PieceBatch, PieceReader, ReadError, Store, Wanted};
use tokio::time::Instant;

use crate::budgets::{Budget, Share};

/// Batches that are kept for those who have not taken them yet, and their bytes.
const BATCHES_MAX: usize = 256;
const BYTES_MAX: usize = 8 << 20;

/// How often a batch that may be cut within a transaction is read on, and how many bytes it has then at most.
const READ_ON_MAX: usize = 4;
const READ_ON_BYTES_MAX: usize = 128 << 10;

/// A reader of a store, which stays open for it.
pub(crate) struct Looking {
    pub(crate) reader: Box<dyn PieceReader>,
    pub(crate) store: Arc<dyn Store>,
}

/// What somebody follows: those who follow the same may share it.
pub(super) type Followed = (Vec<Wanted>, Filter);

/// What those who follow the same of a store share.
pub(crate) struct Common {
    followed: Followed,
    /// What all stores have for such batches.
    budget: Arc<Budget>,
    /// Held while somebody reads. `None`: whoever reads next opens one at the end.
    reader: tokio::sync::Mutex<Option<Looking>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Those who take batches from here.
    members: usize,
    batches: VecDeque<Arc<CommonBatch>>,
    /// The number of the batch that is read next.
    next: u64,
    /// The place from which it goes on.
    end: LogCursor,
    /// The last transaction that was told of, if that is known, and whether all that is wanted of it was.
    last: Option<u64>,
    is_whole: bool,
    /// Up to this transaction, all that is wanted is in the batches so far.
    covered: u64,
    /// When something was looked for last.
    looked_at: Option<Instant>,
}

/// One that was read for all.
pub(crate) struct CommonBatch {
    number: u64,
    /// As it is told, but for what differs from one to another.
    pub(crate) bytes: Bytes,
    /// The place behind it.
    pub(crate) cursor: LogCursor,
    /// Its last transaction, and whether all that is wanted of that is in it.
    pub(crate) last: u64,
    is_whole: bool,
    _share: Share,
}

/// Takes batches in common with others, until it is dropped.
pub(crate) struct Member {
    common: Arc<Common>,
    /// The number of the batch that comes next.
    next: u64,
}

/// What is next for one who takes in common.
pub(crate) enum NextCommon {
    Batch(Arc<CommonBatch>),
    /// There is nothing behind this place up to the transaction in question.
    End(LogCursor),
    /// Nobody has read it yet.
    Unread,
    /// It is not kept any more.
    Gone,
}

impl Common {
    pub(super) fn new(followed: Followed, budget: Arc<Budget>) -> Self {
        Self {
            followed,
            budget,
            reader: tokio::sync::Mutex::default(),
            state: Mutex::default(),
        }
    }

    /// Whether those who share it follow this.
    pub(super) fn is_of(&self, parts: &[Wanted], filter: &Filter) -> bool {
        self.followed.0 == parts && self.followed.1 == *filter
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One who has read all up to `end`, the last of which was transaction `told`, goes on in common with others, if they are there
    /// too. If there are none, he is the first. There is nothing for him up to transaction `covered`.
    pub(crate) fn join(self: &Arc<Self>, end: &LogCursor, told: Option<u64>, covered: u64) -> Option<Member> {
        let mut state = self.state();
        if state.members == 0 {
            state.batches.clear();
            (state.end, state.last, state.is_whole) = (end.clone(), told, true);
            state.covered = covered;
        }
        // Between two ends behind the same transaction nothing is wanted.
        let is_there = state.is_whole && (state.end == *end || told.is_some() && state.last == told);
        let next = state.next;
        is_there.then(|| self.member(&mut state, next))
    }

    /// The same for one who has read `batch` on his own and has not told it, if it goes beyond a place where others were: what stands
    /// behind that place is taken off, and is his in common.
    pub(crate) fn join_within(self: &Arc<Self>, batch: &mut PieceBatch) -> Option<Member> {
        let (first, last) = (batch.pieces.first()?.number(), batch.pieces.last()?.number());
        let mut state = self.state();
        // Of its last transaction more may follow.
        let is_within = |had: &&Arc<CommonBatch>| had.is_whole && (first..last).contains(&had.last);
        let had = state.batches.iter().rev().find(is_within)?.clone();
        let member = self.member(&mut state, had.number + 1);
        drop(state);
        batch.pieces.retain(|piece| piece.number() <= had.last);
        batch.cursor = had.cursor.clone();
        Some(member)
    }

    fn member(self: &Arc<Self>, state: &mut State, next: u64) -> Member {
        state.members += 1;
        let common = self.clone();
        Member { common, next }
    }

    /// Whether somebody else follows the same.
    pub(crate) fn has_others(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1
    }
}

/// What a reader has next.
struct CommonRead {
    batch: Option<PieceBatch>,
    /// Whether nothing is wanted any more of its last transaction.
    is_whole: bool,
    /// Whether there was nothing behind it.
    is_end: bool,
}

impl CommonRead {
    /// The next batch. One that ends with a part of a transaction may have been cut there: it is read on until that is known.
    async fn of(reader: &mut dyn PieceReader) -> Result<Self, ReadError> {
        let mut all: Option<PieceBatch> = None;
        for _ in 0..READ_ON_MAX {
            let Some(next) = reader.next_batch().await? else {
                let (is_whole, is_end) = (true, true);
                return Ok(Self {
                    batch: all,
                    is_whole,
                    is_end,
                });
            };
            let batch = all.get_or_insert_default();
            batch.pieces.extend(next.pieces);
            batch.entries += next.entries;
            batch.cursor = next.cursor;
            if matches!(batch.pieces.last(), Some(Piece::Whole(_))) {
                let (is_whole, is_end) = (true, false);
                return Ok(Self {
                    batch: all,
                    is_whole,
                    is_end,
                });
            }
            if batch.bytes() >= READ_ON_BYTES_MAX {
                break;
            }
        }
        let (is_whole, is_end) = (false, false);
        Ok(Self {
            batch: all,
            is_whole,
            is_end,
        })
    }
}

impl State {
    fn next(&self, number: u64, until: u64) -> NextCommon {
        if number == self.next {
            return match self.covered >= until {
                true => NextCommon::End(self.end.clone()),
                false => NextCommon::Unread,
            };
        }
        let first = self.next - self.batches.len() as u64;
        let at = number.checked_sub(first).and_then(|at| usize::try_from(at).ok());
        match at.and_then(|at| self.batches.get(at)) {
            Some(batch) => NextCommon::Batch(batch.clone()),
            None => NextCommon::Gone,
        }
    }

    /// Keeps a batch that was read, if there is room for it. If there is not, nobody finds what stands before it any more.
    fn keep(&mut self, bytes: Bytes, pieces: &PieceBatch, is_whole: bool, budget: &Budget) {
        let last = pieces.pieces.last().map_or(0, Piece::number);
        let share = (bytes.len() <= BYTES_MAX)
            .then(|| budget.try_take(bytes.len()))
            .flatten();
        let number = self.next;
        self.next += 1;
        (self.end, self.last, self.is_whole) = (pieces.cursor.clone(), Some(last), is_whole);
        if is_whole {
            self.covered = self.covered.max(last);
        }
        let Some(share) = share else {
            self.batches.clear();
            return;
        };
        self.batches.push_back(Arc::new(CommonBatch {
            number,
            bytes,
            cursor: pieces.cursor.clone(),
            last,
            is_whole,
            _share: share,
        }));
        while self.batches.len() > BATCHES_MAX || self.bytes() > BYTES_MAX {
            self.batches.pop_front();
        }
    }

    fn bytes(&self) -> usize {
        self.batches.iter().map(|batch| batch.bytes.len()).sum()
    }
}

impl Member {
    /// What is next for one who wants all up to transaction `until`. A batch stays next until it was [taken](Self::took).
    pub(crate) fn next(&self, until: u64) -> NextCommon {
        self.common.state().next(self.next, until)
    }

    /// The batch was told.
    pub(crate) fn took(&mut self) {
        self.next += 1;
    }

    /// Reads what is next for all, unless another has meanwhile. Of several at a time one reads, and the others wait for it with nothing
    /// in hand. He waits for `room` for the largest batch, and if nobody has, he has the store opened, and a reader of it behind a place.
    ///
    /// Cancel safe: whoever comes next reads it.
    ///
    /// # Errors
    /// Those of `store`, and of the reader.
    pub(crate) async fn read<E: From<ReadError> + From<S>, S>(
        &self,
        until: u64,
        room: impl Future<Output = Share>,
        store: impl Future<Output = Result<Arc<dyn Store>, S>>,
        open: impl FnOnce(LogCursor, Arc<dyn Store>) -> Looking,
        encode: impl Fn(&PieceBatch) -> Bytes,
    ) -> Result<(), E> {
        let mut reader = self.common.reader.lock().await;
        if !matches!(self.next(until), NextCommon::Unread) {
            return Ok(());
        }
        let _room = room.await;
        // What fails, or is given up, leaves no reader behind.
        let mut open = match reader.take() {
            Some(open) => open,
            None => {
                let store = store.await?;
                open(self.common.state().end.clone(), store)
            }
        };
        let position = open.store.position();
        let came = CommonRead::of(&mut *open.reader).await?;
        let encoded = came.batch.as_ref().map(|pieces| (encode(pieces), pieces));
        let mut state = self.common.state();
        state.looked_at = Some(Instant::now());
        match encoded {
            Some((bytes, pieces)) => state.keep(bytes, pieces, came.is_whole, &self.common.budget),
            None => (state.end, state.is_whole) = (open.reader.cursor(), true),
        }
        if came.is_end {
            state.covered = state.covered.max(position);
        }
        drop(state);
        *reader = Some(open);
        Ok(())
    }

    /// Lets go of reader and batches if nothing was looked for so long; when to ask again, if it was.
    pub(crate) fn rest(&self, stays: Duration) -> Option<Instant> {
        let Ok(mut reader) = self.common.reader.try_lock() else {
            return Some(Instant::now() + stays);
        };
        let mut state = self.common.state();
        let until = state
            .looked_at
            .map(|at| at + stays)
            .filter(|until| *until > Instant::now());
        if until.is_none() {
            *reader = None;
            state.batches.clear();
        }
        until
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = self.common.state();
        state.members -= 1;
        if state.members == 0 {
            state.batches.clear();
            // Who reads is a member.
            if let Ok(mut reader) = self.common.reader.try_lock() {
                *reader = None;
            }
        }
    }
}

#[cfg(test)]
mod tests;
