//! Credit: how many bytes a peer wants to hear. A frame may be sent while it is above zero, and may take it below.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tokio::sync::Notify;

use crate::budgets::Ended;

/// That of a channel, or of a connection.
pub(super) struct Credit {
    left: AtomicI64,
    grows: Notify,
    ended: AtomicBool,
}

impl Credit {
    pub(super) fn new(bytes: u32) -> Self {
        Self {
            left: AtomicI64::new(bytes.into()),
            grows: Notify::new(),
            ended: AtomicBool::new(false),
        }
    }

    /// One that never runs out.
    pub(super) fn unbounded() -> Self {
        let credit = Self::new(0);
        credit.left.store(i64::MAX, Ordering::Relaxed);
        credit
    }

    /// The peer wants to hear so much more.
    pub(super) fn add(&self, bytes: u32) {
        self.grow(bytes.into());
    }

    fn grow(&self, bytes: i64) {
        // It cannot overflow: no peer sends 2^31 frames of 4 GiB while the sum goes up, but a sum that saturates is the same.
        let add = |left: i64| Some(left.saturating_add(bytes));
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        self.grows.notify_waiters();
    }

    /// Takes frames of these many bytes off, if each of them may be sent. Whoever else has the same credit takes it before or after.
    fn try_take(&self, frames: &[usize]) -> bool {
        let all = total(frames);
        let before_last = all - total(&frames[frames.len().saturating_sub(1)..]);
        let take = |left: i64| (left > before_last).then(|| left.saturating_sub(all));
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.is_ok()
    }

    /// Whether a frame may be sent.
    pub(super) fn is_there(&self) -> bool {
        self.left.load(Ordering::Relaxed) > 0
    }

    /// Nobody hears anything any more.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.grows.notify_waiters();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Waits until a frame may be sent.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`Ended`].
    pub(super) async fn there(&self) -> Result<(), Ended> {
        loop {
            let grows = self.grows.notified();
            if self.has_ended() {
                return Err(Ended);
            }
            if self.is_there() {
                return Ok(());
            }
            grows.await;
        }
    }
}

fn total(frames: &[usize]) -> i64 {
    i64::try_from(frames.iter().sum::<usize>()).unwrap_or(i64::MAX)
}

/// The credit of a channel and of its connection, of which what is sent takes both.
pub(super) struct Both {
    pub(super) own: Arc<Credit>,
    pub(super) of_connection: Arc<Credit>,
}

/// What was taken for frames that are not sent yet. Dropped, it is given back: they will not be.
#[must_use]
pub(super) struct Spent<'a> {
    of: &'a Both,
    bytes: i64,
}

impl Both {
    /// Whether a frame may be sent.
    pub(super) fn is_there(&self) -> bool {
        self.own.is_there() && self.of_connection.is_there()
    }

    /// Waits until a frame may be sent.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`Ended`].
    pub(super) async fn there(&self) -> Result<(), Ended> {
        loop {
            self.own.there().await?;
            self.of_connection.there().await?;
            if self.own.is_there() {
                return Ok(());
            }
        }
    }

    /// Takes frames of these many bytes off both, if each may be sent now.
    pub(super) fn try_take(&self, frames: &[usize]) -> Option<Spent<'_>> {
        if !self.own.try_take(frames) {
            return None;
        }
        let bytes = total(frames);
        if !self.of_connection.try_take(frames) {
            self.own.grow(bytes);
            return None;
        }
        Some(Spent { of: self, bytes })
    }

    /// The same of one frame, once it may be sent.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`Ended`].
    pub(super) async fn take(&self, frame: usize) -> Result<Spent<'_>, Ended> {
        loop {
            self.there().await?;
            if let Some(spent) = self.try_take(&[frame]) {
                return Ok(spent);
            }
        }
    }
}

impl Spent<'_> {
    /// The frames are on their way.
    pub(super) fn sent(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Spent<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.of.own.grow(self.bytes);
            self.of.of_connection.grow(self.bytes);
        }
    }
}

