//! Follows one store for all who follow something of it: one task looks at the store's tail and tells each the segments that he
//! asked for. So a commit costs as many lookups as it has segments, however many follow others.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use streamkit_engine::{Name, SegmentStatus, Store, TailMark};

use super::bus::MessageBus;
use super::mailbox::Mailbox;

/// How long a round waits for the next commits at least: what is committed meanwhile is told together.
const PACE: Duration = Duration::from_millis(1);

/// How often the store is looked at though nobody told that it changed.
pub(super) const LOOK: Duration = Duration::from_secs(5);

/// Who follows one store.
pub(super) struct Follower {
    pub(super) store: Arc<dyn Store>,
    interests: Mutex<Interests>,
}

#[derive(Default)]
struct Interests {
    spaces: HashMap<Name, SpaceInterests>,
    last: u64,
}

/// By a number that tells them apart.
type Mailboxes = BTreeMap<u64, Arc<Mailbox>>;

#[derive(Default)]
struct SpaceInterests {
    /// In all of its segments.
    every: Mailboxes,
    segments: HashMap<Name, Mailboxes>,
}

impl SpaceInterests {
    fn is_empty(&self) -> bool {
        self.every.is_empty() && self.segments.is_empty()
    }
}

impl Follower {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            interests: Mutex::default(),
        }
    }

    /// Adds an interest in a segment, or in all of a space. Returns its number.
    pub(super) fn add(&self, space: &Name, segment: Option<&Name>, mailbox: Arc<Mailbox>) -> u64 {
        let mut interests = self.interests.lock().unwrap_or_else(PoisonError::into_inner);
        interests.last += 1;
        let number = interests.last;
        let of_space = interests.spaces.entry(space.clone()).or_default();
        let mailboxes = match segment {
            None => &mut of_space.every,
            Some(segment) => of_space.segments.entry(segment.clone()).or_default(),
        };
        mailboxes.insert(number, mailbox);
        number
    }

    /// Removes it.
    pub(super) fn remove(&self, space: &Name, segment: Option<&Name>, number: u64) {
        let mut interests = self.interests.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(of_space) = interests.spaces.get_mut(space) else {
            return;
        };
        match segment {
            None => drop(of_space.every.remove(&number)),
            Some(segment) => {
                if let Some(mailboxes) = of_space.segments.get_mut(segment) {
                    mailboxes.remove(&number);
                    if mailboxes.is_empty() {
                        of_space.segments.remove(segment);
                    }
                }
            }
        }
        if of_space.is_empty() {
            interests.spaces.remove(space);
        }
    }

    /// Tells what changed; how many statuses nobody will be told, as a newer one is.
    fn tell(&self, changed: Option<&[SegmentStatus]>) -> u64 {
        let interests = self.interests.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(changed) = changed else {
            for of_space in interests.spaces.values() {
                let segments = of_space.segments.values().flat_map(BTreeMap::values);
                segments
                    .chain(of_space.every.values())
                    .for_each(|mailbox| mailbox.put_any());
            }
            return 0;
        };
        let mut coalesced = 0;
        for status in changed {
            let Some(of_space) = interests.spaces.get(&status.path.space) else {
                continue;
            };
            let exact = of_space.segments.get(&status.path.segment).into_iter().flatten();
            for (_, mailbox) in exact.chain(&of_space.every) {
                coalesced += u64::from(mailbox.put(&status.path.segment));
            }
        }
        coalesced
    }
}

/// Tells followers of a store what changes in it, from `mark` on, until there are none. `coalesced` hears how many statuses gave way to
/// newer ones.
pub(super) async fn follow(
    follower: Weak<Follower>,
    bus: Arc<dyn MessageBus>,
    mut mark: TailMark,
    coalesced: impl Fn(u64) + Send,
) {
    let Some((mut tail, mut hints)) = follower.upgrade().map(|own| {
        let store = &own.store;
        (store.durable_tail(), bus.listen(store.id()))
    }) else {
        return;
    };
    loop {
        // Weak while it waits: the last follower leaves unnoticed, and at the next look there is nobody.
        let Some(own) = follower.upgrade() else { return };
        match own.store.changed_since(mark).await {
            Ok(changes) => {
                if mark < changes.until {
                    coalesced(own.tell(changes.segments.as_deref()));
                }
                mark = mark.max(changes.until);
            }
            // Nobody is told less: the next look tells it all.
            Err(error) => {
                tracing::warn!(store = %own.store.id(), %error, "a store that is followed cannot be looked at")
            }
        }
        drop(own);
        tokio::time::sleep(PACE).await;
        tokio::select! {
            changed = tail.changed() => if changed.is_err() {
                tokio::time::sleep(LOOK).await;
            },
            heard = hints.changed() => if heard.is_err() {
                tokio::time::sleep(LOOK).await;
            },
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
