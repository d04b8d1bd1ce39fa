//! What a follower is to be told and has not been yet: of each segment the newest status. It never grows beyond a bound: where more
//! segments changed than it holds, it says that any may have, and its reader looks at the store.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use streamkit_engine::{Name, SegmentStatus};
use tokio::sync::Notify;

/// Segments that a mailbox holds; as many as a Go server queues.
const SEGMENTS_MAX: usize = 1024;

/// What there is to tell.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum News {
    /// Of some segments, by name.
    Of(BTreeMap<Name, SegmentStatus>),
    /// Of any: look at the store.
    OfAny,
}

/// Statuses on their way to one follower.
pub(super) struct Mailbox {
    news: Mutex<News>,
    comes: Notify,
}

impl Mailbox {
    pub(super) fn new() -> Self {
        Self {
            news: Mutex::new(News::Of(BTreeMap::new())),
            comes: Notify::new(),
        }
    }

    /// A segment has this status now. Whether an older one of it was there and is not told any more.
    pub(super) fn put(&self, status: &SegmentStatus) -> bool {
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        let coalesced = match &mut *news {
            News::Of(segments) if segments.len() < SEGMENTS_MAX || segments.contains_key(&status.path.segment) => {
                segments.insert(status.path.segment.clone(), status.clone()).is_some()
            }
            any => {
                *any = News::OfAny;
                true
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

    /// Waits for news, and takes them.
    ///
    /// Cancel safe.
    pub(super) async fn take(&self) -> News {
        loop {
            {
                let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
                if *news != News::Of(BTreeMap::new()) {
                    return std::mem::replace(&mut *news, News::Of(BTreeMap::new()));
                }
            }
            self.comes.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use streamkit_engine::{SegmentPath, Sequence, Timestamp};

    use super::*;

    fn status(segment: usize, head: u64) -> SegmentStatus {
        SegmentStatus {
            path: SegmentPath::new("s", &segment.to_string()).unwrap(),
            first_sequence: Sequence(1),
            first_timestamp: Timestamp(1),
            last_sequence: Sequence(head),
            last_timestamp: Timestamp(1),
        }
    }

    #[test]
    fn of_each_segment_the_newest_status_is_told_once() {
        let mailbox = Mailbox::new();
        assert!(mailbox.take().now_or_never().is_none());
        for head in 1..=9 {
            assert_eq!(mailbox.put(&status(7, head)), head > 1);
        }
        mailbox.put(&status(3, 1));
        let Some(News::Of(news)) = mailbox.take().now_or_never() else {
            panic!()
        };
        assert_eq!(news.into_values().collect::<Vec<_>>(), [status(3, 1), status(7, 9)]);
        assert!(mailbox.take().now_or_never().is_none());
    }

    #[test]
    fn a_mailbox_nobody_empties_says_in_the_end_that_anything_may_have_changed() {
        let mailbox = Mailbox::new();
        for segment in 0..SEGMENTS_MAX {
            mailbox.put(&status(segment, 1));
        }
        mailbox.put(&status(0, 2));
        assert!(matches!(&*mailbox.news.lock().unwrap(), News::Of(news) if news.len() == SEGMENTS_MAX));
        mailbox.put(&status(SEGMENTS_MAX, 1));
        mailbox.put(&status(0, 3));
        assert_eq!(mailbox.take().now_or_never(), Some(News::OfAny));
        mailbox.put(&status(0, 4));
        assert!(matches!(mailbox.take().now_or_never(), Some(News::Of(_))));
    }
}
