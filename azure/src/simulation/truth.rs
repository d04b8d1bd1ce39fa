//! The log as it stands in the storage when all is over, read by other means than the hosts'.

use std::collections::BTreeSet;

use super::heads::{Entry, Heads, Stored};
use super::storage::Storage;
use crate::log::{Group, GroupBody, GroupId, HistoryExtent, ManifestPage, SealedExtent, StoreRoot};
use crate::medium::{ExtentId, SlotNumber};

/// Transactions in the order of the log.
pub struct Truth {
    pub entries: Vec<(Entry, Stored)>,
    /// The digest behind each number of transactions, from none.
    pub digests: Vec<u64>,
    /// The head of each segment behind each number of transactions.
    pub heads: Vec<Vec<u64>>,
    /// Valid groups and their commit times.
    pub groups: Vec<(GroupId, i64)>,
    pub voids: u64,
    pub extents: u64,
    /// Extents with a header that the log does not lead to.
    pub orphans: u64,
    pub blobs: u64,
}

/// Reads it.
///
/// # Errors
/// It cannot be read.
pub fn truth(storage: &Storage, segments: u64) -> Result<Truth, String> {
    let root = storage.root.as_ref().ok_or("no root")?;
    let root = StoreRoot::decode(&root.bytes).map_err(|why| why.to_string())?;
    let mut state = Heads::default();
    let mut truth = Truth {
        entries: Vec::new(),
        digests: vec![0],
        heads: vec![vec![0; segments as usize]],
        groups: Vec::new(),
        voids: 0,
        extents: 0,
        orphans: 0,
        blobs: storage.blobs.len() as u64,
    };
    let mut last = None;
    let mut next = None;
    let mut linked = BTreeSet::new();
    for (ordinal, extent) in (1..).zip(all_history(storage, &root)?) {
        if extent.ordinal != ordinal || next.is_some_and(|next| next != extent.extent) {
            return Err(format!("the history has {extent:?} where extent {ordinal} should be"));
        }
        let blob = storage
            .blobs
            .get(&extent.blob_name())
            .ok_or("a history blob is missing")?;
        let sealed = SealedExtent::decode(blob, extent.extent).map_err(|why| why.to_string())?;
        let slots: Vec<_> = sealed.rows(SlotNumber::FIRST).collect();
        next = truth.read(storage, &mut state, &mut last, extent.extent, slots)?;
        if next.is_none() {
            return Err("an extent of the history has no seal".to_owned());
        }
        let is_retired = storage.extents.get(&extent.extent).is_none_or(|table| !table.header);
        if !is_retired && !root.retiring.contains(&extent.extent) {
            return Err(format!("extent {} is history and not retired", extent.extent));
        }
        linked.insert(extent.extent);
    }
    if next.is_some_and(|next| next != root.live.extent) || root.live.predecessor != last {
        return Err("the root and its history lead to different extents".to_owned());
    }
    let mut extent = Some(root.live.extent);
    while let Some(name) = extent {
        let table = storage.extents.get(&name).filter(|table| table.header);
        let table = table.ok_or_else(|| format!("extent {name} is live and not there"))?;
        let slots = table
            .slots
            .range(SlotNumber::FIRST..)
            .map(|(slot, bytes)| (*slot, bytes.clone()));
        linked.insert(name);
        extent = truth.read(storage, &mut state, &mut last, name, slots.collect())?;
    }
    let is_orphan = |(name, _): &(&ExtentId, _)| !linked.contains(name);
    truth.orphans = storage
        .extents
        .iter()
        .filter(|(_, table)| table.header)
        .filter(is_orphan)
        .count() as u64;
    Ok(truth)
}

impl Truth {
    /// Reads one extent; returns where it leads.
    fn read(
        &mut self,
        storage: &Storage,
        state: &mut Heads,
        last: &mut Option<GroupId>,
        extent: ExtentId,
        slots: Vec<(SlotNumber, bytes::Bytes)>,
    ) -> Result<Option<ExtentId>, String> {
        self.extents += 1;
        for (expected, (slot, bytes)) in (1..).zip(slots) {
            if slot.0 != expected {
                break;
            }
            let group = Group::decode(&bytes, extent, slot).map_err(|why| why.to_string())?;
            if group.predecessor != *last {
                self.voids += 1;
                continue;
            }
            *last = Some(group.id);
            self.groups.push((group.id, group.time.0));
            let body = match group.body {
                GroupBody::Inline(body) => body,
                GroupBody::Blob { id, .. } => {
                    let name = GroupBody::blob_name(id);
                    storage
                        .blobs
                        .get(&name)
                        .cloned()
                        .ok_or_else(|| format!("{name} is missing"))?
                }
            };
            for entry in Entry::all(&body).map_err(|why| why.to_string())? {
                let stored = state.add(&entry)?;
                let mut heads = self.heads.last().cloned().unwrap_or_default();
                heads[stored.segment as usize] = stored.sequence;
                self.heads.push(heads);
                self.digests.push(state.digest);
                self.entries.push((entry, stored));
            }
            if group.seal.is_some() {
                return Ok(group.seal);
            }
        }
        Ok(None)
    }
}

fn all_history(storage: &Storage, root: &StoreRoot) -> Result<Vec<HistoryExtent>, String> {
    let mut all = root.history.clone();
    let mut older = root.older;
    while let Some(page) = older {
        let blob = storage
            .blobs
            .get(&page.blob_name())
            .ok_or("a page of the manifest is missing")?;
        let page = ManifestPage::decode(blob).map_err(|why| why.to_string())?;
        all.splice(0..0, page.history);
        older = page.older;
    }
    Ok(all)
}
