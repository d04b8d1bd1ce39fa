//! Opens stores, and closes them for others: the table decides ([`OpenStores`]), threads that may wait for the disk
//! act ([`crate::runtime::openers`]), and no caller waits longer than the deadline.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::open_stores::{Asked, OpenStores, StoreJob};
use super::{Inner, store_dir};
use crate::error::{OpenError, StorageError};
use crate::format::log_start::LogStart;
use crate::index::catalog::Catalog;
use crate::log::extents::Extents;
use crate::log::latch::Latch;
use crate::log::prepared::LogFolder;
use crate::log::recovery::unwritten;
use crate::runtime::sync::Instant;
use crate::store::LocalStore;
use streamkit_record::{LogPosition, StoreId};

/// When whoever waits looks first whether a store has come to rest, or a thread more is needed; then after twice as long, up to the
/// second: many may wait.
const LOOK_AGAIN: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(320)];

type Opened = Result<LocalStore, OpenError>;

impl Inner {
    /// A store, opened if it is not. For a read (`reads`) of one that is not on the disk, an empty one that nobody can write to and
    /// that is not kept.
    pub(super) async fn get(self: &Arc<Self>, id: StoreId, reads: bool) -> Opened {
        let asked = self.stores().ask(id, reads, self.config.open_deadline);
        let (receive, job) = match asked {
            Asked::Open(store) => return Ok(store),
            Asked::Refused(error) => return Err(error),
            Asked::Wait(receive, job) => (receive, job),
        };
        if let Some(StoreJob::Seek(_)) = job
            && let Some(hanging) = self.threads.opening.stuck()
        {
            self.stores().withdraw(id, &OpenError::OpeningsHang(hanging));
        } else {
            self.start(job);
        }
        match self.config.stepper {
            Some(_) => receive.await.unwrap_or_else(|_| Err(StorageError::Closed.into())),
            None => self.in_time(id, receive).await,
        }
    }

    async fn in_time(self: &Arc<Self>, id: StoreId, mut receive: oneshot::Receiver<Opened>) -> Opened {
        let (since, longest) = (Instant::now(), self.config.open_deadline);
        let mut pause = LOOK_AGAIN[0];
        loop {
            let waited = since.elapsed();
            if waited >= longest {
                // It may have come just now.
                return receive
                    .try_recv()
                    .unwrap_or_else(|_| Err(self.stores().why_late(id, waited)));
            }
            let slice = pause.min(longest - waited);
            if let Ok(answer) = self.deadlines.within(slice, &mut receive).await {
                return answer.unwrap_or_else(|_| Err(StorageError::Closed.into()));
            }
            pause = LOOK_AGAIN[1].min(2 * pause);
            self.threads.opening.tend();
            self.give();
        }
    }

    /// Has done what is to be done next.
    pub(super) fn give(self: &Arc<Self>) {
        self.start(self.jobs());
    }

    /// What is to be done next.
    fn jobs(&self) -> Vec<StoreJob<LocalStore>> {
        let mut stores = self.stores();
        let mut jobs = stores.give(LocalStore::is_idle, self.config.stepper.is_none());
        let is_short = stores.is_short_of_descriptors();
        if self.descriptors.were_none_left() {
            jobs.extend(stores.close_some(LocalStore::is_idle));
        }
        drop(stores);
        if is_short {
            self.descriptors.tell();
        }
        jobs
    }

    fn start(self: &Arc<Self>, jobs: impl IntoIterator<Item = StoreJob<LocalStore>>) {
        for job in jobs {
            let inner = Arc::clone(self);
            self.threads.opening.spawn(move || inner.run(job));
        }
    }

