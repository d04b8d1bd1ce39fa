//! Which stores an account has.

use std::sync::Arc;

use streamkit_engine::StoreId;
use uuid::Uuid;

use super::patience::patiently;
use crate::account::Account;
use crate::account::table::TableKey;
use crate::log::is_tombstone;
use crate::medium::azure::AzureMedium;
use crate::medium::{Medium as _, Unanswered};

/// Most partitions that belong to no store and are passed over.
const OTHERS_MAX: usize = 10_000;

/// A store of which something stands in the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FoundStore {
    /// Its id.
    pub store: StoreId,
    /// What its root says.
    pub state: StoreState,
}

/// Whether a store is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreState {
    /// It has a root.
    There,
    /// It was deleted.
    Deleted,
    /// It has none: hosts were about to make it, or the root was lost.
    Rootless,
}

impl StoreState {
    /// Its word where it is told.
    pub const fn word(self) -> &'static str {
        match self {
            Self::There => "there",
            Self::Deleted => "deleted",
            Self::Rootless => "rootless",
        }
    }
}

/// The stores that were found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FoundStores {
    /// In the order of their ids.
    pub stores: Vec<FoundStore>,
    /// Whether there may be more.
    pub is_cut: bool,
}

/// Whether a store has a root, which it has from its first entry on, also after it was deleted.
///
/// # Errors
/// [`Unanswered`].
pub async fn has_root(account: &Arc<Account>, store: StoreId) -> Result<bool, Unanswered> {
    let medium = AzureMedium::new(Arc::clone(account), store);
    Ok(patiently(|| medium.read_root()).await?.is_some())
}

/// Finds at most so many stores of an account, with two requests for each: it asks for the first partition and what the root says, then for the first
/// behind all partitions of that store.
///
/// # Errors
/// [`Unanswered`].
pub async fn stores(account: &Arc<Account>, most: usize) -> Result<FoundStores, Unanswered> {
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
                let store = StoreId(id);
                let state = match extent {
                    None => state(account, store).await?,
                    Some(_) => StoreState::Rootless,
                };
                found.stores.push(FoundStore { store, state });
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

async fn state(account: &Arc<Account>, store: StoreId) -> Result<StoreState, Unanswered> {
    match AzureMedium::new(account.clone(), store).root_row().await {
        Ok(Some(root)) if is_tombstone(&root.bytes) => Ok(StoreState::Deleted),
        // What is wrong with one is told by whoever looks at it.
        Ok(Some(_)) | Err(Unanswered::Damaged(_)) => Ok(StoreState::There),
        Ok(None) => Ok(StoreState::Rootless),
        Err(why) => Err(why),
    }
}
