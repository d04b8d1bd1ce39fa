//! Many stores in one folder. They open on first use and share threads.

mod backup_source;
mod installing;
mod lease_times;
mod looking;
mod open_stores;
mod opening;
mod tails;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};

use self::lease_times::LeaseTimes;
use self::open_stores::OpenStores;
use self::tails::Tails;
use crate::boundary::figures::Figures;
use crate::boundary::{Store, Stores};
use crate::commit::budget::{QueueBudget, QueuesBudget};
use crate::commit::committer::StoreCommitter;
use crate::commit::drive::Drivers;
use crate::commit::line::Line;
use crate::config::EngineConfig;
use crate::directory::descriptors::Descriptors;
use crate::directory::folder::{Folder, lock_dir};
use crate::directory::guarded::Guarded;
use crate::directory::{agree_on_copies, has_known_format, mark_opened, store_dir, write_format};
use crate::disk::Disk;
use crate::error::{OpenError, StorageError};
use crate::index::catalog::Catalog;
use crate::log::checkpointing::Checkpointing;
use crate::log::counts::CommitCounts;
use crate::log::extents::Extents;
use crate::log::handles::ExtentHandles;
use crate::log::opened::StoreLog;
use crate::log::recovery::recover;
use crate::log::shown::{End, Newest, ShownEnd};
use crate::log::writer::LogWriter;
use crate::runtime::blocking;
use crate::runtime::deadlines::Deadlines;
use crate::runtime::openers::Openers;
use crate::runtime::pace::LOOK_MAX;
use crate::runtime::pools::Pools;
use crate::runtime::sync::atomic::{AtomicBool, Ordering};
use crate::runtime::sync::{Condvar, Mutex, RwLock};
use crate::runtime::watch::Watch;
use crate::runtime::workers::Workers;
use crate::store::LocalStore;
use crate::store::threads::Threads;
use streamkit_record::{LogPosition, StoreId, TailMark};

/// Stores on a local disk. Cheap to clone; all clones share the stores. Dropping the last clone, and the last store
/// and reader of it, without [`Stores::close`] is as safe as a crash: nothing acknowledged is lost, and the next open
/// replays the open extent. Until then no other process can open the folder.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    config: EngineConfig,
    stores: Mutex<OpenStores<LocalStore>>,
    /// Notified when a store was opened or closed.
    changed: Condvar,
    /// Held during a close; the next close finds it done.
    closes: Mutex<()>,
    handles: Arc<ExtentHandles>,
    threads: Arc<Threads>,
    /// Deadlines of calls that wait for room in a queue, or for a store.
    deadlines: Arc<Deadlines>,
    budget: Arc<QueuesBudget>,
    descriptors: Arc<Descriptors>,
    lease_times: LeaseTimes,
    tails: Tails,
    counts: Arc<CommitCounts>,
    /// Free on the disk at the last look.
    free_bytes: AtomicU64,
    /// Checks periodically that the folder is still in its place.
    watch: OnceLock<Watch>,
}

/// An open that replays less than this leaves no checkpoint: reading it again costs less.
const REPLAY_BYTES_UNREMARKED: u64 = 4 << 20;

