//! The steps of a collector, each with what it needs, and the call that it makes.

use bytes::Bytes;
use uuid::Uuid;

use crate::log::{
    Call, CheckpointAt, GroupId, HistoryExtent, LiveExtent, ManifestPage, OlderHistory, SealedExtent, StoreRoot,
};
use crate::medium::{BlobName, ExtentId, RootVersion, SlotNumber};

/// The root and its version.
#[derive(Clone)]
pub(super) struct Seen {
    pub root: StoreRoot,
    pub version: RootVersion,
}

/// What a collector does.
pub(super) enum Task {
    /// Reads the root.
    Root,
    /// Retires an extent that the root says may not be retired yet.
    Retire(Seen, ExtentId),
    /// Copies the first live extent, as far as it is read.
    Copy(Seen, Copied),
    /// Writes a blob that a change of the root is to name.
    Put(Seen, Written),
    /// Reads it back.
    Verify(Seen, Written),
    /// Changes the root.
    Swap(Seen, StoreRoot, Change),
    /// The root was of another version: reads it, since an earlier call may have changed it.
    Lost(Seen, StoreRoot, Change),
    /// Removes a blob that nothing names any more; with the root, if the round goes on.
    Remove(BlobName, Option<Seen>),
    /// The round is over.
    Over,
}

/// An extent as far as it is read.
pub(super) struct Copied {
    pub slots: Vec<Bytes>,
    /// The last valid group of them, or before them.
    pub last: Option<GroupId>,
}

/// A blob that is written before the root names it.
pub(super) struct Written {
    pub name: BlobName,
    pub bytes: Bytes,
    pub change: Change,
}

/// What a change of the root is about.
#[derive(Clone)]
pub(super) enum Change {
    /// The first live extent is history, in a blob that is verified; the live one is the next.
    History(HistoryExtent, LiveExtent),
    /// The history of the root goes into a page of the manifest.
    Page(OlderHistory),
    /// This is the checkpoint.
    Checkpoint(CheckpointAt),
    /// These extents are retired.
    Retired(Vec<ExtentId>),
}

impl Change {
    /// The blob that it is about.
    pub fn blob(&self) -> Option<BlobName> {
        match self {
            Self::History(extent, _) => Some(extent.blob_name()),
            Self::Page(page) => Some(page.blob_name()),
            Self::Checkpoint(at) => Some(at.blob_name()),
            Self::Retired(_) => None,
        }
    }

    /// The root behind it.
    pub fn made(&self, root: &StoreRoot, change: Uuid) -> StoreRoot {
        let mut root = root.clone();
        root.change = change;
        match self {
            Self::History(extent, next) => {
                root.history.push(*extent);
                root.retiring.push(extent.extent);
                root.live = *next;
            }
            Self::Page(page) => {
                root.history.clear();
                root.older = Some(*page);
            }
            Self::Checkpoint(at) => root.checkpoint = Some(*at),
            Self::Retired(extents) => root.retiring.retain(|extent| !extents.contains(extent)),
        }
        root
    }

    /// Whether a root certainly does not name the blob, now that this change can no longer be carried out. A page of the manifest may name
    /// what the root does not.
    pub fn is_unnamed_in(&self, root: &StoreRoot) -> bool {
        match self {
            Self::History(extent, _) => {
                let same = root.history.iter().find(|found| found.ordinal == extent.ordinal);
                let is_live = root.live.ordinal <= extent.ordinal;
                is_live || same.is_some_and(|found| found.blob != extent.blob)
            }
            Self::Page(page) => root
                .older
                .is_none_or(|older| older.last <= page.last && older.blob != page.blob),
            Self::Checkpoint(at) => root.checkpoint.is_none_or(|found| found.blob != at.blob),
            Self::Retired(_) => false,
        }
    }
}

impl Written {
    /// A sealed extent on its way to the history.
    pub fn history(seen: &Seen, slots: Vec<Bytes>, next: LiveExtent, blob: Uuid) -> Self {
        let live = seen.root.live;
        let extent = live.extent;
        let bytes = SealedExtent { extent, slots }.encode();
        let history = HistoryExtent {
            ordinal: live.ordinal,
            extent,
            blob,
            checksum: crc32fast::hash(&bytes),
        };
        Self::of(bytes, Change::History(history, next))
    }

    /// The history of a root, which becomes long, on its way to a page of the manifest.
    pub fn page(seen: &Seen, blob: Uuid) -> Self {
        let last = seen.root.live.ordinal - 1;
        let page = ManifestPage {
            history: seen.root.history.clone(),
            older: seen.root.older,
        };
        Self::of(page.encode(), Change::Page(OlderHistory { blob, last }))
    }

    /// A blob that this change names.
    pub fn of(bytes: Bytes, change: Change) -> Self {
        let name = change.blob().expect("a blob is written for a change that names it");
        Self { name, bytes, change }
    }
}

impl Task {
    /// The call that it waits for.
    pub fn call(&self, read_bytes: usize) -> Option<Call> {
        Some(match self {
            Self::Root | Self::Lost(..) => Call::ReadRoot,
            Self::Retire(_, extent) => Call::RetireExtent(*extent),
            Self::Copy(seen, copied) => {
                let from = SlotNumber(copied.slots.len() as u64 + 1);
                Call::ReadFrom(seen.root.live.extent, from, read_bytes)
            }
            Self::Put(_, written) => Call::PutBlob(written.name, written.bytes.clone()),
            Self::Verify(_, written) => Call::GetBlob(written.name),
            Self::Swap(seen, root, _) => Call::SwapRoot(Some(seen.version.clone()), root.encode()),
            Self::Remove(name, _) => Call::DeleteBlob(*name),
            Self::Over => return None,
        })
    }
}
