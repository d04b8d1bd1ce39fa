//! An open file of the disk.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::faults::{CallKind, Failure};
use super::names::Number;
use super::world::Simulated;
use crate::disk::blocks::Blocks;
use crate::disk::{DiskFile, LogFile};
use crate::runtime::sync::thread;

pub(super) struct Open {
    pub(super) path: PathBuf,
    pub(super) number: Number,
    pub(super) disk: Simulated,
}

impl Open {
    /// A write, of which some sectors land though it fails.
    fn put(&self, offset: u64, bytes: &[u8], durably: bool) -> io::Result<()> {
        let mut world = self.disk.world();
        let world = &mut *world;
        let offset = offset as usize;
        world.take_room(self.number, offset + bytes.len())?;
        let length = bytes.len();
        let how = if durably { "durably" } else { "into the page cache" };
        let what = || format!("write {} {offset}+{length} {how}", self.path.display());
        if let Err(failure) = world.called(CallKind::Change, what) {
            let Failure::Torn(error) = failure else {
                return Err(failure.into());
            };
            let odds = world.dice.below(5);
            let content = world.files.entry(self.number).or_default();
            if world.dead {
                // What is left of it is decided when the power is back.
                content.write(offset, bytes);
            } else if durably && world.dice.chance(world.faults.garbage, 4) {
                let garbage: Vec<u8> = bytes.iter().map(|_| world.dice.any() as u8).collect();
                content.write_durably(offset, &garbage);
                world.garbage += 1;
            } else if durably && world.dice.chance(1, 4) {
                // A write and a sync that failed, where there are no durable writes.
                content.write(offset, bytes);
                content.fail_sync();
            } else {
                content.tear(offset, bytes, durably, || world.dice.chance(odds, 4));
            }
            return Err(error);
        }
        match durably {
            true => world.content(self.number).write_durably(offset, bytes),
            false => world.content(self.number).write(offset, bytes),
        }
        Ok(())
    }

    /// A write of the queue reaches the device.
    pub(super) fn land(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        assert!(
            offset.is_multiple_of(4096) && blocks.len().is_multiple_of(4096),
            "whole blocks"
        );
        let size = self.disk.world().content(self.number).live.len() as u64;
        assert!(offset + blocks.len() as u64 <= size, "the size does not change");
        self.put(offset, blocks, true)
    }
}

impl LogFile for Open {
    fn path(&self) -> &PathBuf {
        &self.path
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn is_queueable(&self) -> bool {
        !self.disk.world().refuses_direct
    }

    fn write(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        let (queue, threads) = {
            let world = self.disk.world();
            (world.queue, world.threads)
        };
        if queue && threads {
            // As long as it takes others to queue something.
            thread::sleep(Duration::from_micros(100));
        }
        self.land(offset, blocks)
    }

    fn grow(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        self.put(offset, blocks, false)
    }

    fn allocate(&self, size: u64) -> io::Result<bool> {
        let mut world = self.disk.world();
        world.take_room(self.number, size as usize)?;
        Ok(false)
    }

    fn settle(&self, size: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        world.called(CallKind::Change, || format!("cut {} to {size}", self.path.display()))?;
        world.content(self.number).cut(size as usize);
        drop(world);
        self.sync_all()
    }
}

impl DiskFile for Open {
    fn path(&self) -> &PathBuf {
        &self.path
    }

    fn size(&self) -> io::Result<u64> {
        let mut world = self.disk.world();
        world.call(CallKind::Look)?;
        Ok(world.content(self.number).live.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut world = self.disk.world();
        world.call(CallKind::Look)?;
        let lost = world.lost.iter().filter(|&&(number, _)| number == self.number);
        let mut blocks = lost.map(|&(_, byte)| byte as u64 / 4096 * 4096);
        if blocks.any(|block| block < offset + buffer.len() as u64 && offset < block + 4096) {
            return Err(io::Error::other("the device cannot read this block"));
        }
        let content = world.content(self.number);
        let from = content.live.get(offset as usize..).unwrap_or_default();
        let length = from.len().min(buffer.len());
        buffer[..length].copy_from_slice(&from[..length]);
        Ok(length)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.put(offset, bytes, false)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(false)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync(true)
    }
}

impl Open {
    fn sync(&self, size: bool) -> io::Result<()> {
        let mut world = self.disk.world();
        let outcome = world.called(CallKind::Change, || format!("sync {}", self.path.display()));
        let dead = world.dead;
        let content = world.content(self.number);
        match &outcome {
            Ok(()) => content.sync(size),
            // Without power there is no page cache either: what it held is unsynced.
            Err(Failure::Torn(_)) if !dead => content.fail_sync(),
            Err(_) => {}
        }
        Ok(outcome?)
    }
}
