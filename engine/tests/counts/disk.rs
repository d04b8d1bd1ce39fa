//! A disk in memory that counts its calls. It loses nothing and takes no time.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use streamkit_engine::disk::blocks::Blocks;
use streamkit_engine::disk::{Disk, DiskFile, DiskLock, LogFile, OpenMode};

/// What was asked of all files since it was last taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Reads of extents.
    pub(crate) extent_reads: u64,
    /// Bytes of them.
    pub(crate) extent_bytes: u64,
    /// Reads of index files.
    pub(crate) index_reads: u64,
    /// Questions for a file's size.
    pub(crate) sizes: u64,
    /// Durable writes to the log, each of which is a write and a sync.
    pub(crate) log_writes: u64,
    /// Syncs beside those.
    pub(crate) syncs: u64,
}

#[derive(Default)]
struct Counters {
    extent_reads: AtomicU64,
    extent_bytes: AtomicU64,
    index_reads: AtomicU64,
    sizes: AtomicU64,
    log_writes: AtomicU64,
    syncs: AtomicU64,
}

type Content = Arc<RwLock<Vec<u8>>>;

#[derive(Clone, Default)]
pub(crate) struct Counting {
    files: Arc<Mutex<BTreeMap<PathBuf, Content>>>,
    counters: Arc<Counters>,
}

struct File {
    path: PathBuf,
    content: Content,
    counters: Arc<Counters>,
}

struct Lock;

impl DiskLock for Lock {}

impl Counting {
    pub(crate) fn take(&self) -> Counts {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        Counts {
            extent_reads: take(&self.counters.extent_reads),
            extent_bytes: take(&self.counters.extent_bytes),
            index_reads: take(&self.counters.index_reads),
            sizes: take(&self.counters.sizes),
            log_writes: take(&self.counters.log_writes),
            syncs: take(&self.counters.syncs),
        }
    }

    fn file(&self, path: &Path, create: bool) -> io::Result<Arc<File>> {
        let mut files = self.files.lock().unwrap();
        if create {
            files.insert(path.to_owned(), Content::default());
        }
        let content = files.get(path).ok_or(io::ErrorKind::NotFound)?.clone();
        Ok(Arc::new(File {
            path: path.to_owned(),
            content,
            counters: Arc::clone(&self.counters),
        }))
    }
}

impl Disk for Counting {
    fn can_read_without_waiting(&self) -> bool {
        true
    }

    fn create_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let files = self.files.lock().unwrap();
        let inside = files.keys().filter_map(|file| file.strip_prefix(path).ok());
        let mut names: Vec<String> = inside
            .filter_map(|file| Some(file.components().next()?.as_os_str().to_str()?.to_owned()))
            .collect();
        names.dedup();
        Ok(names)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(path, mode == OpenMode::Create)?)
    }

    fn open_log(&self, path: &Path, create: bool) -> io::Result<Arc<dyn LogFile>> {
        Ok(self.file(path, create)?)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.files.lock().unwrap();
        let content = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = self.files.lock().unwrap().remove(path);
        Ok(removed.map(drop).ok_or(io::ErrorKind::NotFound)?)
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        Ok(Some(Box::new(Lock)))
    }
}

impl LogFile for File {
    fn path(&self) -> &PathBuf {
        &self.path
    }

    fn write(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        // The first block is the extent's own.
        let groups = u64::from(offset > 0);
        self.counters.log_writes.fetch_add(groups, Ordering::Relaxed);
        self.write_at(offset, blocks)
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn grow(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        let mut content = self.content.write().unwrap();
        content.truncate(offset as usize);
        content.extend_from_slice(blocks);
        Ok(())
    }

    fn allocate(&self, _size: u64) -> io::Result<bool> {
        Ok(false)
    }

    fn settle(&self, size: u64) -> io::Result<()> {
        self.content.write().unwrap().truncate(size as usize);
        Ok(())
    }
}

impl DiskFile for File {
    fn path(&self) -> &PathBuf {
        &self.path
    }

    fn size(&self) -> io::Result<u64> {
        self.counters.sizes.fetch_add(1, Ordering::Relaxed);
        Ok(self.content.read().unwrap().len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let content = self.content.read().unwrap();
        let from = content.get(offset as usize..).unwrap_or_default();
        let length = from.len().min(buffer.len());
        buffer[..length].copy_from_slice(&from[..length]);
        let kind = self.path.extension().and_then(|kind| kind.to_str());
        match kind {
            Some("extent") => {
                self.counters.extent_reads.fetch_add(1, Ordering::Relaxed);
                self.counters.extent_bytes.fetch_add(length as u64, Ordering::Relaxed);
            }
            Some("index") => drop(self.counters.index_reads.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
        Ok(length)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut content = self.content.write().unwrap();
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.counters.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }
}