impl Engine {
    /// Opens a data directory, and creates it if needed. Blocks for some disk accesses; stores open later, one by one.
    ///
    /// # Errors
    /// [`OpenError::InUse`] while another process has it; [`OpenError::NewerFormat`]; [`OpenError::DamagedFormat`];
    /// [`OpenError::StoresGone`]; [`OpenError::Unfinished`]; [`OpenError::HoldsCopies`]; [`OpenError::HoldsStores`];
    /// [`OpenError::Config`]; [`OpenError::Storage`].
    pub fn open(mut config: EngineConfig) -> Result<Self, OpenError> {
        config.validate()?;
        config
            .disk
            .create_dir(&config.dir)
            .map_err(|e| StorageError::io("create", &config.dir, e))?;
        let lock = lock_dir(&*config.disk, &config.dir)?;
        // All folders that no store makes are made here, so that nothing has to make one that is missing later.
        let stores = config.dir.join("stores");
        let make_stores = || {
            let made = config.disk.make_dir(&stores);
            made.map_err(|e| StorageError::io("create", &stores, e))
        };
        let is_known = has_known_format(&*config.disk, &config.dir)?;
        agree_on_copies(&*config.disk, &config.dir, config.copies, !is_known)?;
        if is_known {
            // Who wrote it may have been killed before its name was durable; no store may outlive it.
            let synced = config.disk.sync_dir(&config.dir);
            synced.map_err(|e| StorageError::io("sync", &config.dir, e))?;
            // A backup of no store comes without it.
            make_stores()?;
        } else {
            make_stores()?;
            write_format(&*config.disk, &config.dir)?;
        }
        // Before anything is written that a backup must not replace, and behind the folder of stores, which it says was there.
        mark_opened(&*config.disk, &config.dir)?;
        // With one processor, whoever looks keeps away whom it looks for.
        let alone = std::thread::available_parallelism().is_ok_and(|processors| processors.get() == 1);
        let stepper = config.stepper.as_ref();
        let look = if alone || stepper.is_some() {
            Duration::ZERO
        } else {
            LOOK_MAX
        };
        let failed = |e| StorageError::io("start threads for", &config.dir, e);
        let commit = Drivers::new(&config, &*lock, look).map_err(failed)?;
        let folder = Arc::new(Folder::new(&config.dir, lock, commit.leaves_writes()));
        folder.add(&*config.disk, &stores)?;
        let threads = || -> std::io::Result<Threads> {
            let pools = Pools {
                read: Workers::new("sk-read", config.read_threads, Duration::ZERO, stepper)?,
                background: Workers::new("sk-background", 2, Duration::ZERO, stepper)?,
                _held: Arc::clone(&folder) as _,
            };
            Ok(Threads {
                pools: Arc::new(pools),
                opening: Openers::new(stepper)?,
                folder: Arc::clone(&folder),
                commit,
                stepper: stepper.cloned(),
            })
        };
        let (threads, deadlines) = (
            threads().map_err(failed)?,
            Arc::new(Deadlines::new(stepper.is_none()).map_err(failed)?),
        );
        tracing::info!(dir = %config.dir.display(), commit_method = threads.commit.method(), "opened a data directory");
        let is_watched = folder.may_move() && stepper.is_none();
        let (mut descriptors, mut guarded) = (Descriptors::unlimited(), None);
        if folder.may_move() {
            if let Some(files) = crate::disk::open_files() {
                descriptors = Descriptors::share_of(files, &mut config);
            }
            let disk = Arc::new(Guarded::new(config.disk, folder, Arc::clone(&descriptors)));
            config.disk = Arc::clone(&disk) as Arc<dyn Disk>;
            guarded = Some(disk);
        }
        let handles = Arc::new(ExtentHandles::new(Arc::clone(&config.disk), config.open_extents));
        if let Some(guarded) = guarded {
            let idle = Arc::downgrade(&handles);
            guarded.when_out_of_descriptors(move || {
                if let Some(handles) = idle.upgrade() {
                    handles.close_idle();
                }
            });
        }
        let inner = Inner {
            handles,
            changed: Condvar::new(),
            closes: Mutex::default(),
            stores: Mutex::new(OpenStores::new(config.open_stores, Arc::clone(&descriptors))),
            descriptors,
            lease_times: LeaseTimes::default(),
            tails: Tails::default(),
            counts: Arc::default(),
            free_bytes: AtomicU64::new(looking::UNKNOWN),
            budget: QueuesBudget::new(&config, &deadlines),
            config,
            threads: Arc::new(threads),
            deadlines,
            watch: OnceLock::new(),
        };
        let inner = Arc::new(inner);
        if is_watched {
            let watch = Watch::start("sk-watch", Arc::downgrade(&inner), Inner::look);
            let _ = inner
                .watch
                .set(watch.map_err(|e| StorageError::io("start threads for", &inner.config.dir, e))?);
        }
        Ok(Self { inner })
    }

    /// How commits reach the disk: `io_uring`, or `threads` if io_uring is unavailable, failed, or is unwanted
    /// ([`EngineConfig::commit_method`]); `io_uring, threads` while some open stores are on a file system that takes
    /// no direct writes.
    pub fn commit_method(&self) -> &'static str {
        let method = self.inner.threads.commit.method();
        let stores = self.inner.stores();
        let open = stores
            .open()
            .map(|(_, store)| store.committer.by_threads.load(Ordering::Relaxed));
        let (by_threads, others): (Vec<bool>, Vec<bool>) = open.partition(|by_threads| *by_threads);
        match (by_threads.is_empty(), others.is_empty()) {
            (true, _) => method,
            (false, true) => "threads",
            (false, false) if method == "threads" => method,
            (false, false) => "io_uring, threads",
        }
    }

    /// The disk and folder of the stores.
    pub(crate) fn place(&self) -> (&Arc<dyn Disk>, &std::path::Path) {
        (&self.inner.config.disk, &self.inner.config.dir)
    }

    /// The open stores that hold anything.
    pub(crate) fn written_stores(&self) -> Vec<StoreId> {
        let stores = self.inner.stores();
        let written = stores
            .open()
            .filter(|(_, store)| LogPosition::of_local(*store.log().tail.borrow()).byte > 0);
        written.map(|(id, _)| id).collect()
    }

    /// Opens a store, blocking. See [`Stores::store`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_store(&self, id: StoreId) -> Result<LocalStore, OpenError> {
        blocking::wait(self.inner.config.stepper.as_ref(), self.inner.get(id, false))
    }

    /// The stores that are open, or being opened or closed. None once [`Stores::close`] is done. Before that, one of
    /// the remaining stores keeps it waiting.
    pub fn unfinished(&self) -> Vec<StoreId> {
        self.inner.stores().unfinished()
    }
}

