//! Which workers are there, of each store: those of this host, and those that other hosts of the store tell of.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use streamkit_engine::{StoreId, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::register::{HostedWorker, SharedWorkers, WorkerRegister};

/// Two hosts may have a worker that went from one to the other, and by their clocks it may have come to the wrong one last. For so long after it came
/// here it stays, whatever the other one counts: by then that one has told for how long it has had it.
const SETTLES: Duration = Duration::from_secs(8);

/// How long whoever looks waits at most until it is known whom other hosts have.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);

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
    /// Where other hosts are told, if there are any.
    register: Option<Arc<dyn WorkerRegister>>,
}

/// The workers of one store, for as long as somebody looks or is there.
#[derive(Default)]
pub(crate) struct StoreWorkers {
    all: Mutex<All>,
    /// Counts changes.
    changes: watch::Sender<u64>,
    /// What other hosts are told.
    told: Option<watch::Sender<Vec<HostedWorker>>>,
    /// Cancelled once it is known whom other hosts have, if there are any.
    known: CancellationToken,
}

#[derive(Default)]
struct All {
    present: BTreeMap<Uuid, Registered>,
    /// Those of other hosts, and of no worker that this one has.
    elsewhere: BTreeMap<Uuid, HostedWorker>,
    /// Of all of these.
    metadata_bytes: usize,
}

struct Registered {
    metadata: WorkerMetadata,
    last_seen: Timestamp,
    /// See [`HostedWorker::coming`].
    coming: u64,
    since: Instant,
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

impl All {
    fn remove_elsewhere(&mut self, id: Uuid) -> Option<HostedWorker> {
        let removed = self.elsewhere.remove(&id)?;
        self.metadata_bytes -= bytes(&removed.metadata);
        Some(removed)
    }

    /// What other hosts are told.
    fn own(&self) -> Vec<HostedWorker> {
        let own = self.present.iter().map(|(id, registered)| HostedWorker {
            id: *id,
            metadata: registered.metadata.clone(),
            last_seen: registered.last_seen,
            coming: registered.coming,
            since: registered.since,
        });
        own.collect()
    }

    /// Other hosts have these workers. Whether who is there is another one now, and whether what others are told is.
    fn heard(&mut self, others: Vec<HostedWorker>, now: Instant) -> (bool, bool) {
        let before = std::mem::take(&mut self.elsewhere);
        self.metadata_bytes = self.present.values().map(Registered::metadata_bytes).sum();
        let (mut is_changed, mut is_told) = (false, false);
        for other in others {
            if let Some(own) = self.present.get_mut(&other.id) {
                if other.coming < own.coming {
                    continue;
                }
                // It came to the other one before, which has not heard yet that it is here. Where both count the same, the next to be heard has it.
                if other.since <= own.since || other.coming == own.coming {
                    own.coming = other.coming.saturating_add(1);
                    is_told = true;
                    continue;
                }
                if now.duration_since(own.since) < SETTLES {
                    continue;
                }
                own.replaced.cancel();
                self.metadata_bytes -= own.metadata_bytes();
                self.present.remove(&other.id);
                (is_changed, is_told) = (true, true);
            }
            if self
                .elsewhere
                .get(&other.id)
                .is_some_and(|known| other.coming <= known.coming)
            {
                continue;
            }
            self.remove_elsewhere(other.id);
            let metadata_bytes = self.metadata_bytes + bytes(&other.metadata);
            // They may be too many together where each host took as many as it might.
            if self.present.len() + self.elsewhere.len() < WORKERS_MAX && metadata_bytes <= METADATA_BYTES_MAX {
                self.metadata_bytes = metadata_bytes;
                self.elsewhere.insert(other.id, other);
            }
        }
        let is_same =
            |(one, other): (&HostedWorker, &HostedWorker)| one.id == other.id && one.metadata == other.metadata;
        is_changed |=
            before.len() != self.elsewhere.len() || !before.values().zip(self.elsewhere.values()).all(is_same);
        (is_changed, is_told)
    }
}

/// Takes in what other hosts tell, for as long as somebody looks or is there.
async fn hear(workers: Weak<StoreWorkers>, mut others: watch::Receiver<Vec<HostedWorker>>) {
    while others.changed().await.is_ok() {
        let Some(workers) = workers.upgrade() else { return };
        let heard = others.borrow_and_update().clone();
        let (is_changed, is_told) = workers.lock().heard(heard, Instant::now());
        workers.known.cancel();
        if is_told {
            workers.tell_others();
        }
        if is_changed {
            workers.changed();
        }
    }
    // Nothing is to be heard of this store.
    if let Some(workers) = workers.upgrade() {
        workers.known.cancel();
    }
}

impl Workers {
    /// Those that other hosts are told of, too.
    pub(crate) fn shared(register: Arc<dyn WorkerRegister>) -> Self {
        Self {
            register: Some(register),
            ..Self::default()
        }
    }

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
        let workers = match &self.register {
            None => {
                let workers = StoreWorkers::default();
                workers.known.cancel();
                Arc::new(workers)
            }
            Some(register) => {
                let SharedWorkers { own, others } = register.join(store);
                let workers = Arc::new(StoreWorkers {
                    told: Some(own),
                    ..StoreWorkers::default()
                });
                tokio::spawn(hear(Arc::downgrade(&workers), others));
                workers
            }
        };
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

