//! What a follower is to be told of and has not been yet: which segments changed. He reads their statuses when he tells them, so that
//! none is older than one before. A mailbox never grows beyond a bound: where more segments changed than it holds, it says that any may
//! have.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use streamkit_engine::Name;
use tokio::sync::Notify;

/// Segments that a mailbox holds; as many as a Go server queues.
const SEGMENTS_MAX: usize = 1024;

/// What there is to tell.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum News {
    /// Of these segments.
    Of(BTreeSet<Name>),
    /// Of any: look at the store.
    OfAny,
}

/// News on their way to one follower.
pub(super) struct Mailbox {
    news: Mutex<News>,
    /// Most segments that it holds.
    segments_max: usize,
    comes: Notify,
}

impl Mailbox {
    pub(super) fn new() -> Self {
        Self::of(SEGMENTS_MAX)
    }

    /// One that does not say which segments changed.
    pub(super) fn of_any() -> Self {
        Self::of(0)
    }

    fn of(segments_max: usize) -> Self {
        Self {
            news: Mutex::new(News::Of(BTreeSet::new())),
            segments_max,
            comes: Notify::new(),
        }
    }

    /// A segment changed. Whether it had before, which is not told any more.
    pub(super) fn put(&self, segment: &Name) -> bool {
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        let coalesced = match &mut *news {
            News::Of(segments) if segments.contains(segment) => true,
            News::Of(segments) if segments.len() < self.segments_max => !segments.insert(segment.clone()),
            any => {
                *any = News::OfAny;
                // Who is not told which changed misses no status.
                self.segments_max > 0
            }
        };
        drop(news);
        self.comes.notify_one();
        coalesced
    }

    /// Any segment may have changed.
    pub(super) fn put_any(&self) {
        *self.news.lock().unwrap_or_else(PoisonError::into_inner) = News::OfAny;
        self.comes.notify_one();
    }

    /// Waits until there are news.
    ///
    /// Cancel safe.
    pub(super) async fn filled(&self) {
        while *self.news.lock().unwrap_or_else(PoisonError::into_inner) == News::Of(BTreeSet::new()) {
            self.comes.notified().await;
        }
    }

    /// Takes all there are.
    pub(super) fn take(&self) -> News {
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *news, News::Of(BTreeSet::new()))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn name(segment: usize) -> Name {
        Name::new(&segment.to_string()).unwrap()
    }

    /// What there is to tell, if anything is.
    fn news(mailbox: &Mailbox) -> Option<News> {
        mailbox.filled().now_or_never().map(|()| mailbox.take())
    }

    #[test]
    fn each_segment_that_changed_is_told_once() {
        let mailbox = Mailbox::new();
        assert!(news(&mailbox).is_none());
        for change in 1..=9 {
            assert_eq!(mailbox.put(&name(7)), change > 1);
        }
        mailbox.put(&name(3));
        let Some(News::Of(segments)) = news(&mailbox) else {
            panic!()
        };
        assert_eq!(segments.into_iter().collect::<Vec<_>>(), [name(3), name(7)]);
        assert!(news(&mailbox).is_none());
    }

    #[test]
    fn a_mailbox_nobody_empties_says_in_the_end_that_anything_may_have_changed() {
        let mailbox = Mailbox::new();
        for segment in 0..SEGMENTS_MAX {
            mailbox.put(&name(segment));
        }
        mailbox.put(&name(0));
        assert!(matches!(&*mailbox.news.lock().unwrap(), News::Of(news) if news.len() == SEGMENTS_MAX));
        mailbox.put(&name(SEGMENTS_MAX));
        mailbox.put(&name(0));
        assert_eq!(news(&mailbox), Some(News::OfAny));
        mailbox.put(&name(0));
        assert!(matches!(news(&mailbox), Some(News::Of(_))));
    }
}
