//! A disk in memory for tests: what was not synced can be lost, torn at sectors, or refused. [`Memory::crash`] hands out
//! the disk as power loss would leave it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::blocks::Blocks;
use super::memory_queue::MemoryQueue;
use super::{Disk, DiskFile, DiskLock, LogFile, OpenMode, WriteQueue};

const SECTOR: usize = 512;

#[derive(Default)]
struct Content {
    /// As written.
    live: Vec<u8>,
    /// As synced.
    durable: Vec<u8>,
    /// Writes since the last sync.
    pending: Vec<(usize, Vec<u8>)>,
}

impl Content {
    /// As a journal does it: what was cut off does not come back, the rest is as durable as before.
    fn cut(&mut self, size: usize) {
        self.live.truncate(size);
        self.durable.truncate(size);
        for (offset, write) in &mut self.pending {
            write.truncate(size.saturating_sub(*offset));
        }
    }
}

type Shared = Arc<Mutex<Content>>;

#[derive(Default)]
struct Inner {
    names: BTreeMap<PathBuf, Shared>,
    durable_names: BTreeMap<PathBuf, Shared>,
    /// Changes still to succeed before the power goes, if it shall.
    changes_left: Option<usize>,
    /// Changes so far.
    changes: usize,
    /// Bytes all files together may have, if not any number.
    room: Option<usize>,
    /// Decides how the writes of a queue end; without it there is none.
    queue_seed: Option<u64>,
    most_under_way: Arc<AtomicUsize>,
}

/// The disk; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Inner>>);

struct Open {
    path: PathBuf,
    content: Shared,
    disk: Memory,
}

struct Lock;
impl DiskLock for Lock {}

impl Memory {
    /// Lets `count` more writes, syncs and renames succeed; every one after that fails.
    pub(crate) fn cut_power_after(&self, count: usize) {
        self.0.lock().unwrap().changes_left = Some(count);
    }

    /// Nothing fails any more. What was written stays as it is: a process died, not the host.
    pub(crate) fn restore_power(&self) {
        self.0.lock().unwrap().changes_left = None;
    }

    /// Gives all files together room for `bytes`; a write that would take more is refused.
    pub(crate) fn set_room(&self, bytes: Option<usize>) {
        self.0.lock().unwrap().room = bytes;
    }

    /// Has a queue for many writes at a time, which end in an order that `seed` decides.
    pub(crate) fn queue_writes(&self, seed: u64) {
        self.0.lock().unwrap().queue_seed = Some(seed);
    }

    /// Most writes of the queue that were under way at a time.
    pub(crate) fn most_under_way(&self) -> usize {
        self.0.lock().unwrap().most_under_way.load(Ordering::Relaxed)
    }

    /// Bytes of all files.
    pub(crate) fn used(&self) -> usize {
        let inner = self.0.lock().unwrap();
        inner.names.values().map(|file| file.lock().unwrap().live.len()).sum()
    }

    /// Writes, syncs and renames so far.
    pub(crate) fn changes(&self) -> usize {
        self.0.lock().unwrap().changes
    }

    fn open_file(&self, path: &Path, create: bool) -> io::Result<Open> {
        let mut inner = self.0.lock().unwrap();
        if create {
            inner.names.insert(path.to_owned(), Shared::default());
        }
        let content = inner.names.get(path).ok_or_else(missing)?.clone();
        Ok(Open {
            path: path.to_owned(),
            content,
            disk: self.clone(),
        })
    }

