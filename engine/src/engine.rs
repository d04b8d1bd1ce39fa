//! Many stores in one folder, opened when first asked for, sharing threads.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::backup::manifest::{MANIFEST, OPENED};
use crate::boundary::{Store, Stores};
use crate::commit::Committing;
use crate::commit::queue::Queue;
use crate::config::EngineConfig;
use crate::deadlines::Deadlines;
use crate::disk::guarded::Guarded;
use crate::disk::{Disk, OpenMode};
use crate::error::{OpenError, StorageError};
use crate::folder::{Folder, lock_dir};
use crate::format::checkpoint;
use crate::limits::FORMAT_VERSION;
use crate::log::extents::Extents;
use crate::log::handles::ExtentHandles;
use crate::log::headers::open_extent;
use crate::log::names::FileName;
use crate::log::recovery::recover;
use crate::model::StoreId;
use crate::pace::LOOK_MAX;
use crate::room::Room;
use crate::shared::{Shared, Threads};
use crate::store::LocalStore;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, RwLock};
use crate::watch::Watch;
use crate::workers::Workers;

/// Stores on a local disk. Cheap to clone; all clones share them. Dropping the last one, and the last store and reader of
/// it, without [`Stores::close`] is as safe as a crash: nothing acknowledged is lost, and the next open replays the open
/// extent. Until then no other process can take the folder.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    config: EngineConfig,
    stores: Mutex<HashMap<StoreId, Arc<Slot>>>,
    /// Set under the lock of the stores, which none is added to or opened in from then on.
    closing: AtomicBool,
    /// Held by whoever closes; the next one finds it done.
    closes: Mutex<()>,
    handles: Arc<ExtentHandles>,
    /// Counts requests for stores: a slot's latest number tells how long ago that was.
    asked: AtomicU64,
    threads: Arc<Threads>,
    /// Of those who wait for room in a queue.
    deadlines: Arc<Deadlines>,
    /// Looks now and then whether the folder is still where it was.
    watch: OnceLock<Watch>,
}

/// One store's place; its lock makes concurrent opens one.
#[derive(Default)]
struct Slot {
    store: Mutex<Option<LocalStore>>,
    last_asked: AtomicU64,
}

/// An open that read less of the log than this leaves no checkpoint: reading it again costs less.
const REPLAY_BYTES_UNREMARKED: u64 = 4 << 20;

/// The folder of a store.
pub(crate) fn store_dir(dir: &std::path::Path, id: StoreId) -> PathBuf {
    dir.join("stores").join(id.to_string())
}

/// What the file `format` begins with while a backup, a restore or a repair is being written: no version takes that for a folder it may
/// open.
pub(crate) const UNFINISHED: &str = "unfinished ";

