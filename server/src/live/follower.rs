//! Follows one store for all who follow something of it: one task looks at the store's tail and tells each the segments that he
//! asked for. So a commit costs as many lookups as it has segments, however many follow others.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use streamkit_engine::{Filter, Name, ReadError, SegmentStatus, StorageError, TailMark, Wanted};
use tokio::sync::watch;

use super::bus::Hint;
use super::common::{Common, Followed};
use super::followed::FollowedStore;
use super::mailbox::Mailbox;
use crate::budgets::Budget;
use crate::stores::is_of_store;

/// How long a round waits for the next commits at least, and for each who was told of the same: what is committed meanwhile is told
/// together. Who is told much later than others anyway is told more at once. The first commit after a pause waits for nothing.
const PACE: Duration = Duration::from_millis(1);
const PACE_OF_EACH: Duration = Duration::from_micros(10);
const PACE_MAX: Duration = Duration::from_millis(10);

/// Parts that those who share may follow: more are held once for each follow, where they are counted, and not a second time.
const COMMON_PARTS_MAX: usize = 16;

/// How often it is looked whether the store changed though nobody told so, and whether anybody follows it still.
pub(super) const LOOK: Duration = Duration::from_secs(5);

/// Who follows one store.
pub(super) struct Follower {
    pub(super) store: FollowedStore,
    interests: Mutex<Interests>,
    /// The newest transaction of which news may tell. It is there for whoever reads from then on.
    position: AtomicU64,
    /// What those who follow the same share, by a hash of that: what they follow is held with what they share, and no longer.
    commons: Mutex<HashMap<u64, Weak<Common>>>,
    hashes: RandomState,
}

/// What a round of news came to.
#[derive(Default)]
struct Round {
    /// Most who were told of the same.
    told: u32,
    /// Statuses that nobody will be told, as a newer one is.
    coalesced: u64,
}

impl Round {
    /// How long the next one waits at least.
    fn pace(&self) -> Duration {
        (PACE + PACE_OF_EACH * self.told).min(PACE_MAX)
    }
}

#[derive(Default)]
struct Interests {
    spaces: HashMap<Name, SpaceInterests>,
    last: u64,
    /// The store is lost, and nobody is told anything but that.
    is_lost: bool,
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
    pub(super) fn new(store: FollowedStore) -> Self {
        Self {
            store,
            interests: Mutex::default(),
            position: AtomicU64::new(0),
            commons: Mutex::default(),
            hashes: RandomState::new(),
        }
    }

    /// The newest transaction of which news may tell.
    pub(super) fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    /// What those who follow the same share; `budget` is for what the first of them makes. Who follows many parts shares with nobody.
    pub(super) fn common(&self, parts: &[Wanted], filter: &Filter, budget: &Arc<Budget>) -> Arc<Common> {
        if parts.len() > COMMON_PARTS_MAX {
            return Arc::new(Common::new(Followed::default(), budget.clone()));
        }
        let hash = self.hashes.hash_one((parts, filter));
        let mut commons = self.commons.lock().unwrap_or_else(PoisonError::into_inner);
        let known = commons.get(&hash).and_then(Weak::upgrade);
        if let Some(common) = known.filter(|common| common.is_of(parts, filter)) {
            return common;
        }
        // As many as there are at most doubles before all are looked through again.
        if commons.len().is_power_of_two() {
            commons.retain(|_, common| common.strong_count() > 0);
        }
        let common = Arc::new(Common::new((parts.to_vec(), filter.clone()), budget.clone()));
        commons.insert(hash, Arc::downgrade(&common));
        common
    }

