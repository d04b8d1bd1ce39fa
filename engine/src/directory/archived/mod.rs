//! A disk that need not have all of a store's sealed files: an archive has them, and one is fetched when somebody reads it. What is on the
//! disk of them is a cache, bounded in bytes.
//!
//! A store's folder has a list of what is archived of it ([`FileName::Archived`]). Whoever looks into the folder finds the files of that list, with their
//! sizes and first blocks, wherever their bytes are. Only files of the list are ever removed.

mod cache_file;

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use self::cache_file::{CacheFile, OpenCacheFile, Shared};
use super::list_stores;
use super::names::FileName;
use super::store_dir;
use crate::boundary::figures::CacheFigures;
use crate::disk::{Disk, DiskFile, DiskLock, LogFile, OpenMode, WriteQueue, read_all};
use crate::error::{DamagedPlace, SegmentsHit, StorageError};
use crate::format::archive::{ArchivedFile, FilePart, decode_list};
use crate::runtime::sync::atomic::{AtomicU64, Ordering};
use crate::runtime::sync::{Mutex, MutexGuard};
use streamkit_record::StoreId;

/// Where files of stores are archived.
pub trait Archive: Send + Sync + 'static {
    /// The bytes of a file. Called on threads that may wait; blocks until they are here, or it is known that they do not come in time.
    ///
    /// # Errors
    /// [`FetchError`].
    fn fetch(&self, file: &ArchivedFile) -> Result<Vec<u8>, FetchError>;

    /// What the archive calls a file, for messages.
    fn place(&self, file: &ArchivedFile) -> String;
}

/// Why the bytes of a file are not here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FetchError {
    /// Not now; the text says why. They may come later.
    Away(String),
    /// The archive does not have them, or has others; the text says what it has.
    Damaged(String),
}

/// The disk. All clones are the same.
#[derive(Clone)]
pub struct ArchivedDisk {
    shared: Arc<Shared>,
    files: Arc<Mutex<KnownFiles>>,
}

/// The archived files of the stores that somebody looked at.
#[derive(Default)]
struct KnownFiles {
    by_path: BTreeMap<PathBuf, Arc<CacheFile>>,
    /// The folders whose lists were read.
    listed: HashSet<PathBuf>,
}

impl KnownFiles {
    fn forget(&mut self, dir: &Path) {
        self.by_path.retain(|path, _| !path.starts_with(dir));
        self.listed.remove(dir);
    }
}

impl ArchivedDisk {
    /// Above another disk, for the stores of the data directory `dir`. The archived files on the disk are to take at most `most` bytes together;
    /// one file alone may take more.
    ///
    /// # Errors
    /// What the operating system says of the folder. A list that is damaged is told to whoever opens its store.
    pub fn new(disk: Arc<dyn Disk>, archive: Arc<dyn Archive>, dir: &Path, most: u64) -> io::Result<Self> {
        let stores = list_stores(&*disk, dir).map_err(io::Error::other)?;
        let shared = Shared {
            disk,
            archive,
            most,
            uses: AtomicU64::new(0),
            fetched: AtomicU64::new(0),
            fetched_bytes: AtomicU64::new(0),
            removed: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            making_room: Mutex::default(),
        };
        let all = Self {
            shared: Arc::new(shared),
            files: Arc::default(),
        };
        for store in stores {
            if let Err(error) = all.look(&store_dir(dir, store)) {
                // Whoever opens it is told again; others are served.
                tracing::error!(%store, %error, "what is archived of a store is not known here, and it is not served");
            }
        }
        all.make_room(0, None);
        Ok(all)
    }

    /// What it has done and holds. Waits for nothing: while somebody looks into a folder, it holds what it held before.
    pub fn figures(&self) -> CacheFigures {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let shared = &self.shared;
        if let Ok(files) = self.files.try_lock() {
            let on_disk = files.by_path.values().filter(|kept| kept.is_on_disk());
            shared
                .bytes
                .store(on_disk.map(|kept| kept.bytes).sum(), Ordering::Relaxed);
        }
        CacheFigures {
            fetched: of(&shared.fetched),
            fetched_bytes: of(&shared.fetched_bytes),
            removed: of(&shared.removed),
            bytes: of(&shared.bytes),
            most: shared.most,
        }
    }

