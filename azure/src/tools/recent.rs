//! The groups of the live extents, in their order: how much is written, and by whom.

use std::collections::BTreeMap;

use streamkit_engine::Timestamp;

use super::patience::patiently;
use super::report::LogUnread;
use crate::log::{Boot, Group, GroupBody, StoreRoot, is_tombstone};
use crate::medium::{Medium, RowsEnd, SlotNumber, Unanswered};

/// Bytes that a read of an extent asks for.
const READ: usize = 4 << 20;
/// Bytes of live extents that are read. A log whose collectors work has less.
const BYTES_MAX: u64 = 256 << 20;
/// Groups that are kept.
const GROUPS_MAX: usize = 100_000;

/// A group that counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RecentGroup {
    pub by: Boot,
    pub time: Timestamp,
    /// Of its slot and of its body, wherever that is.
    pub bytes: u64,
    /// Bytes of its body, if that is a blob.
    pub blob: Option<u64>,
}

/// What stands in the live extents.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Recent {
    /// The youngest groups that count, oldest first.
    pub groups: Vec<RecentGroup>,
    pub counted: u64,
    pub void: u64,
    pub extents: u64,
    pub slots: u64,
    pub bytes: u64,
    /// Whether all of it was read.
    pub is_whole: bool,
}

/// A start of a host that wrote something of late.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostSeen {
    /// Who.
    pub boot: Boot,
    /// Its groups that count.
    pub groups: u64,
    /// The commit time of the last of them.
    pub last: Timestamp,
}

/// Reads the root.
pub(super) async fn root(medium: &dyn Medium) -> Result<StoreRoot, LogUnread> {
    let root = match patiently(|| medium.read_root()).await {
        Err(Unanswered::Refused(why) | Unanswered::Damaged(why)) => return Err(LogUnread::Damaged(why)),
        root => root?.ok_or(LogUnread::NoStore)?,
    };
    if is_tombstone(&root.bytes) {
        return Err(LogUnread::Deleted);
    }
    StoreRoot::decode(&root.bytes).map_err(|why| LogUnread::Damaged(why.to_string()))
}

/// Reads the live extents, as far as they are whole: it ends without an error at what `verify` would tell.
pub(super) async fn recent(medium: &dyn Medium, root: &StoreRoot) -> Result<Recent, LogUnread> {
    let mut found = Recent::default();
    let mut last = root.live.predecessor;
    let mut extent = root.live.extent;
    'extents: loop {
        let mut next = SlotNumber::FIRST;
        found.extents += 1;
        loop {
            if found.bytes > BYTES_MAX {
                return Ok(found);
            }
            let rows = match patiently(|| medium.read_from(extent, next, READ)).await {
                Err(Unanswered::Refused(_) | Unanswered::Damaged(_)) => return Ok(found),
                rows => rows?,
            };
            let before = next;
            for (slot, bytes) in rows.rows {
                if slot != next {
                    break;
                }
                next = next.next();
                found.slots += 1;
                found.bytes += bytes.len() as u64;
                let Ok(group) = Group::decode(&bytes, extent, slot) else {
                    return Ok(found);
                };
                if group.predecessor != last {
                    found.void += 1;
                    continue;
                }
                last = Some(group.id);
                found.take(&group, bytes.len() as u64);
                if let Some(sealed) = group.seal {
                    extent = sealed;
                    continue 'extents;
                }
            }
            match rows.end {
                RowsEnd::Early if next > before => {}
                end => {
                    found.is_whole = end == RowsEnd::Header;
                    return Ok(found);
                }
            }
        }
    }
}

impl Recent {
    fn take(&mut self, group: &Group, slot_bytes: u64) {
        let blob = match group.body {
            GroupBody::Inline(_) => None,
            GroupBody::Blob { length, .. } => Some(length),
        };
        self.counted += 1;
        if self.groups.len() == GROUPS_MAX {
            self.groups.drain(..GROUPS_MAX / 2);
        }
        self.groups.push(RecentGroup {
            by: group.id.by,
            time: group.time,
            bytes: slot_bytes + blob.unwrap_or(0),
            blob,
        });
    }

    /// Who wrote them, the last one first.
    pub fn hosts(&self) -> Vec<HostSeen> {
        let mut seen: BTreeMap<Boot, HostSeen> = BTreeMap::new();
        for group in &self.groups {
            let host = seen.entry(group.by).or_insert(HostSeen {
                boot: group.by,
                groups: 0,
                last: group.time,
            });
            host.groups += 1;
            host.last = group.time;
        }
        let mut hosts: Vec<_> = seen.into_values().collect();
        hosts.sort_by_key(|host| std::cmp::Reverse(host.last));
        hosts
    }
}
