//! How a store stands: what its root says, and what is in its live extents and blobs.

use std::sync::Arc;

use streamkit_engine::{StoreId, Timestamp};

use super::patience::patiently;
use super::recent::{HostSeen, recent, root};
use super::report::LogUnread;
use crate::account::Account;
use crate::log::CheckpointAt;
use crate::medium::azure::AzureMedium;
use crate::medium::{BlobKind, Medium, Unanswered};

/// Blobs of one kind that are counted.
const BLOBS_MAX: usize = 100_000;

/// A store as it stood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreStanding {
    /// The number of the first live extent: as many less one are history.
    pub live_ordinal: u64,
    /// Extents that are not history yet.
    pub live_extents: u64,
    /// Slots in them.
    pub live_slots: u64,
    /// Bytes of these.
    pub live_bytes: u64,
    /// Groups among them that count.
    pub live_groups: u64,
    /// Groups among them that do not.
    pub live_void: u64,
    /// Whether all live extents were read.
    pub is_whole: bool,
    /// The commit time of the last group.
    pub last: Option<Timestamp>,
    /// Extents that are history and not retired yet.
    pub retiring: usize,
    /// The last checkpoint.
    pub checkpoint: Option<CheckpointAt>,
    /// Blobs by kind.
    pub blobs: Vec<BlobCount>,
    /// Who wrote the groups of the live extents, the last one first.
    pub hosts: Vec<HostSeen>,
    /// The service's time.
    pub now: Timestamp,
}

/// The blobs of one kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlobCount {
    /// Which.
    pub kind: BlobKind,
    /// How many there are.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether there may be more.
    pub is_cut: bool,
}

/// Looks at a store.
///
/// # Errors
/// [`LogUnread`].
pub async fn standing(account: &Arc<Account>, store: StoreId) -> Result<StoreStanding, LogUnread> {
    let medium = AzureMedium::new(Arc::clone(account), store);
    let root = root(&medium).await?;
    let recent = recent(&medium, &root).await?;
    Ok(StoreStanding {
        live_ordinal: root.live.ordinal,
        live_extents: recent.extents,
        live_slots: recent.slots,
        live_bytes: recent.bytes,
        live_groups: recent.counted,
        live_void: recent.void,
        is_whole: recent.is_whole,
        last: recent.groups.last().map(|group| group.time),
        retiring: root.retiring.len(),
        checkpoint: root.checkpoint,
        blobs: blobs(account, &medium).await?,
        hosts: recent.hosts(),
        now: patiently(|| medium.service_time()).await?,
    })
}

/// Counts the blobs of a store.
pub(super) async fn blobs(account: &Account, medium: &AzureMedium) -> Result<Vec<BlobCount>, Unanswered> {
    let kinds = [
        BlobKind::History,
        BlobKind::Manifest,
        BlobKind::Checkpoint,
        BlobKind::Body,
        BlobKind::Extent,
        BlobKind::Index,
    ];
    let mut counts = Vec::with_capacity(kinds.len());
    for kind in kinds {
        let prefix = medium.blob_prefix(kind);
        let found = account.blobs().sizes(&prefix, BLOBS_MAX).await?;
        counts.push(BlobCount {
            kind,
            count: found.len() as u64,
            bytes: found.iter().map(|(_, bytes)| bytes).sum(),
            is_cut: found.len() == BLOBS_MAX,
        });
    }
    Ok(counts)
}