    /// Adds an interest in a segment, or in all of a space. Returns its number.
    pub(super) fn add(&self, space: &Name, segment: Option<&Name>, mailbox: Arc<Mailbox>) -> u64 {
        let mut interests = self.interests.lock().unwrap_or_else(PoisonError::into_inner);
        if interests.is_lost {
            mailbox.put_any();
        }
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

    /// The store is lost: wakes all, who are to end.
    fn lose(&self) {
        self.interests.lock().unwrap_or_else(PoisonError::into_inner).is_lost = true;
        self.tell(None);
    }

    pub(super) fn is_lost(&self) -> bool {
        self.interests.lock().unwrap_or_else(PoisonError::into_inner).is_lost
    }

    /// Tells what changed.
    fn tell(&self, changed: Option<&[SegmentStatus]>) -> Round {
        let interests = self.interests.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(changed) = changed else {
            for of_space in interests.spaces.values() {
                let segments = of_space.segments.values().flat_map(BTreeMap::values);
                segments
                    .chain(of_space.every.values())
                    .for_each(|mailbox| mailbox.put_any());
            }
            return Round::default();
        };
        let mut round = Round::default();
        for status in changed {
            let Some(of_space) = interests.spaces.get(&status.path.space) else {
                continue;
            };
            let exact = of_space.segments.get(&status.path.segment).into_iter().flatten();
            let mut told = 0;
            for (_, mailbox) in exact.chain(&of_space.every) {
                round.coalesced += u64::from(mailbox.put(&status.path.segment));
                told += 1;
            }
            round.told = round.told.max(told);
        }
        round
    }
}

/// Tells followers of a store what changes in it from this call on, also before the future runs for the first time, until there are none. `tail` is
/// the store's, `hints` are the bus'. `coalesced` hears how many statuses gave way to newer ones.
pub(super) fn follow(
    follower: Weak<Follower>,
    mut tail: watch::Receiver<TailMark>,
    hints: watch::Receiver<Hint>,
    coalesced: impl Fn(u64) + Send,
) -> impl Future<Output = ()> + Send {
    let from = *tail.borrow_and_update();
    run(follower, from, tail, hints, coalesced)
}

async fn run(
    follower: Weak<Follower>,
    mut mark: TailMark,
    mut tail: watch::Receiver<TailMark>,
    mut hints: watch::Receiver<Hint>,
    coalesced: impl Fn(u64) + Send,
) {
    // What was said before may be behind what this task finds: it looks once too often rather than not at all.
    let (mut is_hinted, mut looks) = (false, 0);
    loop {
        // Weak while it waits: the last follower leaves unnoticed, and at the next look there is nobody.
        let Some(own) = follower.upgrade() else { return };
        let (mut looked_at, mut pace) = (None, PACE);
        // A store that is closed does not change. To open it for a look now and then would keep it open.
        let seen = *tail.borrow_and_update();
        if is_hinted || mark < seen {
            let Ok(store) = own.store.open().await else {
                return own.lose();
            };
            match store.changed_since(mark).await {
                Ok(changes) => {
                    if mark < changes.until {
                        // Before anybody hears of it, who then asks how far he has to read.
                        own.position.fetch_max(store.position(), Ordering::Release);
                        let round = own.tell(changes.segments.as_deref());
                        coalesced(round.coalesced);
                        pace = round.pace();
                    }
                    mark = mark.max(changes.until);
                    is_hinted = false;
                }
                Err(error) if is_end(&error) || store.writable().is_err() => {
                    tracing::warn!(store = %own.store.id, %error, "a store that is followed cannot be followed here");
                    return own.lose();
                }
                // Nobody is told less: the next look tells it all.
                Err(error) => {
                    tracing::warn!(store = %own.store.id, %error, "a store that is followed cannot be looked at")
                }
            }
            looked_at = Some(store);
        }
        drop(own);
        tokio::time::sleep(pace).await;
        // So far it stayed open for those who were told.
        drop(looked_at);
        tokio::select! {
            changed = tail.changed() => {
                if changed.is_err() {
                    if let Some(own) = follower.upgrade() {
                        own.lose();
                    }
                    return;
                }
                // Who is woken although the tail is where it was has something else to hear.
                is_hinted |= *tail.borrow() == seen;
            }
            // A bus that is dead says nothing.
            Ok(()) = hints.changed() => {
                let hint = *hints.borrow_and_update();
                is_hinted |= mark < hint.tail || looks != hint.looks;
                looks = hint.looks;
            }
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Whether nothing comes behind what was told, however often it is looked: whoever waits for more would wait for ever.
fn is_end(error: &ReadError) -> bool {
    let ReadError::Storage(error) = error else { return false };
    is_of_store(error) || matches!(error, StorageError::Halted { .. })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt as _;
    use streamkit_engine::{Engine, EngineConfig, Record, SegmentPath, StoreId, Stores as _};

    use super::*;
    use crate::limits::Limits;
    use crate::stores::OpenStores;

    async fn followed() -> (Follower, Engine, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let config = EngineConfig::new(dir.path());
        let engine = tokio::task::spawn_blocking(|| Engine::open(config)).await;
        let engine = engine.unwrap().unwrap();
        let store = engine.store(StoreId(uuid::Uuid::from_u128(1))).await.unwrap();
        let stores = Arc::new(OpenStores::new(Arc::new(engine.clone()), &Limits::default()));
        (Follower::new(FollowedStore::new(stores, &store)), engine, dir)
    }

    #[tokio::test]
    async fn the_same_is_shared_and_nothing_is_held_of_it_behind_the_last() {
        let (follower, _engine, _dir) = followed().await;
        let space = |n: usize| Wanted::Space(Name::new(&format!("s{n}")).unwrap());
        let (few, many): (Vec<_>, Vec<_>) = ((0..2).map(space).collect(), (0..=COMMON_PARTS_MAX).map(space).collect());
        let budget = Budget::new(1);
        let common = |parts: &[Wanted]| follower.common(parts, &Filter::default(), &budget);
        let one = common(&few);
        assert!(Arc::ptr_eq(&one, &common(&few)) && !Arc::ptr_eq(&one, &common(&few[..1])));
        assert!(
            !Arc::ptr_eq(&common(&many), &common(&many)),
            "too many parts to hold them twice"
        );
        assert_eq!(Arc::strong_count(&one), 1);
        for n in 0..1000 {
            common(&[space(n)]);
        }
        // Of those who left, a number and a place without anything in it, and no more of those than of them who are here.
        assert!(follower.commons.lock().unwrap().len() <= 2);
    }

    #[tokio::test]
    async fn what_is_committed_before_the_follower_runs_for_the_first_time_is_told() {
        let (follower, engine, _dir) = followed().await;
        let follower = Arc::new(follower);
        let store = engine.store(StoreId(uuid::Uuid::from_u128(1))).await.unwrap();
        let path = SegmentPath::new("s", "a").unwrap();
        let mailbox = Arc::new(Mailbox::of_any());
        let (_tell, hints) = watch::channel(Hint::default());
        let following = follow(Arc::downgrade(&follower), store.durable_tail(), hints, |_| ());
        follower.add(&path.space, None, mailbox.clone());
        // The runtime has had no turn for it yet.
        store.publish(&path, vec![Record::new("x")]).await.unwrap();
        let told = async {
            tokio::select! {
                () = following => unreachable!("somebody follows"),
                () = mailbox.filled() => {}
            }
        };
        let told = tokio::time::timeout(Duration::from_secs(30), told).await;
        told.expect("nobody tells of it");
    }

    #[tokio::test]
    async fn all_who_follow_a_store_that_is_lost_are_woken_also_those_who_come_just_then() {
        let (follower, _engine, _dir) = followed().await;
        let (space, segment) = (Name::new("s").unwrap(), Name::new("a").unwrap());
        let follow = |segment| {
            let mailbox = Arc::new(Mailbox::new());
            follower.add(&space, segment, mailbox.clone());
            mailbox
        };
        let early = [follow(None), follow(Some(&segment))];
        assert!(early.iter().all(|mailbox| mailbox.filled().now_or_never().is_none()));
        follower.lose();
        for mailbox in early.into_iter().chain([follow(None), follow(Some(&segment))]) {
            assert!(mailbox.filled().now_or_never().is_some());
        }
        assert!(follower.is_lost());
    }
}
