//! Files of extents that are open for reading, for all stores together: a bounded number of the most recently used.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use super::recent::RecentBytes;
use crate::directory::names::FileName;
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::{DamagedPlace, SegmentsHit, StorageError};
use crate::format::extent_header::{EXTENT_HEADER_BYTES, ExtentHeader};
use crate::format::index::IndexHeader;
use crate::index::sealed::IndexFile;
use crate::runtime::sync::RwLock;
use streamkit_record::{StoreId, Timestamp};

/// One extent of one store.
#[derive(Clone, Copy)]
pub(crate) struct ExtentId<'a> {
    pub(crate) store: StoreId,
    pub(crate) extent: u64,
    /// The store's folder.
    pub(crate) dir: &'a Path,
}

#[derive(Default)]
struct Handles {
    file: Option<Arc<dyn DiskFile>>,
    index: Option<Arc<IndexFile>>,
    started: Option<Timestamp>,
    last_used: AtomicU64,
}

impl Handles {
    /// Whether it has files open that nobody else has.
    fn is_idle(&self) -> bool {
        let of_file = self.file.as_ref().map(Arc::strong_count);
        let of_index = self.index.as_ref().map(Arc::strong_count);
        matches!((of_file, of_index), (Some(1), None | Some(1)) | (None, Some(1)))
    }
}

/// The open files. Whoever reads from one keeps it open; what is dropped here is opened again when next asked for.
pub(crate) struct ExtentHandles {
    disk: Arc<dyn Disk>,
    most: usize,
    uses: AtomicU64,
    open: RwLock<HashMap<(StoreId, u64), Handles>>,
    /// What all stores keep in memory of what they committed last.
    pub(crate) recent: Arc<RecentBytes>,
}

impl ExtentHandles {
    /// For up to `most` extents at a time, each with two files.
    pub(crate) fn new(disk: Arc<dyn Disk>, most: usize) -> Self {
        Self {
            disk,
            most,
            uses: AtomicU64::new(0),
            open: RwLock::default(),
            recent: Arc::default(),
        }
    }

    /// An extent's file.
    pub(crate) fn file(&self, id: ExtentId<'_>) -> Result<Arc<dyn DiskFile>, StorageError> {
        self.get(
            id,
            |handles| handles.file.clone(),
            |handles, file| handles.file = Some(file),
            || self.open_file(FileName::Extent(id.extent), id.dir),
        )
    }

    /// A sealed extent's index file.
    pub(crate) fn index(&self, id: ExtentId<'_>) -> Result<Arc<IndexFile>, StorageError> {
        self.get(
            id,
            |handles| handles.index.clone(),
            |handles, index| handles.index = Some(index),
            || {
                let file = self.open_file(FileName::Index(id.extent), id.dir)?;
                let path = file.path().clone();
                let damaged = |found: String| StorageError::Corrupt {
                    store: id.store,
                    place: DamagedPlace::Extent {
                        extent: id.extent,
                        byte: 0,
                    },
                    found: format!("index file {}: {found}", path.display()),
                    segments: SegmentsHit::None,
                };
                let index = IndexFile::open(file)?.map_err(|found| damaged(found.to_string()))?;
                // What it says of another extent would pass for all that there is.
                let IndexHeader { store, extent, .. } = index.header;
                if (store, extent) != (id.store, id.extent) {
                    return Err(damaged(format!("the index of extent {extent} of store {store}")));
                }
                Ok(Arc::new(index))
            },
        )
    }

    /// When the last transaction before an extent was committed: nothing in it is older.
    pub(crate) fn started(&self, id: ExtentId<'_>) -> Result<Timestamp, StorageError> {
        self.get(
            id,
            |handles| handles.started,
            |handles, started| handles.started = Some(started),
            || {
                let file = self.file(id)?;
                let mut block = vec![0; EXTENT_HEADER_BYTES];
                let read = file.read_at(0, &mut block);
                let read = read.map_err(|e| StorageError::io("read", file.path(), e))?;
                let header = ExtentHeader::decode(&block[..read]).map_err(|found| StorageError::Corrupt {
                    store: id.store,
                    place: DamagedPlace::Extent {
                        extent: id.extent,
                        byte: 0,
                    },
                    found: format!("the extent's header: {found}"),
                    segments: SegmentsHit::Unknown,
                })?;
                Ok(header.state.last_timestamp)
            },
        )
    }

