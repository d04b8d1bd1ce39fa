//! An engine at work as the source of a backup.

use std::collections::BTreeMap;
use std::path::Path;

use super::Engine;
use crate::backup::source::{FilePieces, read_header, up_to};
use crate::boundary::backup::{BackupError, ExtentPrefix, LogPrefix, Pieces, Source};
use crate::directory::{list_stores, store_dir};
use crate::error::{OpenError, StorageError};
use crate::format::log_start::LogStart;
use streamkit_record::{LogPosition, StoreId};

impl Source for Engine {
    fn folder(&self) -> Option<&Path> {
        Some(self.place().1)
    }

    fn stores(&self) -> Result<Vec<StoreId>, BackupError> {
        let (disk, dir) = self.place();
        // Those that are open too, wherever their folders are by now: no backup goes by without a store that is written to.
        let mut stores = list_stores(&**disk, dir)?;
        stores.extend(self.written_stores());
        stores.sort_unstable();
        stores.dedup();
        Ok(stores)
    }

    fn has(&self, store: StoreId) -> Result<bool, BackupError> {
        let (disk, dir) = self.place();
        let dir = store_dir(dir, store);
        let names = disk.list(&dir).map_err(|e| StorageError::io("list", &dir, e))?;
        // A folder in which nothing stands yet is listed with the others.
        Ok(!names.is_empty() || self.stores()?.contains(&store))
    }

    /// Opens the store, if it is not open.
    fn prefix(&self, store: StoreId) -> Result<LogPrefix, BackupError> {
        let tail = self.tail(store)?;
        self.up_to(store, tail, LogStart::WHOLE.up_to(tail.extent))
    }

    fn extent(&self, store: StoreId, number: u64) -> Result<Option<ExtentPrefix>, BackupError> {
        let tail = self.tail(store)?;
        if !LogStart::WHOLE.up_to(tail.extent).contains(&number) {
            return Ok(None);
        }
        let found = self.up_to(store, tail, number..=tail.extent.min(number + 1))?;
        Ok(found.extents.into_iter().find(|extent| extent.extent == number))
    }

    fn read(&self, store: StoreId, extent: &ExtentPrefix) -> Result<Box<dyn Pieces>, BackupError> {
        let (disk, dir) = self.place();
        let pieces = FilePieces::open(&**disk, &store_dir(dir, store), store, extent)?;
        Ok(Box::new(pieces))
    }
}

impl Engine {
    /// Where the durable part of a store's log ends.
    fn tail(&self, store: StoreId) -> Result<LogPosition, OpenError> {
        let opened = self.open_store(store)?;
        let tail = LogPosition::of_local(*opened.log().tail.borrow());
        Ok(tail)
    }

    /// These extents of a log that is durable up to `tail`. None is ever removed.
    fn up_to(
        &self,
        store: StoreId,
        tail: LogPosition,
        extents: std::ops::RangeInclusive<u64>,
    ) -> Result<LogPrefix, BackupError> {
        let (disk, dir) = self.place();
        let dir = store_dir(dir, store);
        let mut headers = BTreeMap::new();
        // A store that was never written to has none.
        for extent in extents.filter(|_| tail.byte > 0) {
            headers.insert(extent, read_header(&**disk, &dir, store, extent)?.1);
        }
        Ok(up_to(store, &headers, tail))
    }
}
