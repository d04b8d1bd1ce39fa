//! Logs that are laid out by hand on the emulator, group by group, so that a test knows all that stands there and can damage any of it.

use std::sync::Arc;

use bytes::Bytes;
use streamkit_azure::log::{
    Boot, Checkpoint, CheckpointAt, Group, GroupBody, GroupId, HistoryExtent, LiveExtent, ManifestPage, OlderHistory,
    Place, SealedExtent, StoreRoot, first_slot,
};
use streamkit_azure::medium::azure::AzureMedium;
use streamkit_azure::medium::{BlobKind, BlobName, ExtentId, Medium as _, SlotBefore, SlotNumber, Swapped};
use streamkit_engine::{StoreId, Timestamp};
use uuid::Uuid;

use crate::support::OnEmulator;

/// Extents of the log; the first two are history, of which the first stands in a page of the manifest.
pub const EXTENTS: u64 = 4;
/// Extents of these that are history.
pub const HISTORY: u64 = 2;
/// Slots of each extent, the seal, too.
pub const SLOTS: u64 = 5;
/// The slot of each extent that holds a void group.
pub const VOID: u64 = 2;

/// A log of four extents, with two hosts that wrote it.
pub struct LaidOut {
    pub store: StoreId,
    pub medium: AzureMedium,
    pub extents: Vec<ExtentId>,
    /// The slots of each, from 1.
    pub slots: Vec<Vec<Bytes>>,
    pub history: Vec<HistoryExtent>,
    pub page: Uuid,
    pub checkpoint: Checkpoint,
    pub checkpoint_blob: Uuid,
    pub body_blob: Uuid,
    pub root: StoreRoot,
}

/// What may be laid out differently.
#[derive(Default)]
pub struct Twist {
    /// The commit time of the last group goes back.
    pub time_goes_back: bool,
    /// The last group of the history names another extent.
    pub other_seal: bool,
    /// The live extent follows another group.
    pub other_predecessor: bool,
    /// The checkpoint names another group.
    pub other_checkpoint: bool,
    /// The groups that do not count were made behind those of another start.
    pub other_start: bool,
}

impl LaidOut {
    pub async fn new(on: &OnEmulator) -> Self {
        Self::twisted(on, Twist::default()).await
    }

    pub async fn twisted(on: &OnEmulator, twist: Twist) -> Self {
        let store = StoreId(Uuid::new_v4());
        let medium = AzureMedium::new(Arc::clone(&on.account), store);
        let laid = Self::planned(store, medium, &twist);
        laid.write().await;
        laid.swap(None).await;
        laid
    }

    fn planned(store: StoreId, medium: AzureMedium, twist: &Twist) -> Self {
        let boots = [1, 2].map(|host| Boot {
            host: Uuid::from_u128(host),
            boot: Uuid::from_u128(host + 10),
        });
        let extents: Vec<_> = (0..EXTENTS).map(|_| ExtentId(Uuid::new_v4())).collect();
        let body_blob = Uuid::new_v4();
        let (mut slots, mut seals) = (Vec::new(), Vec::new());
        let (mut last, mut number, mut time) = (None, 0, 1_000);
        let mut checkpoint = None;
        for (at, extent) in extents.iter().enumerate() {
            let ordinal = at as u64 + 1;
            let mut own = Vec::new();
            for slot in 1..=SLOTS {
                let slot = SlotNumber(slot);
                number += 1;
                time += 1_000;
                let id = GroupId {
                    by: boots[number as usize % 2],
                    number,
                };
                let is_last = ordinal == EXTENTS && slot.0 == SLOTS;
                let body = match (ordinal, slot.0) {
                    (1, 1) => GroupBody::in_blob(body_blob, &large_body()),
                    _ => GroupBody::Inline(Bytes::from(format!("body {number}"))),
                };
                let named = extents.get(at + 1).copied().filter(|_| slot.0 == SLOTS);
                let is_void = slot.0 == VOID;
                let group = Group {
                    id,
                    extent: *extent,
                    slot,
                    predecessor: match is_void {
                        true => Some(GroupId {
                            by: boots[(number as usize + usize::from(twist.other_start)) % 2],
                            number: 9_999,
                        }),
                        false => last,
                    },
                    time: Timestamp(if is_last && twist.time_goes_back { 5 } else { time }),
                    seal: match twist.other_seal && ordinal == HISTORY {
                        true => named.map(|_| ExtentId(Uuid::from_u128(77))),
                        false => named,
                    },
                    body,
                };
                own.push(group.encode());
                if !is_void {
                    last = Some(id);
                }
                if (ordinal, slot.0) == (HISTORY + 1, 3) {
                    checkpoint = Some(Checkpoint {
                        place: Place::begin(ordinal, *extent).behind(None).behind(None).behind(None),
                        last: if twist.other_checkpoint { None } else { last },
                        time: Timestamp(time),
                        ledger: Bytes::from_static(b"state"),
                    });
                }
            }
            slots.push(own);
            seals.push(last);
        }
        let history: Vec<_> = (0..HISTORY as usize)
            .map(|at| HistoryExtent {
                ordinal: at as u64 + 1,
                extent: extents[at],
                blob: Uuid::new_v4(),
                checksum: crc32fast::hash(&sealed(extents[at], &slots[at])),
            })
            .collect();
        let checkpoint = checkpoint.unwrap();
        let (page, checkpoint_blob) = (Uuid::new_v4(), Uuid::new_v4());
        let root = StoreRoot {
            change: Uuid::new_v4(),
            live: LiveExtent {
                ordinal: HISTORY + 1,
                extent: extents[HISTORY as usize],
                predecessor: match twist.other_predecessor {
                    true => None,
                    false => seals[HISTORY as usize - 1],
                },
            },
            checkpoint: Some(CheckpointAt {
                blob: checkpoint_blob,
                place: checkpoint.place,
            }),
            history: history[1..].to_vec(),
            older: Some(OlderHistory { blob: page, last: 1 }),
            retiring: Vec::new(),
        };
        Self {
            store,
            medium,
            extents,
            slots,
            history,
            page,
            checkpoint,
            checkpoint_blob,
            body_blob,
            root,
        }
    }