/// What the folder says of itself, if it does.
pub(crate) fn read_format(disk: &dyn Disk, dir: &std::path::Path) -> Result<Option<String>, StorageError> {
    let path = dir.join("format");
    let text = match disk.open(&path, OpenMode::Read) {
        Ok(file) => crate::disk::read_all(&*file).map_err(|e| StorageError::io("read", &path, e))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StorageError::io("open", path, error)),
    };
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// Whether the folder says of itself that it is one of ours, in a format this program knows.
///
/// # Errors
/// [`OpenError::NewerFormat`]; [`OpenError::DamagedFormat`]; [`OpenError::Unfinished`]; [`OpenError::Storage`].
pub(crate) fn has_known_format(disk: &dyn Disk, dir: &std::path::Path) -> Result<bool, OpenError> {
    let path = dir.join("format");
    let damaged = |found: &str| OpenError::DamagedFormat {
        path: path.clone(),
        found: found.to_owned(),
    };
    // Where nobody can tell whether there are stores, there may be.
    let refuse_if = |found: &str, has_stores: Result<bool, StorageError>| match has_stores {
        Ok(false) => Ok(()),
        Ok(true) => Err(damaged(found)),
        Err(error) => Err(damaged(&format!(
            "{found}, and whether there are stores cannot be told ({error})"
        ))),
    };
    let known = |dir: &std::path::Path, id, number| {
        let (_, header) = open_extent(disk, dir, number)?;
        Ok(header.is_ok_and(|header| (header.store, header.extent) == (id, number)))
    };
    let text = match read_format(disk, dir) {
        Ok(Some(text)) => text,
        // It is written before any store is: whatever has an extent's name is one.
        Ok(None) => return refuse_if("is missing", has_stores(disk, dir, |_, _, _| Ok(true))).map(|()| false),
        Err(StorageError::Io { source, .. }) if source.kind() != std::io::ErrorKind::PermissionDenied => {
            refuse_if(&format!("cannot be read ({source})"), has_stores(disk, dir, known))?;
            return Err(StorageError::Io {
                operation: "read",
                path,
                source,
            }
            .into());
        }
        Err(error) => return Err(error.into()),
    };
    for what in ["backup", "restore", "repair"] {
        if text.strip_prefix(UNFINISHED).is_some_and(|rest| rest.starts_with(what)) {
            return Err(OpenError::Unfinished {
                dir: dir.to_owned(),
                what,
            });
        }
    }
    let version = text
        .strip_prefix("streamkit ")
        .and_then(|rest| rest.trim_end().parse::<u16>().ok());
    match version {
        Some(found) if found > FORMAT_VERSION => Err(OpenError::NewerFormat {
            path,
            found,
            supported: FORMAT_VERSION,
        }),
        Some(1..) => Ok(true),
        _ => {
            refuse_if("does not say `streamkit` and a version", has_stores(disk, dir, known))?;
            let source = std::io::Error::other("it does not say `streamkit` and a version");
            Err(StorageError::io("understand", path, source).into())
        }
    }
}

/// The stores of a data directory, by id. Folders of other names are none, those that only resemble an id among them.
pub(crate) fn list_stores(disk: &dyn Disk, dir: &std::path::Path) -> Result<Vec<StoreId>, StorageError> {
    let stores = dir.join("stores");
    let names = disk.list(&stores).map_err(|e| StorageError::io("list", &stores, e))?;
    let ids = names.iter().filter_map(|name| {
        let id = uuid::Uuid::parse_str(name).ok().map(StoreId);
        id.filter(|id| id.to_string() == *name)
    });
    let mut ids: Vec<StoreId> = ids.collect();
    ids.sort_unstable();
    Ok(ids)
}

/// Whether the log of a store is in the folder, whatever it says of itself: one that `is_one` takes for an extent of it.
fn has_stores(
    disk: &dyn Disk,
    dir: &std::path::Path,
    is_one: impl Fn(&std::path::Path, StoreId, u64) -> Result<bool, StorageError>,
) -> Result<bool, StorageError> {
    let mut failed = Ok(false);
    for id in list_stores(disk, dir)? {
        let dir = store_dir(dir, id);
        let names = disk.list(&dir).map_err(|e| StorageError::io("list", &dir, e))?;
        for name in names {
            if let Some(FileName::Extent(number)) = FileName::parse(&name) {
                match is_one(&dir, id, number) {
                    Ok(true) => return Ok(true),
                    Ok(false) => {}
                    Err(error) => failed = Err(error),
                }
            }
        }
    }
    failed
}

/// Says of the folder that it is one of ours.
pub(crate) fn write_format(disk: &dyn Disk, dir: &std::path::Path) -> Result<(), StorageError> {
    say(disk, dir, &format!("streamkit {FORMAT_VERSION}\n"))
}

/// Whether nothing is in a folder but what may be in one that nobody used: the lock, what an interrupted write left, and what a
/// file system comes with.
pub(crate) fn is_unused(disk: &dyn Disk, dir: &std::path::Path) -> Result<bool, StorageError> {
    let names = disk.list(dir).map_err(|e| StorageError::io("list", dir, e))?;
    let counts = |name: &String| !["lock", "lost+found"].contains(&name.as_str()) && !name.ends_with(".tmp");
    Ok(!names.iter().any(counts))
}

