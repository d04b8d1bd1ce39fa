//! Which stores an account has.

use streamkit_engine::StoreId;
use uuid::Uuid;

use crate::account::table::TableKey;
use crate::account::{Account, CallError};

/// Most partitions that belong to no store and are passed over.
const OTHERS_MAX: usize = 10_000;

/// A store of which something stands in the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FoundStore {
    /// Its id.
    pub store: StoreId,
    /// Whether it has a root. Of a store that was deleted, only tombstones are left.
    pub has_root: bool,
}

/// The stores that were found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FoundStores {
    /// In the order of their ids.
    pub stores: Vec<FoundStore>,
    /// Whether there may be more.
    pub is_cut: bool,
}

/// Finds at most so many stores of an account, with one request for each: it asks for the first partition, then for the first behind all
/// partitions of that store.
///
/// # Errors
/// [`CallError`].
pub async fn stores(account: &Account, most: usize) -> Result<FoundStores, CallError> {
    let mut found = FoundStores::default();
    let mut behind = None;
    let mut others = 0;
    while let Some(partition) = account.table().partition_behind(behind.as_ref()).await? {
        // The partitions of a store are its name, and its name with `!` and the name of an extent.
        let (name, extent) = match partition.as_str().split_once('!') {
            Some((name, extent)) => (name, Some(extent)),
            None => (partition.as_str(), None),
        };
        behind = match Uuid::parse_str(name) {
            Ok(id) if found.stores.len() < most => {
                found.stores.push(FoundStore {
                    store: StoreId(id),
                    has_root: extent.is_none(),
                });
                // Behind all that may follow the name.
                TableKey::new(format!("{name}~"))
            }
            Err(_) if others < OTHERS_MAX => {
                others += 1;
                Some(partition)
            }
            _ => {
                found.is_cut = true;
                break;
            }
        };
    }
    Ok(found)
}
