//! Deletes a store, whoever has it open.
//!
//! The order is what makes it safe. First the root becomes a tombstone: from then on nobody opens the store, and nobody makes it anew. Then each
//! extent is retired, so that hosts that have the store open insert nothing more, and find the tombstone where they look for the reason. A host
//! may make an extent meanwhile; what is found at last is that there is none. Blobs go last.

use std::sync::Arc;

use streamkit_engine::StoreId;

use super::patience::patiently;
use super::report::LogUnread;
use crate::account::Account;
use crate::log::{is_tombstone, tombstone};
use crate::medium::azure::AzureMedium;
use crate::medium::{Medium as _, Swapped, Unanswered};

/// Rounds in which something new may be found.
const ROUNDS: usize = 100;
/// How often the root may be another one than it was read.
const SWAPS: usize = 100;
/// Blobs that are listed at a time.
const LISTED: usize = 1000;

/// What a deletion has removed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Removed {
    /// Extents of which more than a tombstone was there.
    pub extents: u64,
    /// Blobs.
    pub blobs: u64,
}

/// Deletes a store: what is left of it in the account is a small row that says so, and one for each extent that it had. `told` hears what is
/// removed so far.
///
/// Once it is done, no host acknowledges an append to the store, or answers a read of it that begins then. What hosts have copied stays on
/// their disks. A blob that a host was writing may come after the end; another deletion removes it.
///
/// # Errors
/// [`LogUnread`], also while hosts make extents faster than they are retired. Part of the store may be gone then, and it is not there for anybody;
/// the same call goes on.
///
/// # Cancel safety
/// As after an error.
pub async fn delete(
    account: &Arc<Account>,
    store: StoreId,
    told: &mut dyn FnMut(Removed),
) -> Result<Removed, LogUnread> {
    let medium = AzureMedium::new(account.clone(), store);
    bury(&medium).await?;
    let mut removed = Removed::default();
    for _ in 0..ROUNDS {
        let before = removed;
        let mut behind = None;
        while let Some(extent) = patiently(|| medium.extent_behind(behind)).await? {
            patiently(|| medium.retire_extent(extent)).await?;
            removed.extents += 1;
            told(removed);
            behind = Some(extent);
        }
        loop {
            let names = patiently(|| medium.all_blobs(LISTED)).await?;
            for name in &names {
                patiently(|| medium.delete_any_blob(name)).await?;
                removed.blobs += 1;
                told(removed);
            }
            if names.is_empty() {
                break;
            }
        }
        if removed == before {
            return Ok(removed);
        }
    }
    Err(Unanswered::Unknown("hosts go on writing the store".to_owned()).into())
}

/// Makes the root a tombstone.
async fn bury(medium: &AzureMedium) -> Result<(), LogUnread> {
    for _ in 0..SWAPS {
        let root = match patiently(|| medium.root_row()).await {
            Err(Unanswered::Damaged(why)) => return Err(LogUnread::Damaged(why)),
            root => root?,
        };
        let version = match root {
            Some(root) if is_tombstone(&root.bytes) => return Ok(()),
            Some(root) => Some(root.version),
            // Of a store whose root was lost, the rest is to be removed all the same.
            None if patiently(|| medium.remains()).await?.is_some() => None,
            None => return Err(LogUnread::NoStore),
        };
        match medium.swap_root(version, tombstone()).await {
            Ok(Swapped::Done(_)) => return Ok(()),
            // It tells when it is read.
            Ok(Swapped::Lost) | Err(Unanswered::Unknown(_) | Unanswered::Throttled { .. }) => {}
            Err(why) => return Err(why.into()),
        }
    }
    Err(Unanswered::Unknown("the root changes all the time".to_owned()).into())
}
