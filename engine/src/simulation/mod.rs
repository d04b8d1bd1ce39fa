//! A disk in memory that loses all that a real one may lose. One seed decides everything: which calls fail, the order
//! in which writes under way end, and what survives of unsynced writes and names after power loss.
//! - Unsynced writes, and those under way, survive power loss sector by sector ([`SECTOR_BYTES`]).
//! - After power loss, the part a file has grown by may hold bytes of other files.
//! - Unsynced names survive in the order of their changes, as in a journal, or in any order. Folders are created
//!   durably, as [`Disk::create_dir`] demands, and renamed with everything in them.
//! - A failed write leaves some of its sectors written. A failed sync loses the bytes it should have written, though
//!   they can still be read.
//! - Once the power is gone, no call succeeds: [`Simulated::after_power_loss`] is the disk of the next start.

mod content;
mod faults;
mod file;
mod names;
mod queue;
mod world;

use std::io;
use std::path::Path;
use std::sync::Arc;

pub use content::SECTOR_BYTES;
pub use faults::{Fault, Faults};
pub use world::{NamesLeft, Simulated};

use self::content::Content;
use self::faults::CallKind;
use self::file::Open;
use self::names::FOLDER;
use self::queue::SimulatedQueue;
use self::world::{Lock, missing};
use crate::disk::{Disk, DiskFile, DiskLock, LogFile, OpenMode, WriteQueue};

impl Simulated {
    fn open_file(&self, path: &Path, create: bool) -> io::Result<Open> {
        let mut world = self.world();
        let call = if create { CallKind::Change } else { CallKind::Look };
        let what = if create { "make" } else { "open" };
        world.called(call, || format!("{what} {}", path.display()))?;
        if create {
            let number = world.next_number;
            world.next_number += 1;
            world.files.insert(number, Content::default());
            world.names.add(path, number);
        }
        let number = *world.names.live.get(path).ok_or_else(missing)?;
        if number == FOLDER {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(Open {
            path: path.to_owned(),
            number,
            disk: self.clone(),
        })
    }
}

impl Disk for Simulated {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.call(CallKind::Change)?;
        world.names.add_folder(path);
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut world = self.world();
        world.call(CallKind::Look)?;
        let mut names = Vec::new();
        for file in world.names.live.keys().filter_map(|file| file.strip_prefix(path).ok()) {
            let first = file.components().next();
            let first = first.map(|first| first.as_os_str().to_string_lossy().into_owned());
            if let Some(first) = first.filter(|first| names.last() != Some(first)) {
                names.push(first);
            }
        }
        Ok(names)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(self.open_file(path, mode == OpenMode::Create)?))
    }

    fn open_log(&self, path: &Path, create: bool) -> io::Result<Arc<dyn LogFile>> {
        Ok(Arc::new(self.open_file(path, create)?))
    }

    fn write_queue(&self, _held: Option<std::fs::File>) -> io::Result<Option<Box<dyn WriteQueue>>> {
        let queue = self.world().queue.then(|| SimulatedQueue::new(self.clone()));
        Ok(queue.map(|queue| Box::new(queue) as Box<dyn WriteQueue>))
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<Option<u64>> {
        let world = self.world();
        Ok(world.room.map(|room| room.saturating_sub(world.used()) as u64))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.called(CallKind::Change, || {
            format!("rename {} to {}", from.display(), to.display())
        })?;
        if !world.names.live.contains_key(from) {
            return Err(missing());
        }
        world.names.rename(from, to);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.called(CallKind::Change, || format!("remove {}", path.display()))?;
        if !world.names.live.contains_key(path) {
            return Err(missing());
        }
        world.names.remove(path);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.called(CallKind::Change, || format!("remove folder {}", path.display()))?;
        if !world.names.is_empty(path) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        world.names.remove(path);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.called(CallKind::Change, || format!("sync names of {}", path.display()))?;
        world.names.sync(path);
        Ok(())
    }

    fn random(&self) -> u32 {
        let mut world = self.world();
        match &mut world.random {
            Some(random) => random.any() as u32,
            None => world.dice.any() as u32,
        }
    }

    fn lock(&self, _path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.call(CallKind::Look)?;
        if self.world().read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        Ok(Some(Box::new(Lock)))
    }
}
