//! The simulated storage: what is there, and how each call changes it. Reads of several pages and removals of several rows take several steps,
//! between which others change things.

use std::collections::BTreeMap;

use bytes::Bytes;
use streamkit_engine::Timestamp;

use crate::log::{Call, Said};
use crate::medium::{
    BlobName, Created, ExtentId, Inserted, Put, Root, RootVersion, Rows, RowsEnd, SlotBefore, SlotNumber, Swapped,
};

/// An extent as it stands in the table.
#[derive(Default)]
pub struct ExtentRows {
    pub header: bool,
    pub slots: BTreeMap<SlotNumber, Bytes>,
}

/// What the service has.
#[derive(Default)]
pub struct Storage {
    pub root: Option<Root>,
    pub extents: BTreeMap<ExtentId, ExtentRows>,
    pub blobs: BTreeMap<BlobName, Bytes>,
    versions: u64,
}

/// A call that is being carried out.
pub enum Work {
    /// In one step.
    Once(Call),
    /// A page at a time.
    Reading {
        extent: ExtentId,
        from: SlotNumber,
        /// The first slot of the next page.
        next: SlotNumber,
        most: usize,
        rows: Vec<(SlotNumber, Bytes)>,
    },
    /// A row at a time.
    Retiring(ExtentId),
}

/// What a step came to.
pub enum Step {
    Done(Said),
    /// Another step is needed.
    More(Work),
}

impl Work {
    pub fn new(call: Call) -> Self {
        match call {
            Call::ReadFrom(extent, from, most) => Self::Reading {
                extent,
                from,
                next: from,
                most,
                rows: Vec::new(),
            },
            Call::RetireExtent(extent) => Self::Retiring(extent),
            other => Self::Once(other),
        }
    }
}

impl Storage {
    /// Carries out the next step. A page has so many rows.
    pub fn step(&mut self, work: Work, page: u64, time: Timestamp) -> Step {
        match work {
            Work::Once(call) => Step::Done(self.once(call, time)),
            Work::Reading {
                extent,
                from,
                next,
                most,
                rows,
            } => self.read_page(extent, from, next, most, rows, page),
            Work::Retiring(extent) => self.remove_row(extent),
        }
    }

    fn once(&mut self, call: Call, time: Timestamp) -> Said {
        match call {
            Call::CreateExtent(extent, first) => Said::Created(self.create(extent, first)),
            Call::InsertAt(extent, slot, bytes, before) => Said::Inserted(self.insert(extent, slot, bytes, before)),
            Call::ReadRoot => Said::Root(self.root.clone()),
            Call::SwapRoot(expected, bytes) => Said::Swapped(self.swap(expected, bytes)),
            Call::PutBlob(name, bytes) => match self.blobs.contains_key(&name) {
                true => Said::Put(Put::Taken),
                false => {
                    self.blobs.insert(name, bytes);
                    Said::Put(Put::Done)
                }
            },
            Call::GetBlob(name) => Said::Blob(self.blobs.get(&name).cloned()),
            Call::DeleteBlob(name) => {
                self.blobs.remove(&name);
                Said::Deleted
            }
            Call::ServiceTime => Said::Time(Timestamp(time.0 / 1000 * 1000)),
            Call::ReadFrom(..) | Call::RetireExtent(_) => unreachable!("these take several steps"),
        }
    }

    fn create(&mut self, extent: ExtentId, first: Bytes) -> Created {
        let table = self.extents.entry(extent).or_default();
        if table.header || table.slots.contains_key(&SlotNumber::ZERO) {
            return Created::Taken;
        }
        table.header = true;
        table.slots.insert(SlotNumber::ZERO, first);
        Created::Done
    }

    fn insert(&mut self, extent: ExtentId, slot: SlotNumber, bytes: Bytes, before: SlotBefore) -> Inserted {
        let table = self.extents.entry(extent).or_default();
        if !table.header {
            return Inserted::Retired;
        }
        // Nobody deletes slots here, so whoever knows of one is right.
        let known = slot.before().filter(|_| before == SlotBefore::Known);
        assert!(
            known.is_none_or(|known| table.slots.contains_key(&known)),
            "slot {slot} of extent {extent}: the one before it is said to be there"
        );
        if table.slots.contains_key(&slot) {
            return Inserted::Taken;
        }
        table.slots.insert(slot, bytes);
        Inserted::Done
    }

    fn swap(&mut self, expected: Option<RootVersion>, bytes: Bytes) -> Swapped {
        if self.root.as_ref().map(|root| &root.version) != expected.as_ref() {
            return Swapped::Lost;
        }
        self.versions += 1;
        let version = RootVersion(self.versions.to_string());
        self.root = Some(Root {
            bytes,
            version: version.clone(),
        });
        Swapped::Done(version)
    }

    fn read_page(
        &mut self,
        extent: ExtentId,
        from: SlotNumber,
        next: SlotNumber,
        most: usize,
        mut rows: Vec<(SlotNumber, Bytes)>,
        page: u64,
    ) -> Step {
        let table = self.extents.entry(extent).or_default();
        // The header comes behind all slots.
        let mut left = page;
        for (slot, bytes) in table.slots.range(next..) {
            if left == 0 {
                break;
            }
            left -= 1;
            rows.push((*slot, bytes.clone()));
        }
        let is_last = left > 0;
        let has_header = table.header;
        let held: usize = rows.iter().map(|(_, bytes)| bytes.len()).sum();
        let has_first = rows.first().is_some_and(|(slot, _)| *slot == from);
        let end = match is_last {
            true if has_header => RowsEnd::Header,
            true => RowsEnd::Nothing,
            false if held >= most && has_first => RowsEnd::Early,
            false => {
                let next = rows.last().map_or(next, |(slot, _)| slot.next());
                return Step::More(Work::Reading {
                    extent,
                    from,
                    next,
                    most,
                    rows,
                });
            }
        };
        Step::Done(Said::Rows(Rows { rows, end }))
    }

    /// The header first, then the slots, but not slot 0.
    fn remove_row(&mut self, extent: ExtentId) -> Step {
        let table = self.extents.entry(extent).or_default();
        if std::mem::take(&mut table.header) {
            return Step::More(Work::Retiring(extent));
        }
        match table
            .slots
            .range(SlotNumber::FIRST..)
            .next_back()
            .map(|(slot, _)| *slot)
        {
            Some(slot) => {
                table.slots.remove(&slot);
                Step::More(Work::Retiring(extent))
            }
            None => Step::Done(Said::Retired),
        }
    }
}
