//! The last commit of a data directory's stores, from their files alone. It opens nothing for writing and takes no
//! lock, so a server may be running.

use std::path::Path;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::directory::extent_file::open_extent;
use crate::directory::names::FileName;
use crate::directory::{list_stores, store_dir};
use crate::disk::{Disk, best};
use crate::error::StorageError;
use crate::format::extent_header::EXTENT_HEADER_BYTES;
use crate::format::transaction::take_transaction;
use crate::log::behind::behind;
use crate::log::walk::{Step, Walk};
use streamkit_record::{LogPosition, StoreId, Timestamp};

/// Bytes of extents that are walked, in all stores; of further stores only the last extent's header counts.
const WALKED_BYTES_MAX: u64 = 1 << 30;

/// How far the clock is behind the last commit of a data directory's stores, at least: zero if it is not, or by no more than a
/// second; `None` where no commit is found. What cannot be read does not count. Blocks.
pub fn clock_behind(dir: &Path) -> Option<Duration> {
    let last = last_commit(&*best(), dir, WALKED_BYTES_MAX)?;
    Some(behind(SystemClock.now(), last).unwrap_or_default())
}

fn last_commit(disk: &dyn Disk, dir: &Path, mut budget: u64) -> Option<Timestamp> {
    let stores = list_stores(disk, dir).unwrap_or_default();
    let lasts = stores
        .into_iter()
        .filter_map(|store| last_of(disk, dir, store, &mut budget).ok());
    lasts.flatten().max()
}

/// The last commit of one store that its newest extent tells of.
fn last_of(disk: &dyn Disk, dir: &Path, store: StoreId, budget: &mut u64) -> Result<Option<Timestamp>, StorageError> {
    let dir = store_dir(dir, store);
    let names = disk.list(&dir).map_err(|e| StorageError::io("list", &dir, e))?;
    let mut extents: Vec<u64> = names
        .iter()
        .filter_map(|name| match FileName::parse(name) {
            Some(FileName::Extent(number)) => Some(number),
            _ => None,
        })
        .collect();
    extents.sort_unstable();
    // The newest may only be prepared.
    for extent in extents.into_iter().rev() {
        let (file, header) = open_extent(disk, &dir, extent)?;
        let Ok(header) = header else { continue };
        if !header.begun || (header.store, header.extent) != (store, extent) {
            continue;
        }
        let mut last = header.state;
        if let Some(left) = budget.checked_sub(header.capacity) {
            *budget = left;
            let byte = EXTENT_HEADER_BYTES as u32;
            let mut walk = Walk::new(file, header.salt, LogPosition { extent, byte }, header.state)?;
            // Where it cannot be read further, what is known by then counts.
            while let Ok(Step::Group { body, .. }) = walk.step() {
                let mut rest = body;
                while let Ok((header, transaction)) = take_transaction(rest) {
                    (last.trx_number, last.last_timestamp) = (header.number, header.timestamp);
                    rest = rest.get(transaction.len().max(1)..).unwrap_or_default();
                }
            }
        }
        return Ok((last.trx_number > 0).then_some(last.last_timestamp));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::boundary::Stores as _;
    use crate::{Engine, EngineConfig, Record, SegmentPath};

    /// In the year 2200.
    const AHEAD: Timestamp = Timestamp(7_258_118_400_000);

    struct Ahead;

    impl Clock for Ahead {
        fn now(&self) -> Timestamp {
            AHEAD
        }
    }

    #[tokio::test]
    async fn the_last_commit_is_found_in_the_files_while_a_server_has_them_and_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = EngineConfig::new(dir.path());
        config.clock = Arc::new(Ahead);
        let engine = Engine::open(config).unwrap();
        let store = engine.store(StoreId(uuid::Uuid::from_u128(7))).await.unwrap();
        let path = SegmentPath::new("s", "a").unwrap();
        store.publish(&path, vec![Record::new("x")]).await.unwrap();
        let found = || last_commit(&*best(), dir.path(), WALKED_BYTES_MAX);
        assert_eq!(found(), Some(AHEAD));
        drop(store);
        engine.close().await;
        assert_eq!(found(), Some(AHEAD));
        assert!(clock_behind(dir.path()).unwrap() > Duration::ZERO);
        // Its only extent's header tells of nothing before it.
        assert_eq!(last_commit(&*best(), dir.path(), 0), None);
    }

    #[test]
    fn a_folder_without_stores_tells_nothing_of_the_clock() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(clock_behind(dir.path()), None);
    }
}
