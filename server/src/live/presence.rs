//! Which workers are there, of each store: for as long as this process serves it. Several hosts will have each their own, and will
//! tell each other.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use streamkit_engine::{StoreId, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Workers of a store; each of them is told of all.
const WORKERS_MAX: usize = 1000;

/// Bytes of what the workers of a store say of themselves, together. All of it goes to each who looks, at each change.
const METADATA_BYTES_MAX: usize = 256 << 10;

/// What is told without a turn: so many workers, with so many bytes of metadata.
const FEW_WORKERS: usize = 16;
const FEW_BYTES: usize = 4 << 10;

/// What a worker says of itself.
pub(crate) type WorkerMetadata = BTreeMap<String, String>;

/// One worker that is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Present {
    pub(crate) id: Uuid,
    pub(crate) metadata: WorkerMetadata,
    /// By its own clock, which may be wrong.
    pub(crate) last_seen: Timestamp,
}

/// Why a worker is not taken in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum PresenceRefused {
    #[error("too many workers: a store has at most {WORKERS_MAX}")]
    TooMany,
    #[error("too much metadata: the workers of a store have at most {METADATA_BYTES_MAX} bytes of it together")]
    TooMuchMetadata,
}

/// The workers of all stores.
#[derive(Default)]
pub(crate) struct Workers {
    stores: Mutex<HashMap<StoreId, Weak<StoreWorkers>>>,
}

/// The workers of one store, for as long as somebody looks or is there.
#[derive(Default)]
pub(crate) struct StoreWorkers {
    all: Mutex<All>,
    /// Counts changes.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct All {
    present: BTreeMap<Uuid, Registered>,
    metadata_bytes: usize,
}

struct Registered {
    metadata: WorkerMetadata,
    last_seen: Timestamp,
    /// Cancelled when another takes its place.
    replaced: CancellationToken,
}

impl Registered {
    fn metadata_bytes(&self) -> usize {
        bytes(&self.metadata)
    }
}

fn bytes(metadata: &WorkerMetadata) -> usize {
    metadata.iter().map(|(key, value)| key.len() + value.len()).sum()
}

impl Workers {
    /// Those of a store.
    pub(crate) fn of(&self, store: StoreId) -> Arc<StoreWorkers> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(workers) = stores.get(&store).and_then(Weak::upgrade) {
            return workers;
        }
        // As many as there are at most doubles before all are looked through again.
        if stores.len().is_power_of_two() {
            stores.retain(|_, workers| workers.strong_count() > 0);
        }
        let workers = Arc::new(StoreWorkers::default());
        stores.insert(store, Arc::downgrade(&workers));
        workers
    }
}

/// A worker's place among those that are there, until it is dropped.
pub(crate) struct WorkerPlace {
    workers: Arc<StoreWorkers>,
    id: Uuid,
    replaced: CancellationToken,
}

impl StoreWorkers {
    fn lock(&self) -> std::sync::MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that are there, by id.
    pub(crate) fn inventory(&self) -> Vec<Present> {
        let all = self.lock();
        let present = all.present.iter().map(|(id, registered)| Present {
            id: *id,
            metadata: registered.metadata.clone(),
            last_seen: registered.last_seen,
        });
        present.collect()
    }

    /// Whether a list of them is small.
    pub(crate) fn are_few(&self) -> bool {
        let all = self.lock();
        all.present.len() <= FEW_WORKERS && all.metadata_bytes <= FEW_BYTES
    }

