//! Which segments of the store grow, and how fast: told by subscriptions to its spaces, within bounds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use serde::Serialize;
use streamkit_client::{SegmentStatus, StoreClient};
use tokio::task::{AbortHandle, JoinSet};

use crate::output::counted;

/// Spaces that are watched, each by a channel of one connection.
const SPACES_MAX: usize = 50;

/// Segments whose heads are held.
const SEGMENTS_MAX: usize = 100_000;

/// Segments that are told.
const TOLD_MAX: usize = 50;

/// How often the spaces are listed.
const LISTED_EVERY: Duration = Duration::from_secs(2);

/// How long is waited after a failure.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A segment that grew.
#[derive(Serialize)]
pub(super) struct Moved {
    pub(super) space: String,
    pub(super) segment: String,
    pub(super) entries_per_second: f64,
    pub(super) last_sequence: u64,
}

/// Watches a store until it is dropped.
pub(super) struct Busiest {
    heads: Arc<Mutex<Heads>>,
    task: AbortHandle,
}

impl Drop for Busiest {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Default)]
struct Heads {
    segments: HashMap<(Arc<str>, String), Head>,
    /// Spaces beyond those that are watched.
    spaces_left_out: usize,
    /// Whether there are more segments than are held.
    is_full: bool,
    /// Why the spaces cannot be listed, or one cannot be watched.
    failed: Option<String>,
}

struct Head {
    now: u64,
    /// What it was at the last look.
    looked_at: u64,
}

impl Busiest {
    pub(super) fn watch(store: StoreClient) -> Self {
        let heads = Arc::<Mutex<Heads>>::default();
        let task = tokio::spawn(list_and_watch(store, heads.clone())).abort_handle();
        Self { heads, task }
    }

    /// What grew since the last look, the fastest first, and why this may not be all.
    pub(super) fn look(&self, seconds: f64) -> (Vec<Moved>, Option<String>) {
        let mut heads = lock(&self.heads);
        let mut moved = Vec::new();
        for ((space, segment), head) in &mut heads.segments {
            let entries = head.now.saturating_sub(head.looked_at);
            head.looked_at = head.now;
            if entries > 0 {
                moved.push((entries, space.clone(), segment.clone(), head.now));
            }
        }
        moved.sort_by(|one, other| {
            other
                .0
                .cmp(&one.0)
                .then_with(|| (&one.1, &one.2).cmp(&(&other.1, &other.2)))
        });
        let moved = moved.into_iter().take(TOLD_MAX);
        let told = moved.map(|(entries, space, segment, last_sequence)| Moved {
            space: (*space).to_owned(),
            segment,
            entries_per_second: (entries as f64 / seconds * 1000.0).round() / 1000.0,
            last_sequence,
        });
        (told.collect(), heads.unknown())
    }
}

impl Heads {
    fn take(&mut self, space: &Arc<str>, status: SegmentStatus) {
        let key = (space.clone(), status.segment);
        let now = status.last_sequence;
        if let Some(head) = self.segments.get_mut(&key) {
            // One that is less was deleted, and begins again.
            head.looked_at = head.looked_at.min(now);
            head.now = now;
            return;
        }
        if self.segments.len() >= SEGMENTS_MAX {
            // Those that grew since the last look are busier than those that did not.
            self.segments.retain(|_, head| head.now > head.looked_at);
            self.is_full = true;
        }
        if self.segments.len() < SEGMENTS_MAX {
            self.segments.insert(key, Head { now, looked_at: now });
        }
    }

    fn unknown(&self) -> Option<String> {
        if let Some(failed) = &self.failed {
            return Some(failed.clone());
        }
        match (self.spaces_left_out, self.is_full) {
            (0, false) => None,
            (0, true) => Some(format!("more than {SEGMENTS_MAX} segments: not all are watched")),
            (left_out, _) => {
                let left_out = counted(left_out as u64, "space");
                Some(format!("{left_out} beyond the first {SPACES_MAX} not watched"))
            }
        }
    }
}

fn lock(heads: &Mutex<Heads>) -> MutexGuard<'_, Heads> {
    heads.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watches the spaces that are there, and those that come.
async fn list_and_watch(store: StoreClient, heads: Arc<Mutex<Heads>>) {
    let mut watching: HashMap<String, AbortHandle> = HashMap::new();
    // Dropped with this, it ends all of them.
    let mut tasks = JoinSet::new();
    loop {
        let after = match store.spaces().await {
            Ok(spaces) => {
                let watched = &spaces[..spaces.len().min(SPACES_MAX)];
                watching.retain(|space, task| {
                    let stays = watched.contains(space);
                    if !stays {
                        task.abort();
                    }
                    stays
                });
                {
                    let mut heads = lock(&heads);
                    heads.spaces_left_out = spaces.len() - watched.len();
                    heads.failed = None;
                    heads.segments.retain(|(space, _), _| watching.contains_key(&**space));
                }
                for space in watched {
                    watching.entry(space.clone()).or_insert_with(|| {
                        let (store, space, heads) = (store.clone(), space.as_str().into(), heads.clone());
                        tasks.spawn(watch(store, space, heads))
                    });
                }
                LISTED_EVERY
            }
            Err(error) => {
                lock(&heads).failed = Some(error.to_string());
                AGAIN_AFTER
            }
        };
        while tasks.try_join_next().is_some() {}
        tokio::time::sleep(after).await;
    }
}

/// Watches one space, whatever happens, until it is aborted.
async fn watch(store: StoreClient, space: Arc<str>, heads: Arc<Mutex<Heads>>) {
    loop {
        let mut statuses = store.subscribe_space(&space);
        while let Some(told) = statuses.next().await {
            match told {
                Ok(status) => lock(&heads).take(&space, status),
                Err(error) => lock(&heads).failed = Some(error.to_string()),
            }
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(heads: &mut Heads, segment: String, last_sequence: u64) {
        let status = SegmentStatus {
            space: "s".to_owned(),
            segment,
            first_sequence: 1,
            first_timestamp: 1,
            last_sequence,
            last_timestamp: 1,
            heartbeat: false,
        };
        heads.take(&"s".into(), status);
    }

    #[test]
    fn what_is_held_has_a_bound_and_what_grows_stays() {
        let mut heads = Heads::default();
        told(&mut heads, "busy".to_owned(), 1);
        told(&mut heads, "busy".to_owned(), 5);
        for n in 0..SEGMENTS_MAX * 2 {
            told(&mut heads, format!("idle-{n}"), 1);
        }
        assert!(heads.segments.len() <= SEGMENTS_MAX);
        let busy = &heads.segments[&("s".into(), "busy".to_owned())];
        assert_eq!((busy.looked_at, busy.now), (1, 5));
        assert!(heads.unknown().is_some());
    }
}