/// Replaces what the folder says of itself, durably.
pub(crate) fn say(disk: &dyn Disk, dir: &std::path::Path, text: &str) -> Result<(), StorageError> {
    let path = dir.join("format");
    crate::disk::replace(disk, &path, text.as_bytes()).map_err(|e| StorageError::io("write", path, e))
}

/// Where the folder holds a backup, says durably that it was opened: what is written from now on no backup may replace.
fn mark_opened(disk: &dyn Disk, dir: &std::path::Path) -> Result<(), StorageError> {
    let names = disk.list(dir).map_err(|e| StorageError::io("list", dir, e))?;
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    if has(MANIFEST) && !has(OPENED) {
        let path = dir.join(OPENED);
        crate::disk::replace(disk, &path, b"").map_err(|e| StorageError::io("write", path, e))?;
    }
    Ok(())
}

impl Engine {
    /// Opens a folder, making it if needed. Blocks for some disk accesses; stores are opened later, one by one.
    ///
    /// # Errors
    /// [`OpenError::InUse`] while another process has it; [`OpenError::NewerFormat`]; [`OpenError::DamagedFormat`];
    /// [`OpenError::Unfinished`]; [`OpenError::Config`]; [`OpenError::Storage`].
    pub fn open(mut config: EngineConfig) -> Result<Self, OpenError> {
        config.validate()?;
        config
            .disk
            .create_dir(&config.dir)
            .map_err(|e| StorageError::io("create", &config.dir, e))?;
        let lock = lock_dir(&*config.disk, &config.dir)?;
        mark_opened(&*config.disk, &config.dir)?;
        if has_known_format(&*config.disk, &config.dir)? {
            // Who wrote it may have been killed before its name was durable; no store may outlive it.
            let synced = config.disk.sync_dir(&config.dir);
            synced.map_err(|e| StorageError::io("sync", &config.dir, e))?;
        } else {
            write_format(&*config.disk, &config.dir)?;
        }
        // All folders that no store makes are made here, so that nothing has to make one that is missing later.
        let stores = config.dir.join("stores");
        let made = config.disk.make_dir(&stores);
        made.map_err(|e| StorageError::io("create", &stores, e))?;
        // With one processor, whoever looks keeps away whom it looks for.
        let alone = std::thread::available_parallelism().is_ok_and(|processors| processors.get() == 1);
        let by_hand = config.by_hand.as_ref();
        let look = if alone || by_hand.is_some() {
            Duration::ZERO
        } else {
            LOOK_MAX
        };
        let failed = |e| StorageError::io("start threads for", &config.dir, e);
        let commit = Committing::new(&config, &*lock, look).map_err(failed)?;
        let folder = Arc::new(Folder::new(&config.dir, lock, commit.leaves_writes()));
        folder.add(&*config.disk, &stores)?;
        let threads = || -> std::io::Result<Threads> {
            Ok(Threads {
                read: Workers::new("sk-read", config.read_threads, Duration::ZERO, by_hand)?,
                background: Workers::new("sk-background", 2, Duration::ZERO, by_hand)?,
                opening: Workers::new("sk-open", 2, Duration::ZERO, by_hand)?,
                folder: Arc::clone(&folder),
                commit,
                by_hand: by_hand.cloned(),
            })
        };
        let (threads, deadlines) = (
            threads().map_err(failed)?,
            Deadlines::new(by_hand.is_none()).map_err(failed)?,
        );
        tracing::info!(dir = %config.dir.display(), commit_method = threads.commit.method(), "opened a data directory");
        let is_watched = folder.may_move() && by_hand.is_none();
        if folder.may_move() {
            config.disk = Arc::new(Guarded::new(config.disk, folder));
        }
        let inner = Inner {
            handles: Arc::new(ExtentHandles::new(Arc::clone(&config.disk), config.open_extents)),
            closing: AtomicBool::new(false),
            closes: Mutex::default(),
            config,
            stores: Mutex::default(),
            asked: AtomicU64::new(0),
            threads: Arc::new(threads),
            deadlines: Arc::new(deadlines),
            watch: OnceLock::new(),
        };
        let inner = Arc::new(inner);
        if is_watched {
            let watch = Watch::start("sk-watch", Arc::downgrade(&inner), Inner::look_at_folder);
            let _ = inner
                .watch
                .set(watch.map_err(|e| StorageError::io("start threads for", &inner.config.dir, e))?);
        }
        Ok(Self { inner })
    }