    /// Whether the disk can tell that a read would wait.
    pub(crate) fn can_read_without_waiting(&self) -> bool {
        self.disk.can_read_without_waiting()
    }

    /// Closes the files of a store.
    pub(crate) fn forget(&self, store: StoreId) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.retain(|&(owner, _), _| owner != store);
    }

    /// Closes some files that nobody reads from at this moment: an eighth of all, those used longest ago. What is left need not
    /// be opened again by its readers all at once.
    pub(crate) fn close_idle(&self) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let mut idle: Vec<_> = open.iter().filter(|(_, handles)| handles.is_idle()).collect();
        idle.sort_unstable_by_key(|(_, handles)| handles.last_used.load(Ordering::Relaxed));
        idle.truncate(open.len().div_ceil(8));
        let keys: Vec<_> = idle.into_iter().map(|(&key, _)| key).collect();
        let closed: Vec<_> = keys.iter().map(|key| open.remove(key)).collect();
        drop(open);
        // Closing a file may wait for its disk.
        drop(closed);
    }

    fn open_file(&self, name: FileName, dir: &Path) -> Result<Arc<dyn DiskFile>, StorageError> {
        let path = name.in_dir(dir);
        let file = self.disk.open(&path, OpenMode::Read);
        file.map_err(|e| StorageError::io("open", path, e))
    }

    fn get<T: Clone>(
        &self,
        id: ExtentId<'_>,
        have: impl Fn(&Handles) -> Option<T>,
        keep: impl FnOnce(&mut Handles, T),
        make: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let key = (id.store, id.extent);
        let now = self.uses.fetch_add(1, Ordering::Relaxed);
        {
            let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(handles) = open.get(&key)
                && let Some(found) = have(handles)
            {
                handles.last_used.store(now, Ordering::Relaxed);
                return Ok(found);
            }
        }
        let made = make()?;
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let handles = open.entry(key).or_default();
        handles.last_used.store(now, Ordering::Relaxed);
        keep(handles, made.clone());
        if open.len() > self.most {
            self.close_oldest(&mut open);
        }
        Ok(made)
    }

    /// Closes an eighth, so that the search is rare.
    fn close_oldest(&self, open: &mut HashMap<(StoreId, u64), Handles>) {
        let mut uses: Vec<u64> = open
            .values()
            .map(|handles| handles.last_used.load(Ordering::Relaxed))
            .collect();
        let (_, &mut limit, _) = uses.select_nth_unstable(open.len() - self.most + self.most / 8);
        open.retain(|_, handles| handles.last_used.load(Ordering::Relaxed) >= limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::Simulated;

    #[test]
    fn no_more_extents_stay_open_than_may_and_those_used_last_do() {
        let disk: Arc<dyn Disk> = Arc::new(Simulated::default());
        let dir = Path::new("/store");
        for extent in 1..=100 {
            disk.open(&FileName::Extent(extent).in_dir(dir), OpenMode::Create)
                .expect("there is room");
        }
        let handles = ExtentHandles::new(disk, 16);
        let id = |extent| ExtentId {
            store: StoreId(uuid::Uuid::nil()),
            extent,
            dir,
        };
        for extent in 2..=100 {
            handles.file(id(1)).expect("it is there");
            handles.file(id(extent)).expect("it is there");
            let open = handles.open.read().expect("no test panicked");
            assert!(open.len() <= 16);
            assert!(open.contains_key(&(id(1).store, 1)));
        }
        handles.forget(id(1).store);
        assert!(handles.open.read().expect("no test panicked").is_empty());
        let read = handles.file(id(1)).expect("it is there");
        (2..=16).for_each(|extent| drop(handles.file(id(extent)).expect("it is there")));
        handles.close_idle();
        let mut left: Vec<u64> = handles
            .open
            .read()
            .expect("no test panicked")
            .keys()
            .map(|key| key.1)
            .collect();
        left.sort_unstable();
        let after = [1].into_iter().chain(4..=16);
        assert_eq!(
            left,
            after.collect::<Vec<_>>(),
            "an eighth, of those that nobody reads from"
        );
        drop(read);
    }
}