    fn run(self: &Arc<Self>, job: StoreJob<LocalStore>) {
        match job {
            StoreJob::Seek(id) => {
                let there = self.is_there(id);
                match &there {
                    Ok(true) => {}
                    Ok(false) => self.tails.end_beyond(id, LogStart::WHOLE.position().into()),
                    Err(error) => self.end_tail(id, &error.clone().into()),
                }
                let readers = self.stores().found(id, there);
                if !readers.is_empty() {
                    let empty = self.caught(id, || self.empty(id));
                    for reader in readers {
                        reader.tell(empty.clone());
                    }
                }
                let jobs = self.jobs();
                // This thread is at its own already. It may hang, so all others are others' before.
                let is_own = |job: &StoreJob<LocalStore>| matches!(job, StoreJob::Open(opens) if *opens == id);
                let (own, others): (Vec<_>, Vec<_>) = jobs.into_iter().partition(is_own);
                self.start(others);
                own.into_iter().for_each(|job| self.run(job));
                return;
            }
            StoreJob::Empty(id, reader) => {
                reader.tell(self.caught(id, || self.empty(id)));
                return;
            }
            StoreJob::Open(id) => {
                let ended = self.stores().is_ended();
                let opened = match ended {
                    true => Err(StorageError::Closed.into()),
                    false => self.caught(id, || self.recover_with_room(id)),
                };
                if let Err(error) = &opened {
                    self.end_tail(id, error);
                }
                let late = self.stores().opened(id, opened);
                if let Some(store) = late {
                    self.run(StoreJob::Close(id, store));
                }
            }
            StoreJob::Close(id, store) => {
                if catch_unwind(AssertUnwindSafe(|| self.close_store(&store))).is_err() {
                    tracing::error!(store = %id, "closing a store panicked");
                }
                drop(store);
                self.stores().closed(id);
            }
        }
        self.changed.notify_all();
        self.give();
    }

    /// Opens a store; where no descriptors are left, once more after some stores at rest were closed.
    fn recover_with_room(&self, id: StoreId) -> Opened {
        let opened = self.recover_store(id);
        if !opened.as_ref().is_err_and(OpenError::is_out_of_descriptors) {
            return opened;
        }
        for _ in 0..(self.config.open_stores / 16).clamp(1, 64) {
            let Some((idle, store)) = self.stores().oldest_idle(LocalStore::is_idle) else {
                break;
            };
            self.close_store(&store);
            drop(store);
            self.stores().closed(idle);
        }
        self.recover_store(id)
    }

    fn close_store(&self, store: &LocalStore) {
        store.close();
        let log = store.log();
        self.lease_times.keep(log.id, &log.catalog().leases);
        self.tails.keep(log.id, &log.tail);
    }

    /// Those who follow a store that does not open are told so, unless that passes by itself.
    fn end_tail(&self, id: StoreId, why: &OpenError) {
        if !why.is_transient() {
            self.tails.end(id);
        }
    }

    /// Whether anything of a store is on the disk.
    pub(super) fn is_there(&self, id: StoreId) -> Result<bool, StorageError> {
        let dir = store_dir(&self.config.dir, id);
        let names = self
            .config
            .disk
            .list(&dir)
            .map_err(|e| StorageError::io("list", dir, e))?;
        Ok(!names.is_empty())
    }

    /// What a store that is not on the disk reads as. It comes from memory alone: another thread may be opening the very store for
    /// a producer meanwhile, and the folder may be another process's by now. It takes no writes: it is not the one of the table.
    fn empty(&self, id: StoreId) -> Opened {
        let config = &self.config;
        let folder = LogFolder {
            disk: Arc::clone(&config.disk),
            dir: store_dir(&config.dir, id),
            store: id,
            latch: Arc::new(Latch::new(id)),
            keep_free_bytes: config.keep_free_bytes,
        };
        let extents = Extents::new(Arc::clone(&self.handles), folder.dir.clone(), id);
        let nowhere = LogPosition { extent: 0, byte: 0 };
        let writer = unwritten(folder, config.extent_bytes);
        let tail = watch::Sender::new(writer.tail().into());
        let store = self.assemble(extents, (writer, tail, None), Catalog::default(), nowhere)?;
        store.committer.queue().closed = true;
        store.room.close();
        Ok(store)
    }

    /// A panic is a bug of ours; whoever waits for the store hears of it.
    fn caught(&self, id: StoreId, open: impl FnOnce() -> Opened) -> Opened {
        catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|_| {
            let bug = std::io::Error::other("a bug: opening it panicked");
            Err(StorageError::io("open", store_dir(&self.config.dir, id), bug).into())
        })
    }

    /// Closes all stores, those that others are opening or closing included.
    pub(super) fn close_all(&self) {
        let open = self.stores().end();
        for (id, store) in open {
            self.close_store(&store);
            drop(store);
            self.stores().closed(id);
        }
        if let Some(stepper) = &self.config.stepper {
            return stepper.run_until(|| self.stores().unfinished().is_empty());
        }
        let mut stores = self.stores();
        while !stores.unfinished().is_empty() {
            stores = self.changed.wait(stores).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn stores(&self) -> crate::runtime::sync::MutexGuard<'_, OpenStores<LocalStore>> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