    fn change(&self) -> io::Result<()> {
        let mut inner = self.0.lock().unwrap();
        inner.changes += 1;
        match &mut inner.changes_left {
            Some(0) => Err(io::Error::other("the power is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The disk after power loss: synced names and bytes, and of each write since then the sectors `survives` chooses.
    pub(crate) fn crash(&self, mut survives: impl FnMut() -> bool) -> Memory {
        let inner = self.0.lock().unwrap();
        let mut names = BTreeMap::new();
        // Names that were not synced may have reached the disk or not.
        let surviving = if survives() { &inner.names } else { &inner.durable_names };
        for (path, content) in surviving {
            let content = content.lock().unwrap();
            let mut bytes = content.durable.clone();
            for (offset, write) in &content.pending {
                let mut at = 0;
                while at < write.len() {
                    let end = ((offset + at) / SECTOR + 1) * SECTOR - offset;
                    let end = end.min(write.len());
                    if survives() {
                        // A size that was not synced may or may not be there; either way the bytes decide.
                        if bytes.len() < offset + end {
                            bytes.resize(offset + end, 0);
                        }
                        bytes[offset + at..offset + end].copy_from_slice(&write[at..end]);
                    }
                    at = end;
                }
            }
            let content = Content {
                live: bytes.clone(),
                durable: bytes,
                pending: Vec::new(),
            };
            names.insert(path.clone(), Arc::new(Mutex::new(content)));
        }
        Memory(Arc::new(Mutex::new(Inner {
            durable_names: names.clone(),
            names,
            ..Inner::default()
        })))
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for Memory {
    fn create_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let inner = self.0.lock().unwrap();
        let mut names = Vec::new();
        for file in inner.names.keys().filter_map(|file| file.strip_prefix(path).ok()) {
            let first = file
                .components()
                .next()
                .unwrap()
                .as_os_str()
                .to_str()
                .unwrap()
                .to_owned();
            if names.last() != Some(&first) {
                names.push(first);
            }
        }
        Ok(names)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(self.open_file(path, mode == OpenMode::Create)?))
    }

    fn open_log(&self, path: &Path, create: bool) -> io::Result<Arc<dyn LogFile>> {
        Ok(Arc::new(self.open_file(path, create)?))
    }

    fn write_queue(&self, _held: Option<std::fs::File>) -> io::Result<Option<Box<dyn WriteQueue>>> {
        let inner = self.0.lock().unwrap();
        let most = Arc::clone(&inner.most_under_way);
        let queue = inner.queue_seed.map(|seed| MemoryQueue::new(seed, most));
        Ok(queue.map(|queue| Box::new(queue) as Box<dyn WriteQueue>))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change()?;
        let mut inner = self.0.lock().unwrap();
        let content = inner.names.remove(from).ok_or_else(missing)?;
        inner.names.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0
            .lock()
            .unwrap()
            .names
            .remove(path)
            .map(|_| ())
            .ok_or_else(missing)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.change()?;
        let mut inner = self.0.lock().unwrap();
        inner.durable_names.retain(|file, _| file.parent() != Some(path));
        let here: Vec<_> = inner
            .names
            .iter()
            .filter(|(f, _)| f.parent() == Some(path))
            .map(|(f, c)| (f.clone(), c.clone()))
            .collect();
        inner.durable_names.extend(here);
        Ok(())
    }

    fn lock(&self, _path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        Ok(Some(Box::new(Lock)))
    }
}

impl LogFile for Open {
    fn path(&self) -> &PathBuf {
        &self.path
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn write(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        assert!(
            offset.is_multiple_of(4096) && blocks.len().is_multiple_of(4096),
            "whole blocks"
        );
        assert!(offset + blocks.len() as u64 <= self.size()?, "the size does not change");
        if self.disk.0.lock().unwrap().queue_seed.is_some() {
            // As long as it takes others to queue something.
            std::thread::sleep(std::time::Duration::from_micros(100));
        }
        self.write_at(offset, blocks)?;
        self.sync_data()
    }

    fn grow(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        self.write_at(offset, blocks)
    }

    fn allocate(&self, _size: u64) -> io::Result<bool> {
        Ok(false)
    }

    fn settle(&self, size: u64) -> io::Result<()> {
        self.disk.change()?;
        self.content.lock().unwrap().cut(size as usize);
        self.sync_all()
    }
}

impl DiskFile for Open {
    fn path(&self) -> &PathBuf {
        &self.path
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.content.lock().unwrap().live.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let content = self.content.lock().unwrap();
        let from = content.live.get(offset as usize..).unwrap_or_default();
        let length = from.len().min(buffer.len());
        buffer[..length].copy_from_slice(&from[..length]);
        Ok(length)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let grows = (offset as usize + bytes.len()).saturating_sub(self.content.lock().unwrap().live.len());
        let room = self.disk.0.lock().unwrap().room;
        if grows > 0 && room.is_some_and(|room| self.disk.used() + grows > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        // A write that fails may still have reached some sectors.
        let outcome = self.disk.change();
        let mut content = self.content.lock().unwrap();
        let offset = offset as usize;
        let end = offset + bytes.len();
        if content.live.len() < end {
            content.live.resize(end, 0);
        }
        content.live[offset..end].copy_from_slice(bytes);
        content.pending.push((offset, bytes.to_vec()));
        outcome
    }

    /// As Linux does it: a sync that fails marks the pages clean. They stay readable, and no later sync writes them.
    fn sync_data(&self) -> io::Result<()> {
        let outcome = self.disk.change();
        let mut content = self.content.lock().unwrap();
        let pending = std::mem::take(&mut content.pending);
        outcome?;
        for (offset, write) in pending {
            let end = offset + write.len();
            if content.durable.len() < end {
                content.durable.resize(end, 0);
            }
            content.durable[offset..end].copy_from_slice(&write);
        }
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }
}