/// What a peer may send: bytes of calls that are not answered.
pub(super) struct Window {
    left: AtomicI64,
    /// Answered, and not given back yet.
    answered: AtomicI64,
}

/// Answered bytes that are given back together.
const GIVEN_BACK: i64 = Window::BYTES as i64 / 8;

impl Window {
    /// Bytes of all.
    pub(super) const BYTES: u32 = 8 << 20;

    pub(super) fn new() -> Self {
        Self {
            left: AtomicI64::new(Self::BYTES.into()),
            answered: AtomicI64::new(0),
        }
    }

    /// Takes off what came. Whether it might come.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.left.fetch_sub(bytes, Ordering::Relaxed) > 0
    }

    /// What came is answered; how much the peer is to be given back now, if it is much.
    pub(super) fn answered(&self, bytes: usize) -> Option<u32> {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        if self.answered.fetch_add(bytes, Ordering::Relaxed) + bytes < GIVEN_BACK {
            return None;
        }
        let all = self.answered.swap(0, Ordering::Relaxed);
        self.left.fetch_add(all, Ordering::Relaxed);
        u32::try_from(all).ok().filter(|&all| all > 0)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_frame_may_go_while_there_is_credit_and_take_it_below_zero() {
        let credit = Credit::new(1);
        assert_eq!(credit.there().now_or_never(), Some(Ok(())));
        assert!(credit.try_take(&[100]) && !credit.try_take(&[1]));
        assert_eq!(credit.there().now_or_never(), None);
        credit.add(99);
        assert_eq!(credit.there().now_or_never(), None);
        credit.add(1);
        assert_eq!(credit.there().now_or_never(), Some(Ok(())));
        credit.end();
        assert_eq!(credit.there().now_or_never(), Some(Err(Ended)));
    }

    fn both(own: u32, of_connection: u32) -> Both {
        Both {
            own: Arc::new(Credit::new(own)),
            of_connection: Arc::new(Credit::new(of_connection)),
        }
    }

    #[test]
    fn each_of_several_frames_needs_credit_that_those_before_it_have_left() {
        let both = both(100, 1000);
        assert!(both.try_take(&[50, 50, 1]).is_none(), "the third has none");
        assert!(both.is_there());
        both.try_take(&[50, 49, 500]).unwrap().sent();
        assert!(!both.is_there());
        assert_eq!(both.of_connection.left.load(Ordering::Relaxed), 401);
    }

    #[test]
    fn what_is_not_sent_or_is_not_there_in_both_is_given_back() {
        let both = both(100, 0);
        assert!(both.try_take(&[60]).is_none());
        both.of_connection.add(1);
        drop(both.try_take(&[60]).unwrap());
        assert_eq!(both.own.left.load(Ordering::Relaxed), 100);
        assert_eq!(both.of_connection.left.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn of_many_who_take_at_once_one_goes_below_zero() {
        for _ in 0..200 {
            let both = both(u32::MAX, 1);
            let takes = || both.try_take(&[1000]).map(Spent::sent).is_some();
            let taken = std::thread::scope(|scope| {
                let takers = [(); 4].map(|()| scope.spawn(takes));
                takers.map(|taker| taker.join().unwrap())
            });
            assert_eq!(taken.into_iter().filter(|&took| took).count(), 1);
        }
    }

    #[test]
    fn whatever_is_answered_comes_back() {
        let window = Window::new();
        let mut back = 0;
        for _ in 0..1000 {
            assert!(window.take(100_000));
            back += window.answered(100_000).map_or(0, u64::from);
        }
        assert!(100_000_000 - back < GIVEN_BACK as u64);
        assert!(window.take(Window::BYTES as usize) && !window.take(1));
    }

    #[tokio::test]
    async fn all_who_wait_hear_of_more() {
        let credit = Credit::new(0);
        let (a, b, ()) = tokio::join!(credit.there(), credit.there(), async {
            tokio::task::yield_now().await;
            credit.add(5);
        });
        assert_eq!((a, b), (Ok(()), Ok(())));
    }
}