    fn files(&self) -> MutexGuard<'_, KnownFiles> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on_disk(&self) -> Vec<Arc<CacheFile>> {
        let files = self.files();
        files
            .by_path
            .values()
            .filter(|kept| kept.is_on_disk())
            .cloned()
            .collect()
    }

    /// Reads the list of a store's folder, unless it was.
    fn look(&self, dir: &Path) -> io::Result<()> {
        let Some(store) = store_of(dir) else { return Ok(()) };
        let mut files = self.files();
        if files.listed.contains(dir) {
            return Ok(());
        }
        let path = FileName::Archived.in_dir(dir);
        let bytes = match self.shared.disk.open(&path, OpenMode::Read) {
            Ok(file) => read_all(&*file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let damaged = |found: String| {
            io::Error::other(StorageError::Corrupt {
                store,
                place: DamagedPlace::Named(path.display().to_string()),
                found,
                segments: SegmentsHit::Unknown,
            })
        };
        let (of, extents) = decode_list(&bytes).map_err(|error| damaged(error.to_string()))?;
        if of != store {
            return Err(damaged(format!("the list of store {of}")));
        }
        let names: HashSet<String> = self.shared.disk.list(dir)?.into_iter().collect();
        for extent in extents {
            for part in [FilePart::Groups, FilePart::Index] {
                let name = match part {
                    FilePart::Groups => FileName::Extent(extent.header.extent),
                    FilePart::Index => FileName::Index(extent.header.extent),
                };
                let path = name.in_dir(dir);
                let is_on_disk = path
                    .file_name()
                    .and_then(|name| name.to_str())
                    .is_some_and(|name| names.contains(name));
                let file = extent.file(part);
                if files.by_path.get(&path).is_none_or(|kept| kept.file != file) {
                    let head = extent.head(part);
                    let kept = CacheFile::new(path.clone(), file, extent.file_bytes(part), head, is_on_disk);
                    files.by_path.insert(path, Arc::new(kept));
                }
            }
        }
        files.listed.insert(dir.to_owned());
        Ok(())
    }

    /// An archived file, if it is one.
    fn kept(&self, path: &Path) -> io::Result<Option<Arc<CacheFile>>> {
        let Some(dir) = path.parent() else { return Ok(None) };
        self.look(dir)?;
        Ok(self.files().by_path.get(path).cloned())
    }

    /// Removes those files that were used longest ago until there is room for so many more bytes; they are taken for `taker`.
    fn make_room(&self, bytes: u64, taker: Option<&Arc<CacheFile>>) {
        let shared = &self.shared;
        let _one_at_a_time = shared.making_room.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.on_disk();
        let mut used: u64 = all.iter().map(|kept| kept.bytes).sum();
        all.sort_unstable_by_key(|kept| kept.last_used());
        for kept in all {
            if used.saturating_add(bytes) <= shared.most {
                break;
            }
            if kept.remove(&*shared.disk) {
                used -= kept.bytes;
                shared.removed.fetch_add(1, Ordering::Relaxed);
            }
        }
        if let Some(taker) = taker {
            taker.is_to_be_on_disk();
        }
    }
}

/// The store whose folder this is.
fn store_of(dir: &Path) -> Option<StoreId> {
    let name = dir.file_name()?.to_str()?;
    let id = StoreId(uuid::Uuid::parse_str(name).ok()?);
    (id.to_string() == name).then_some(id)
}

impl Disk for ArchivedDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.shared.disk.create_dir(path)
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.shared.disk.make_dir(path)
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        self.shared.disk.resolve(path)
    }

    fn is_same(&self, one: &Path, other: &Path) -> io::Result<bool> {
        self.shared.disk.is_same(one, other)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.look(path)?;
        let mut names = self.shared.disk.list(path)?;
        let there: HashSet<String> = names.iter().cloned().collect();
        let files = self.files();
        let archived = files.by_path.range(path.to_owned()..);
        for (file, _) in archived.take_while(|(file, _)| file.starts_with(path)) {
            if let Some(name) = file.file_name().and_then(|name| name.to_str())
                && !there.contains(name)
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        if mode != OpenMode::Read {
            return self.shared.disk.open(path, mode);
        }
        match self.kept(path)? {
            Some(kept) => {
                kept.open(&*self.shared.disk)?;
                Ok(Arc::new(OpenCacheFile::new(kept, self.clone())))
            }
            None => self.shared.disk.open(path, mode),
        }
    }

    fn open_log(&self, path: &Path, create: bool) -> io::Result<Arc<dyn LogFile>> {
        self.shared.disk.open_log(path, create)
    }

    fn write_queue(&self, held: Option<File>) -> io::Result<Option<Box<dyn WriteQueue>>> {
        self.shared.disk.write_queue(held)
    }

    fn queues_writes_in(&self, dir: &Path) -> bool {
        self.shared.disk.queues_writes_in(dir)
    }

    fn can_read_without_waiting(&self) -> bool {
        self.shared.disk.can_read_without_waiting()
    }

    fn free_bytes(&self, path: &Path) -> io::Result<Option<u64>> {
        self.shared.disk.free_bytes(path)
    }

    fn cache(&self) -> Option<CacheFigures> {
        Some(self.figures())
    }

    /// A new list, or a new folder of a store, is read when somebody looks there next.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.shared.disk.rename(from, to)?;
        for path in [from, to] {
            if store_of(path).is_some() {
                self.files().forget(path);
            }
        }
        if let (Some(dir), Some(name)) = (to.parent(), to.file_name().and_then(|name| name.to_str()))
            && FileName::parse(name) == Some(FileName::Archived)
        {
            self.files().listed.remove(dir);
            self.look(dir)?;
            self.make_room(0, None);
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.shared.disk.remove(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.shared.disk.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.shared.disk.sync_dir(path)
    }

    fn random(&self) -> u32 {
        self.shared.disk.random()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.shared.disk.lock(path)
    }

    fn lock_holder(&self, path: &Path) -> String {
        self.shared.disk.lock_holder(path)
    }
}