    /// How commits reach the disk: `io_uring`, or `threads` where that is not to be had or not wanted
    /// ([`EngineConfig::commit_method`]), or failed; `io_uring, threads` while stores are open of which some are on a file system
    /// that takes no direct writes.
    pub fn commit_method(&self) -> &'static str {
        let method = self.inner.threads.commit.method();
        let stores = self.inner.stores();
        let open = stores.values().filter_map(|slot| {
            let store = slot.store.try_lock().ok()?;
            Some(store.as_ref()?.shared.by_threads.load(Ordering::Relaxed))
        });
        let (by_threads, others): (Vec<bool>, Vec<bool>) = open.partition(|by_threads| *by_threads);
        match (by_threads.is_empty(), others.is_empty()) {
            (true, _) => method,
            (false, true) => "threads",
            (false, false) if method == "threads" => method,
            (false, false) => "io_uring, threads",
        }
    }

    /// Where the stores are.
    pub(crate) fn place(&self) -> (&Arc<dyn Disk>, &std::path::Path) {
        (&self.inner.config.disk, &self.inner.config.dir)
    }

    /// The stores that are open and hold anything.
    pub(crate) fn written_stores(&self) -> Vec<StoreId> {
        let stores = self.inner.stores();
        let open = stores.iter().filter_map(|(&id, slot)| {
            let store = slot.store.try_lock().ok()?;
            (store.as_ref()?.shared.tail.borrow().byte > 0).then_some(id)
        });
        open.collect()
    }

    /// Opens a store, blocking. See [`Stores::store`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_store(&self, id: StoreId) -> Result<LocalStore, OpenError> {
        let slot = self.inner.slot(id)?;
        let mut store = slot.store.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = &*store {
            return Ok(store.clone());
        }
        // Closing waits for this slot, or was here already.
        if self.inner.is_closing() {
            return Err(StorageError::Closed.into());
        }
        let opened = self.inner.recover_store(id)?;
        *store = Some(opened.clone());
        Ok(opened)
    }
}

impl Inner {
    /// Looks whether the folder is still where it was, and takes files. Once it is not, no store accepts writes: what is open
    /// would be written into files that the next process does not find.
    fn look_at_folder(&self) {
        let folder = &self.threads.folder;
        if folder.is_released() {
            return;
        }
        folder.look();
        let Err(StorageError::Gone(gone)) = folder.gone() else {
            return;
        };
        let slots: Vec<_> = self.stores().values().map(Arc::clone).collect();
        for slot in slots {
            // Whoever has the lock opens the store, and looks himself; or it is met the next time.
            if let Ok(store) = slot.store.try_lock()
                && let Some(store) = &*store
            {
                store.shared.latch.lose(&gone);
            }
        }
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    fn stores(&self) -> MutexGuard<'_, HashMap<StoreId, Arc<Slot>>> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A store's slot; a new one only where there is room.
    fn slot(&self, id: StoreId) -> Result<Arc<Slot>, OpenError> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let full = |stores: &HashMap<_, _>| !stores.contains_key(&id) && stores.len() >= self.config.open_stores;
        if full(&self.stores()) {
            self.close_idle();
        }
        let mut stores = self.stores();
        if self.is_closing() {
            return Err(StorageError::Closed.into());
        }
        if full(&stores) {
            return Err(OpenError::TooManyStores(self.config.open_stores));
        }
        let slot = stores.entry(id).or_default();
        slot.last_asked.store(asked, Ordering::Relaxed);
        Ok(Arc::clone(slot))
    }

