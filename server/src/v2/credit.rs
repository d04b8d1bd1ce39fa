//! Credit: how many bytes a peer wants to hear. A frame may be sent while it is above zero, and may take it below.

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
        // It cannot overflow: no peer sends 2^31 frames of 4 GiB while the sum goes up, but a sum that saturates is the same.
        let add = |left: i64| Some(left.saturating_add(bytes.into()));
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        self.grows.notify_waiters();
    }

    /// A frame of so many bytes is sent.
    pub(super) fn spend(&self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.left.fetch_sub(bytes, Ordering::Relaxed);
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
        credit.spend(100);
        assert_eq!(credit.there().now_or_never(), None);
        credit.add(99);
        assert_eq!(credit.there().now_or_never(), None);
        credit.add(1);
        assert_eq!(credit.there().now_or_never(), Some(Ok(())));
        credit.end();
        assert_eq!(credit.there().now_or_never(), Some(Err(Ended)));
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