    async fn write(&self) {
        for listed in &self.history {
            let at = listed.ordinal as usize - 1;
            let bytes = sealed(listed.extent, &self.slots[at]);
            self.put(BlobKind::History, listed.blob, bytes).await;
        }
        let page = ManifestPage {
            history: self.history[..1].to_vec(),
            older: None,
        };
        self.put(BlobKind::Manifest, self.page, page.encode()).await;
        self.put(BlobKind::Checkpoint, self.checkpoint_blob, self.checkpoint.encode())
            .await;
        self.put(BlobKind::Body, self.body_blob, large_body()).await;
        for at in HISTORY as usize..EXTENTS as usize {
            self.lay(at).await;
        }
    }

    /// Makes a live extent of the log.
    async fn lay(&self, at: usize) {
        let by = Boot {
            host: Uuid::from_u128(1),
            boot: Uuid::from_u128(11),
        };
        self.medium
            .create_extent(self.extents[at], first_slot(by))
            .await
            .unwrap();
        for (slot, bytes) in (1..).map(SlotNumber).zip(&self.slots[at]) {
            self.medium
                .insert_at(self.extents[at], slot, bytes.clone(), SlotBefore::Known)
                .await
                .unwrap();
        }
    }

    /// Makes the third extent history, as a collector does.
    pub async fn collect(&mut self) {
        let at = HISTORY as usize;
        let before = self.medium.read_root().await.unwrap().unwrap();
        let bytes = sealed(self.extents[at], &self.slots[at]);
        let listed = HistoryExtent {
            ordinal: HISTORY + 1,
            extent: self.extents[at],
            blob: Uuid::new_v4(),
            checksum: crc32fast::hash(&bytes),
        };
        self.put(BlobKind::History, listed.blob, bytes).await;
        let seal = self.slots[at].last().unwrap();
        let seal = Group::decode(seal, self.extents[at], SlotNumber(SLOTS)).unwrap();
        self.root.history.push(listed);
        self.root.live = LiveExtent {
            ordinal: HISTORY + 2,
            extent: self.extents[at + 1],
            predecessor: Some(seal.id),
        };
        self.swap(Some(before.version)).await;
        self.medium.retire_extent(self.extents[at]).await.unwrap();
    }

    async fn swap(&self, expected: Option<streamkit_azure::medium::RootVersion>) {
        let swapped = self.medium.swap_root(expected, self.root.encode()).await.unwrap();
        assert!(matches!(swapped, Swapped::Done(_)), "{swapped:?}");
    }

    pub async fn put(&self, kind: BlobKind, id: Uuid, bytes: Bytes) {
        self.medium.put_blob(BlobName { kind, id }, bytes).await.unwrap();
    }

    /// Other bytes under a name, which nobody else would write.
    pub async fn replace(&self, kind: BlobKind, id: Uuid, bytes: Bytes) {
        self.delete(kind, id).await;
        self.put(kind, id, bytes).await;
    }

    pub async fn delete(&self, kind: BlobKind, id: Uuid) {
        self.medium.delete_blob(BlobName { kind, id }).await.unwrap();
    }
}

/// A body that stands in a blob.
pub fn large_body() -> Bytes {
    Bytes::from(vec![7; 10_000])
}

fn sealed(extent: ExtentId, slots: &[Bytes]) -> Bytes {
    let slots = slots.to_vec();
    SealedExtent { extent, slots }.encode()
}