    /// Closes stores that nobody holds, those first that were not asked for the longest: a sixteenth of what may be open,
    /// so that the search is rare, yet few enough for one request to wait for.
    fn close_idle(&self) {
        let mut unused: Vec<(u64, StoreId, Arc<Slot>)> = self
            .stores()
            .iter()
            .filter(|(_, slot)| Arc::strong_count(slot) == 1)
            .map(|(&id, slot)| (slot.last_asked.load(Ordering::Relaxed), id, Arc::clone(slot)))
            .collect();
        unused.sort_unstable_by_key(|&(asked, id, _)| (asked, id));
        let mut to_close = (self.config.open_stores / 16).clamp(1, 64);
        for (_, id, slot) in unused {
            if to_close == 0 {
                return;
            }
            // Handles are made under this lock: a store that is idle now stays so until it is closed.
            let mut store = slot.store.lock().unwrap_or_else(PoisonError::into_inner);
            if store.as_ref().is_some_and(|store| !store.is_idle()) {
                continue;
            }
            if let Some(store) = store.take() {
                self.close_store(&store);
            }
            drop(store);
            let mut stores = self.stores();
            // Two: the map's and ours. With more, somebody waits to open the store again, and needs the one slot.
            if Arc::strong_count(&slot) == 2 {
                stores.remove(&id);
                to_close -= 1;
            }
        }
    }

    fn recover_store(&self, id: StoreId) -> Result<LocalStore, OpenError> {
        let config = &self.config;
        let dir = store_dir(&config.dir, id);
        let recovered = recover(Arc::clone(&config.disk), dir.clone(), id)?;
        let end = recovered.end;
        if end.torn {
            tracing::info!(store = %id, tail = %end.tail, "cut a torn write; nothing acknowledged was in it");
        }
        let (replayed_bytes, checkpointed) = (recovered.replayed_bytes, recovered.checkpointed);
        let extents = Extents::new(Arc::clone(&self.handles), dir.clone(), id);
        for capacity in recovered.capacities() {
            extents.added(capacity);
        }
        for frozen in recovered.unindexed() {
            extents.freeze(frozen.clone());
        }
        let (writer, catalog) = recovered.into_writer(config.extent_bytes, config.keep_free_bytes)?;
        let shared = Shared {
            id,
            clock: Arc::clone(&config.clock),
            busy: Arc::default(),
            threads: Arc::downgrade(&self.threads),
            _folder: Arc::clone(&self.threads.folder),
            catalog: RwLock::new(catalog),
            extents,
            dir,
            queue: Mutex::new(Queue::default()),
            idle: Condvar::new(),
            latch: Arc::clone(&writer.place.latch),
            tail: watch::Sender::new(writer.tail()),
            writer: Mutex::new(writer),
            opened: AtomicBool::new(false),
            by_threads: AtomicBool::new(false),
            grown_since_checkpoint: AtomicU64::new(0),
            indexing: Mutex::default(),
            checkpointed: Mutex::new(checkpointed),
        };
        self.threads.folder.gone()?;
        if replayed_bytes > REPLAY_BYTES_UNREMARKED {
            self.leave_checkpoint(&shared);
        }
        let room = Arc::new(Room::new(config, &self.deadlines));
        Ok(LocalStore {
            shared: Arc::new(shared),
            threads: Arc::clone(&self.threads),
            room,
        })
    }

