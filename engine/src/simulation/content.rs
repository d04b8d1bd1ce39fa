//! The contents of a file, as readers see them and as power loss would leave them.

use std::sync::Arc;

use crate::runtime::dice::Dice;

/// What a device writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;

/// A write that power loss may undo, sector by sector.
#[derive(Clone)]
struct Unsynced {
    offset: usize,
    bytes: Vec<u8>,
}

#[derive(Clone, Default)]
pub(super) struct Content {
    /// As it is read. Copies of a disk share what neither has changed.
    pub(super) live: Arc<Vec<u8>>,
    /// As it is on the device for sure.
    durable: Arc<Vec<u8>>,
    /// Writes since then, oldest first.
    unsynced: Vec<Unsynced>,
}

/// The sectors of a write at `offset`: their ranges in its bytes.
fn sectors(offset: usize, length: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let end = ((offset + at) / SECTOR_BYTES + 1) * SECTOR_BYTES - offset;
        let sector = at..end.min(length);
        at = sector.end;
        (!sector.is_empty()).then_some(sector)
    })
}

fn put(bytes: &mut Arc<Vec<u8>>, offset: usize, new: &[u8]) {
    let bytes = Arc::make_mut(bytes);
    let end = offset + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(new);
}

impl Content {
    pub(super) fn of(bytes: impl Into<Arc<Vec<u8>>>) -> Self {
        let bytes = bytes.into();
        Self {
            live: Arc::clone(&bytes),
            durable: bytes,
            unsynced: Vec::new(),
        }
    }

    /// A write into the page cache.
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        put(&mut self.live, offset, bytes);
        let bytes = bytes.to_vec();
        self.unsynced.push(Unsynced { offset, bytes });
    }

    /// A write that is on the device when it ends.
    pub(super) fn write_durably(&mut self, offset: usize, bytes: &[u8]) {
        put(&mut self.live, offset, bytes);
        put(&mut self.durable, offset, bytes);
        // What stood in the page cache went there before it.
        self.forget(offset, bytes.len());
    }

    /// Part of a write that failed: those sectors that `lands` chooses.
    pub(super) fn tear(&mut self, offset: usize, bytes: &[u8], durably: bool, mut lands: impl FnMut() -> bool) {
        for sector in sectors(offset, bytes.len()) {
            if lands() {
                let (at, bytes) = (offset + sector.start, &bytes[sector]);
                if durably {
                    self.write_durably(at, bytes);
                } else {
                    self.write(at, bytes);
                }
            }
        }
    }

    /// Older writes no longer count for a range that was written durably.
    fn forget(&mut self, offset: usize, length: usize) {
        if self.unsynced.is_empty() {
            return;
        }
        let (from, to) = (offset, offset + length);
        let mut left = Vec::new();
        for write in std::mem::take(&mut self.unsynced) {
            let (start, end) = (write.offset, write.offset + write.bytes.len());
            if start < from {
                let bytes = write.bytes[..end.min(from) - start].to_vec();
                left.push(Unsynced { offset: start, bytes });
            }
            if end > to {
                let offset = start.max(to);
                let bytes = write.bytes[offset - start..].to_vec();
                left.push(Unsynced { offset, bytes });
            }
        }
        self.unsynced = left;
    }

    /// All is on the device; without `size`, only what lies in what was the file before.
    pub(super) fn sync(&mut self, size: bool) {
        let mut left = Vec::new();
        for Unsynced { offset, bytes } in std::mem::take(&mut self.unsynced) {
            let within = match size {
                true => bytes.len(),
                false => self.durable.len().saturating_sub(offset).min(bytes.len()),
            };
            if within > 0 {
                put(&mut self.durable, offset, &bytes[..within]);
            }
            if within < bytes.len() {
                let (offset, bytes) = (offset + within, bytes[within..].to_vec());
                left.push(Unsynced { offset, bytes });
            }
        }
        self.unsynced = left;
        if size && self.durable.len() != self.live.len() {
            Arc::make_mut(&mut self.durable).resize(self.live.len(), 0);
        }
    }

    /// A sync that failed, as Linux does it: the pages are taken for clean, so no later sync writes them.
    pub(super) fn fail_sync(&mut self) {
        self.unsynced.clear();
    }

    /// As a journal does it: what was cut off does not come back, the rest is as durable as before.
    pub(super) fn cut(&mut self, size: usize) {
        Arc::make_mut(&mut self.live).resize(size, 0);
        Arc::make_mut(&mut self.durable).truncate(size);
        for write in &mut self.unsynced {
            write.bytes.truncate(size.saturating_sub(write.offset));
        }
    }

    /// What is on the device after power loss, of each unsynced write the sectors that the dice choose. A sector that did
    /// not make it into what the file had grown by holds zeros, or whatever stood there before: something of `stale`.
    pub(super) fn after_power_loss(&self, dice: &mut Dice, odds: u64, stale: Option<&[u8]>) -> Arc<Vec<u8>> {
        let mut bytes = Arc::clone(&self.durable);
        for write in &self.unsynced {
            for sector in sectors(write.offset, write.bytes.len()) {
                let (at, new) = (write.offset + sector.start, &write.bytes[sector]);
                if dice.chance(odds, 4) {
                    put(&mut bytes, at, new);
                } else if at >= self.durable.len()
                    && let Some(old) = stale.and_then(|stale| stale.get(at..at + new.len()))
                    && dice.chance(1, 2)
                {
                    put(&mut bytes, at, old);
                }
            }
        }
        bytes
    }

    /// As [`Content::after_power_loss`], but the caller chooses: sectors of unsynced writes, oldest first.
    pub(super) fn unsynced_sectors(&self) -> usize {
        let sectors = |write: &Unsynced| sectors(write.offset, write.bytes.len()).count();
        self.unsynced.iter().map(sectors).sum()
    }

    /// The content with the unsynced sectors whose bit is set in `chosen`, counted from `first`; after 64 sectors the bits
    /// begin anew.
    pub(super) fn with_sectors(&self, chosen: u64, mut first: usize) -> Arc<Vec<u8>> {
        let mut bytes = Arc::clone(&self.durable);
        for write in &self.unsynced {
            for sector in sectors(write.offset, write.bytes.len()) {
                if chosen >> (first % 64) & 1 == 1 {
                    put(&mut bytes, write.offset + sector.start, &write.bytes[sector]);
                }
                first += 1;
            }
        }
        bytes
    }
}
