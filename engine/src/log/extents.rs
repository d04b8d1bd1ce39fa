//! The sealed extents of a store, and the open one's file: handles opened when first needed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use super::names::FileName;
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::StorageError;
use crate::index::runs::ExtentRuns;
use crate::index::sealed::IndexFile;
use crate::model::StoreId;

/// How a sealed extent's runs are found.
#[derive(Clone)]
pub(crate) enum ExtentIndex {
    /// In memory: its index file is not written yet.
    Memory(Arc<ExtentRuns>),
    /// In its index file.
    File(Arc<IndexFile>),
}

#[derive(Clone, Default)]
struct Handles {
    file: Option<Arc<dyn DiskFile>>,
    index: Option<ExtentIndex>,
}

/// A store's extents.
pub(crate) struct Extents {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    store: StoreId,
    handles: RwLock<BTreeMap<u64, Handles>>,
}

impl Extents {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf, store: StoreId) -> Self {
        Self {
            disk,
            dir,
            store,
            handles: RwLock::default(),
        }
    }

    fn with<T>(&self, extent: u64, change: impl FnOnce(&mut Handles) -> T) -> T {
        let mut handles = self.handles.write().unwrap_or_else(PoisonError::into_inner);
        change(handles.entry(extent).or_default())
    }

    fn get(&self, extent: u64) -> Handles {
        let handles = self.handles.read().unwrap_or_else(PoisonError::into_inner);
        handles.get(&extent).cloned().unwrap_or_default()
    }

    /// An extent's file.
    pub(crate) fn file(&self, extent: u64) -> Result<Arc<dyn DiskFile>, StorageError> {
        if let Some(file) = self.get(extent).file {
            return Ok(file);
        }
        let path = FileName::Extent(extent).in_dir(&self.dir);
        let file = self
            .disk
            .open(&path, OpenMode::Read)
            .map_err(|e| StorageError::io("open", path, e))?;
        self.with(extent, |handles| handles.file = Some(Arc::clone(&file)));
        Ok(file)
    }

    /// A sealed extent's index.
    pub(crate) fn index(&self, extent: u64) -> Result<ExtentIndex, StorageError> {
        if let Some(index) = self.get(extent).index {
            return Ok(index);
        }
        let path = FileName::Index(extent).in_dir(&self.dir);
        let file = self
            .disk
            .open(&path, OpenMode::Read)
            .map_err(|e| StorageError::io("open", &path, e))?;
        let index = IndexFile::open(file)?.map_err(|found| StorageError::Corrupt {
            store: self.store,
            extent,
            byte: 0,
            found: format!(
                "index file {}: {found}; remove that file and reopen, it is made anew",
                path.display()
            ),
        })?;
        let index = ExtentIndex::File(Arc::new(index));
        self.with(extent, |handles| {
            handles.index.get_or_insert_with(|| index.clone());
        });
        Ok(index)
    }

    /// Keeps a sealed extent's runs in memory until [`Extents::indexed`].
    pub(crate) fn freeze(&self, runs: Arc<ExtentRuns>) {
        self.with(runs.extent, |handles| handles.index = Some(ExtentIndex::Memory(runs)));
    }

    /// The index file is written: the runs in memory may go.
    pub(crate) fn indexed(&self, extent: u64) {
        self.with(extent, |handles| handles.index = None);
    }
}