impl Inner {
    fn recover_store(&self, id: StoreId) -> Result<LocalStore, OpenError> {
        let config = &self.config;
        let dir = store_dir(&config.dir, id);
        let recovered = recover(Arc::clone(&config.disk), dir.clone(), id)?;
        let end = recovered.end;
        if end.torn {
            tracing::info!(store = %id, tail = %end.tail, "cut a torn write; nothing acknowledged was in it");
        }
        let (replayed_bytes, checkpointed) = (recovered.replayed_bytes, recovered.checkpointed);
        let newest = recovered.newest;
        let extents = Extents::new(Arc::clone(&self.handles), dir, id);
        for capacity in recovered.capacities() {
            extents.added(capacity);
        }
        for frozen in recovered.unindexed() {
            extents.freeze(frozen.clone());
        }
        let (writer, catalog) = recovered.into_writer(config.extent_bytes, config.keep_free_bytes)?;
        let tail = self.tails.give_back(id, writer.tail().into());
        let store = self.assemble(extents, (writer, tail, newest), catalog, checkpointed)?;
        if replayed_bytes > REPLAY_BYTES_UNREMARKED {
            store.log().leave_checkpoint();
        }
        Ok(store)
    }

    /// A store of its parts.
    fn assemble(
        &self,
        extents: Extents,
        (writer, tail, newest): (LogWriter, watch::Sender<TailMark>, Option<Newest>),
        catalog: Catalog,
        checkpointed: LogPosition,
    ) -> Result<LocalStore, OpenError> {
        let config = &self.config;
        let end = End {
            tail: writer.tail(),
            newest,
        };
        let log = StoreLog {
            recalling: Mutex::new(()),
            id: writer.folder.store,
            clock: Arc::clone(&config.clock),
            counts: Arc::clone(&self.counts),
            busy: Arc::default(),
            pools: Arc::downgrade(&self.threads.pools),
            _folder: Arc::clone(&self.threads.folder),
            catalog: RwLock::new(catalog),
            extents,
            descriptors: Arc::clone(&self.descriptors),
            dir: writer.folder.dir.clone(),
            latch: Arc::clone(&writer.folder.latch),
            tail,
            shown: ShownEnd::new(end, writer.state.trx_number),
            writer: Mutex::new(writer),
            has_begun: AtomicBool::new(false),
            is_clock_behind: AtomicBool::new(false),
            checkpointing: Checkpointing::behind(checkpointed),
        };
        {
            let mut catalog = log.catalog.write().unwrap_or_else(PoisonError::into_inner);
            self.lease_times.give_back(log.id, &mut catalog.leases);
            catalog.leases.count_from(log.clock.uptime());
        }
        self.threads.folder.gone()?;
        let last_commit = log.catalog().totals().last_timestamp;
        log.tell_of_clock(log.clock.now(), last_commit);
        Ok(LocalStore {
            committer: Arc::new(StoreCommitter::new(log)),
            threads: Arc::clone(&self.threads),
            room: Arc::new(QueueBudget::new(config, &self.budget)),
            line: Arc::new(Line::new()),
        })
    }

    /// Closes everything; a second time, waits until it is closed.
    fn close(&self) {
        let _one_at_a_time = self.closes.lock().unwrap_or_else(PoisonError::into_inner);
        if self.threads.folder.is_released() {
            return;
        }
        self.close_all();
        self.tails.end_all();
        // Only when nothing is written any more may another process take the folder.
        self.threads.pools.background.drain();
        self.threads.commit.end_io();
        self.threads.folder.release();
    }
}

#[async_trait]
impl Stores for Engine {
    async fn store(&self, id: StoreId) -> Result<Arc<dyn Store>, OpenError> {
        Ok(Arc::new(self.inner.get(id, false).await?))
    }

    async fn store_to_read(&self, id: StoreId) -> Result<Arc<dyn Store>, OpenError> {
        Ok(Arc::new(self.inner.get(id, true).await?))
    }

    fn commit_method(&self) -> Option<&'static str> {
        Some(Engine::commit_method(self))
    }

    fn backup(&self) -> Option<Arc<dyn crate::boundary::backup::Source>> {
        Some(Arc::new(self.clone()))
    }

    fn queued_bytes(&self) -> Option<usize> {
        Some(self.inner.budget.queued_bytes())
    }

    fn figures(&self) -> Option<Figures> {
        Some(self.inner.figures())
    }

    fn clock_behind(&self) -> Option<(StoreId, Duration)> {
        let stores = self.inner.stores();
        let behind = stores
            .open()
            .filter_map(|(id, store)| Some((id, store.log().clock_behind()?)));
        behind.max_by_key(|&(id, by)| (by, id))
    }

    fn ready(&self) -> Result<(), StorageError> {
        if self.inner.stores().is_ended() {
            return Err(StorageError::Closed);
        }
        self.inner.threads.folder.ready()?;
        let stores = self.inner.stores();
        let refusing = stores
            .open()
            .filter_map(|(id, store)| Some((id, store.log().latch.ready().err()?)));
        match refusing.min_by_key(|(id, _)| *id) {
            Some((_, why)) => Err(why),
            None => Ok(()),
        }
    }

    async fn close(&self) {
        let inner = Arc::clone(&self.inner);
        let (send, receive) = oneshot::channel();
        self.inner.threads.opening.spawn_at_once(move || {
            inner.close();
            drop(inner);
            let _ = send.send(());
        });
        let _ = receive.await;
    }
}