    /// Hears of each change. Of several, once.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// A worker comes. One of the same id gives way to it.
    ///
    /// # Errors
    /// [`PresenceRefused`].
    pub(crate) fn join(
        self: &Arc<Self>,
        id: Uuid,
        metadata: WorkerMetadata,
        now: Timestamp,
    ) -> Result<WorkerPlace, PresenceRefused> {
        let mut all = self.lock();
        let before = all.present.get(&id).map_or(0, Registered::metadata_bytes);
        let metadata_bytes = all.metadata_bytes - before + bytes(&metadata);
        if all.present.len() >= WORKERS_MAX && !all.present.contains_key(&id) {
            return Err(PresenceRefused::TooMany);
        }
        if metadata_bytes > METADATA_BYTES_MAX {
            return Err(PresenceRefused::TooMuchMetadata);
        }
        all.metadata_bytes = metadata_bytes;
        let replaced = CancellationToken::new();
        let registered = Registered {
            metadata,
            last_seen: now,
            replaced: replaced.clone(),
        };
        if let Some(other) = all.present.insert(id, registered) {
            other.replaced.cancel();
        }
        drop(all);
        self.changed();
        let workers = self.clone();
        Ok(WorkerPlace { workers, id, replaced })
    }

    fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }
}

impl WorkerPlace {
    /// Its worker was heard of. Nobody is told.
    pub(crate) fn seen(&self, at: Timestamp) {
        let mut all = self.workers.lock();
        if let Some(own) = all.present.get_mut(&self.id).filter(|_| !self.replaced.is_cancelled()) {
            own.last_seen = at;
        }
    }

    /// Ready when another worker has taken it.
    pub(crate) async fn replaced(&self) {
        self.replaced.cancelled().await;
    }
}

impl Drop for WorkerPlace {
    fn drop(&mut self) {
        let mut all = self.workers.lock();
        if self.replaced.is_cancelled() {
            return;
        }
        if let Some(own) = all.present.remove(&self.id) {
            all.metadata_bytes -= own.metadata_bytes();
        }
        drop(all);
        self.workers.changed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(bytes: usize) -> WorkerMetadata {
        [("k".to_owned(), "v".repeat(bytes - 1))].into()
    }

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    #[test]
    fn a_worker_is_there_until_it_leaves_and_another_of_its_id_takes_its_place() {
        let stores = Workers::default();
        let (store, other) = (StoreId(id(1)), StoreId(id(2)));
        let workers = stores.of(store);
        let mut changes = workers.changes();
        let ids = |workers: &StoreWorkers| {
            workers
                .inventory()
                .iter()
                .map(|one| one.id.as_u128())
                .collect::<Vec<_>>()
        };
        let second = workers.join(id(2), metadata(3), Timestamp(7)).unwrap();
        let first = workers.join(id(1), metadata(3), Timestamp(7)).unwrap();
        assert!(changes.has_changed().unwrap() && ids(&stores.of(store)) == [1, 2]);
        assert!(stores.of(other).inventory().is_empty(), "another store's are others");
        changes.mark_unchanged();
        second.seen(Timestamp(9));
        assert_eq!(workers.inventory()[1].last_seen, Timestamp(9));
        assert!(!changes.has_changed().unwrap());
        let instead = workers.join(id(2), metadata(9), Timestamp(8)).unwrap();
        assert!(second.replaced.is_cancelled() && !instead.replaced.is_cancelled());
        second.seen(Timestamp(99));
        drop(second);
        assert_eq!(workers.inventory()[1].last_seen, Timestamp(8), "it is another's by now");
        drop((first, instead));
        assert!(workers.inventory().is_empty() && workers.lock().metadata_bytes == 0);
    }

    #[test]
    fn workers_and_what_they_say_of_themselves_are_bounded() {
        let workers = Workers::default().of(StoreId(id(1)));
        let large = workers.join(id(0), metadata(METADATA_BYTES_MAX), Timestamp(0)).unwrap();
        let refused = workers.join(id(1), metadata(1), Timestamp(0)).err();
        assert_eq!(refused, Some(PresenceRefused::TooMuchMetadata));
        drop(large);
        let joined: Vec<WorkerPlace> = (0..WORKERS_MAX)
            .map(|number| workers.join(id(number as u128), metadata(1), Timestamp(0)).unwrap())
            .collect();
        let more = |number| workers.join(id(number), metadata(1), Timestamp(0));
        assert_eq!(more(1 << 40).err(), Some(PresenceRefused::TooMany));
        assert!(more(7).is_ok(), "one that takes another's place");
        drop(joined);
    }
}