    /// Closes one store: refuses new requests and those that wait for room, waits for the committer, leaves a checkpoint.
    fn close_store(&self, store: &LocalStore) {
        let shared = &store.shared;
        let mut queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.closed = true;
        store.room.close();
        match &self.config.by_hand {
            Some(by_hand) => {
                drop(queue);
                by_hand.run_until(|| !shared.queue.lock().unwrap_or_else(PoisonError::into_inner).running);
            }
            None => {
                while queue.running {
                    queue = shared.idle.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
                drop(queue);
            }
        }
        self.leave_checkpoint(shared);
        if shared.opened.load(Ordering::Acquire) {
            let writer = shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
            writer.spare.abandon(&writer.place);
        }
        shared.extents.close();
    }

    /// Writes a checkpoint of a store as it stands, unless that is where the last one stands. It tells the next open how far
    /// the log was durable, too.
    fn leave_checkpoint(&self, shared: &Shared) {
        let writer = shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.open.is_none() || writer.place.latch.check().is_err() {
            return;
        }
        let position = writer.tail();
        if position == *shared.checkpointed.lock().unwrap_or_else(PoisonError::into_inner) {
            return;
        }
        let bytes = {
            let catalog = shared.catalog();
            checkpoint::encode(shared.id, position, &writer.state, catalog.segments(), &catalog.open)
        };
        if let Err(error) = shared.write_checkpoint(&*self.config.disk, position, &bytes) {
            tracing::warn!(%error, "could not write a checkpoint; the next open replays what came after the last one");
        }
    }

    /// Closes everything; a second time, waits until it is closed.
    fn close(&self) {
        let _one_at_a_time = self.closes.lock().unwrap_or_else(PoisonError::into_inner);
        if self.threads.folder.is_released() {
            return;
        }
        let slots: Vec<_> = {
            let stores = self.stores();
            self.closing.store(true, Ordering::Release);
            let mut slots: Vec<_> = stores.iter().map(|(&id, slot)| (id, Arc::clone(slot))).collect();
            slots.sort_unstable_by_key(|&(id, _)| id);
            slots
        };
        for (_, slot) in slots {
            if let Some(store) = &*slot.store.lock().unwrap_or_else(PoisonError::into_inner) {
                self.close_store(store);
            }
        }
        // Only when nothing is written any more may another process take the folder.
        self.threads.background.drain();
        self.threads.commit.end_io();
        self.threads.folder.release();
    }
}

#[async_trait]
impl Stores for Engine {
    async fn store(&self, id: StoreId) -> Result<Arc<dyn Store>, OpenError> {
        {
            let stores = self.inner.stores();
            if let Some(slot) = stores.get(&id)
                && let Ok(store) = slot.store.try_lock()
                && let Some(store) = &*store
            {
                slot.last_asked
                    .store(self.inner.asked.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
                return Ok(Arc::new(store.clone()));
            }
        }
        let engine = self.clone();
        if self.inner.is_closing() {
            return Err(StorageError::Closed.into());
        }
        let opened = self.inner.threads.opening.run(move || engine.open_store(id)).await;
        let store = opened.unwrap_or(Err(StorageError::Closed.into()))?;
        Ok(Arc::new(store))
    }

    fn commit_method(&self) -> Option<&'static str> {
        Some(Engine::commit_method(self))
    }

    fn backup(&self) -> Option<Arc<dyn crate::backup::Source>> {
        Some(Arc::new(self.clone()))
    }

    fn ready(&self) -> Result<(), StorageError> {
        if self.inner.is_closing() {
            return Err(StorageError::Closed);
        }
        self.inner.threads.folder.ready()?;
        let stores = self.inner.stores();
        let halted = stores.iter().filter_map(|(&id, slot)| {
            let store = slot.store.try_lock().ok()?;
            Some((id, store.as_ref()?.writable().err()?))
        });
        match halted.min_by_key(|(id, _)| *id) {
            Some((_, why)) => Err(why),
            None => Ok(()),
        }
    }

    async fn close(&self) {
        let inner = Arc::clone(&self.inner);
        // Not a thread of those it waits for.
        self.inner.threads.opening.run(move || inner.close()).await;
    }
}
