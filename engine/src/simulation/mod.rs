//! A disk in memory that loses what may be lost. One seed decides everything: which calls fail, in what order writes under
//! way end, and what is left of unsynced writes and names after power loss. What it is like:
//! - writes that were not synced survive power loss sector by sector, of [`SECTOR_BYTES`]; so do those under way;
//! - after power loss, what a file had grown by may hold bytes of other files;
//! - names that were not synced survive in the order of their changes, as in a journal, or in any; folders are made durably, as
//!   [`Disk::create_dir`] has it, and renamed with all that is in them;
//! - a write that fails leaves some of its sectors written; a sync that fails loses what it should have written, though it
//!   can still be read;
//! - once the power is gone, no call succeeds: [`Simulated::after_power_loss`] is the disk of the next start.

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