    /// Waits until it is known whom other hosts have, or that this takes long.
    pub(crate) async fn known(&self) {
        let _ = tokio::time::timeout(KNOWN_WITHIN, self.known.cancelled()).await;
    }

    /// All that are there, by id.
    pub(crate) fn inventory(&self) -> Vec<Present> {
        let all = self.lock();
        let own = all.present.iter().map(|(id, registered)| Present {
            id: *id,
            metadata: registered.metadata.clone(),
            last_seen: registered.last_seen,
        });
        let elsewhere = all.elsewhere.values().map(|worker| Present {
            id: worker.id,
            metadata: worker.metadata.clone(),
            last_seen: worker.last_seen,
        });
        let mut present: Vec<_> = own.chain(elsewhere).collect();
        present.sort_unstable_by_key(|worker| worker.id);
        present
    }

    /// Whether a list of them is small.
    pub(crate) fn are_few(&self) -> bool {
        let all = self.lock();
        all.present.len() + all.elsewhere.len() <= FEW_WORKERS && all.metadata_bytes <= FEW_BYTES
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
        let (own, other) = (all.present.get(&id), all.elsewhere.get(&id));
        let before = own.map_or(0, Registered::metadata_bytes) + other.map_or(0, |other| bytes(&other.metadata));
        let metadata_bytes = all.metadata_bytes - before + bytes(&metadata);
        let is_there = own.is_some() || other.is_some();
        if all.present.len() + all.elsewhere.len() >= WORKERS_MAX && !is_there {
            return Err(PresenceRefused::TooMany);
        }
        if metadata_bytes > METADATA_BYTES_MAX {
            return Err(PresenceRefused::TooMuchMetadata);
        }
        // Hosts' clocks need not agree: a host that has heard of the worker counts on.
        let by_clock = u64::try_from(now.0).unwrap_or_default();
        let last = own.map(|own| own.coming).max(other.map(|other| other.coming));
        let coming = by_clock.max(last.map_or(0, |last| last.saturating_add(1)));
        all.remove_elsewhere(id);
        all.metadata_bytes = metadata_bytes;
        let replaced = CancellationToken::new();
        let registered = Registered {
            metadata,
            last_seen: now,
            coming,
            since: Instant::now(),
            replaced: replaced.clone(),
        };
        if let Some(other) = all.present.insert(id, registered) {
            other.replaced.cancel();
        }
        drop(all);
        self.tell_others();
        self.changed();
        let workers = self.clone();
        Ok(WorkerPlace { workers, id, replaced })
    }

    fn tell_others(&self) {
        if let Some(told) = &self.told {
            // Made while it is locked there, so that what is told last is what was so last.
            told.send_modify(|told| *told = self.lock().own());
        }
    }

    fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }
}

impl WorkerPlace {
    /// Its worker was heard of. Nobody is told.
    pub(crate) fn seen(&self, at: Timestamp) {
        let mut all = self.workers.lock();
        let own = all.present.get_mut(&self.id);
        let Some(own) = own.filter(|_| !self.replaced.is_cancelled()) else {
            return;
        };
        own.last_seen = at;
        drop(all);
        if let Some(told) = &self.workers.told {
            told.send_if_modified(|told| {
                let own = told.binary_search_by_key(&self.id, |worker| worker.id);
                if let Ok(own) = own {
                    told[own].last_seen = at;
                }
                false
            });
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
        self.workers.tell_others();
        self.workers.changed();
    }
}

#[cfg(test)]
mod tests;
