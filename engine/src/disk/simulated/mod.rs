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

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

pub use content::SECTOR_BYTES;
pub use faults::{Fault, Faults};

use self::content::Content;
use self::faults::{Call, Failure};
use self::file::Open;
use self::names::{FOLDER, Names, Number};
use self::queue::Queue;
use super::{Disk, DiskFile, DiskLock, LogFile, OpenMode, WriteQueue};
use crate::dice::Dice;
use crate::sync::{Mutex, MutexGuard};

struct World {
    names: Names,
    files: BTreeMap<Number, Content>,
    next_number: Number,
    dice: Dice,
    faults: Faults,
    /// The power is gone.
    dead: bool,
    /// Calls so far.
    calls: u64,
    /// Changes so far.
    changes: u64,
    /// Calls that failed.
    met: u64,
    /// Writes that left bytes which nobody wrote.
    garbage: u64,
    /// Bytes all files together may have, if not any number.
    room: Option<usize>,
    /// Has a queue for many writes at a time.
    queue: bool,
    /// Its users are threads, which wait.
    threads: bool,
    /// Its files do not go through that queue.
    refuses_direct: bool,
    /// Writes of the queue that are under way, by their tickets.
    flying: BTreeMap<u64, (Number, usize, Vec<u8>)>,
    most_flying: usize,
    trace: bool,
    random: Option<Dice>,
    /// Nothing can be written, not even a lock.
    read_only: bool,
    /// Bytes that cannot be read, nor the block each stands in.
    lost: Vec<(Number, usize)>,
}

/// The disk; clones share it.
#[derive(Clone)]
pub struct Simulated(Arc<Mutex<World>>);

struct Lock;
impl DiskLock for Lock {}

/// What is left of unsynced names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NamesLeft {
    /// The first so many changes.
    First(usize),
    /// Any of them.
    Any,
}

impl Default for Simulated {
    fn default() -> Self {
        Self::new(1)
    }
}

impl Simulated {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        Self::holding(Names::default(), BTreeMap::new(), Dice::new(seed))
    }

    fn holding(names: Names, files: BTreeMap<Number, Content>, dice: Dice) -> Self {
        Self(Arc::new(Mutex::new(World {
            next_number: files.keys().next_back().map_or(1, |last| last + 1),
            names,
            files,
            dice,
            faults: Faults::default(),
            dead: false,
            calls: 0,
            changes: 0,
            met: 0,
            garbage: 0,
            room: None,
            queue: false,
            threads: true,
            refuses_direct: false,
            flying: BTreeMap::new(),
            most_flying: 0,
            trace: false,
            random: None,
            read_only: false,
            lost: Vec::new(),
        })))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides which calls fail from here on.
    pub fn set_faults(&self, faults: Faults) {
        self.world().faults = faults;
    }

    /// Lets so many more changes succeed; every call after that fails.
    pub fn cut_power_after(&self, changes: u64) {
        self.world().faults.power = Some(changes);
    }

    /// Lets every change fail from here on, and reads go on.
    pub fn refuse_changes(&self) {
        self.world().faults.refuses_after = Some(0);
    }

    /// Nothing fails any more. What was written stays as it is: a process died, not the host.
    pub fn restore_power(&self) {
        let mut world = self.world();
        (world.faults, world.dead) = (Faults::default(), false);
    }

    /// Whether the power is gone.
    pub fn is_without_power(&self) -> bool {
        self.world().dead
    }

    /// No call has any effect from here on: whoever used the disk is dead.
    pub fn kill(&self) {
        self.world().dead = true;
    }

    /// Calls that failed so far.
    pub fn faults_met(&self) -> u64 {
        self.world().met
    }

    /// Writes that left bytes which nobody wrote, so far.
    pub fn garbage_met(&self) -> u64 {
        self.world().garbage
    }

    /// Gives all files together room for `bytes`; what would take more is refused.
    pub fn set_room(&self, bytes: Option<usize>) {
        self.world().room = bytes;
    }

    /// Has a queue for many writes at a time, of a thread that may wait, or of a simulation without.
    pub fn queue_writes(&self, threads: bool) {
        let mut world = self.world();
        (world.queue, world.threads) = (true, threads);
    }

    /// From now on its files are such as the queue does not write beside others.
    pub fn refuse_direct(&self) {
        self.world().refuses_direct = true;
    }

    /// Decides the numbers that else nobody could foresee.
    pub fn seed_random(&self, seed: u64) {
        self.world().random = Some(Dice::new(seed));
    }

    /// Tells of every change.
    pub fn trace(&self) {
        self.world().trace = true;
    }

    /// Most writes of the queue that were under way at a time.
    pub fn most_under_way(&self) -> usize {
        self.world().most_flying
    }

    /// Bytes of all files.
    pub fn used(&self) -> usize {
        self.world().used()
    }

    /// Changes so far.
    pub fn changes(&self) -> u64 {
        self.world().changes
    }

    /// Calls so far, for [`Faults::at`].
    pub fn calls(&self) -> u64 {
        self.world().calls
    }

    /// All files as they are read.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let world = self.world();
        let files = world.names.live.iter().filter(|(_, number)| **number != FOLDER);
        files
            .map(|(path, number)| (path.clone(), world.files[number].live.to_vec()))
            .collect()
    }

    /// A disk that holds these files, durably.
    pub fn with_files(seed: u64, files: impl IntoIterator<Item = (PathBuf, Vec<u8>)>) -> Self {
        let (mut names, mut contents) = (BTreeMap::new(), BTreeMap::new());
        for (number, (path, bytes)) in (1..).zip(files) {
            names.insert(path, number);
            contents.insert(number, Content::of(bytes));
        }
        Self::holding(Names::of(names), contents, Dice::new(seed))
    }

    /// Changes a file behind everybody's back.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut world = self.world();
        let number = world.names.live.get(path).copied();
        if let Some(content) = number.and_then(|number| world.files.get_mut(&number)) {
            let mut bytes = content.live.to_vec();
            change(&mut bytes);
            *content = Content::of(bytes);
        }
    }

    /// From now on it is as one that was mounted for reading only, as far as locks go.
    pub fn allow_no_locks(&self) {
        self.world().read_only = true;
    }

    /// From now on, the device cannot read the block of 4 KiB that a byte of a file stands in.
    pub fn lose(&self, path: &Path, byte: usize) {
        let mut world = self.world();
        let number = world.names.live.get(path).copied();
        world.lost.extend(number.map(|number| (number, byte)));
    }

    /// Another disk that holds the same, with the same that is unsynced.
    pub fn copy(&self) -> Self {
        let mut world = self.world();
        let dice = Dice::new(world.dice.any());
        Self::holding(world.names.clone(), world.files.clone(), dice)
    }

    /// The disk after the process that used it was killed: what was written can be read, whether it was synced or not, and
    /// of writes under way some sectors.
    pub fn after_kill(&self) -> Self {
        let mut world = self.world();
        let mut files = world.files.clone();
        let flying = world.flying.clone();
        for (number, offset, bytes) in flying.into_values() {
            let odds = world.dice.below(5);
            if let Some(content) = files.get_mut(&number) {
                content.tear(offset, &bytes, true, || world.dice.chance(odds, 4));
            }
        }
        Self::holding(world.names.clone(), files, Dice::new(world.dice.any()))
    }

    /// The disk after power loss.
    pub fn after_power_loss(&self) -> Self {
        let mut world = self.world();
        let names = match world.dice.below(4) {
            0 => NamesLeft::Any,
            1 => NamesLeft::First(0),
            _ => {
                let changes = world.names.unsynced() as u64 + 1;
                NamesLeft::First(world.dice.below(changes) as usize)
            }
        };
        let names = world.names_left(names);
        let odds = world.dice.below(5);
        let flying = std::mem::take(&mut world.flying);
        let mut files = BTreeMap::new();
        for &number in names.values().filter(|&&number| number != FOLDER) {
            let others = world.files.len() as u64;
            let stale = world.dice.below(others) as usize;
            let stale = world.files.values().nth(stale).map(|content| content.live.clone());
            let stale = stale.filter(|_| world.dice.chance(1, 4));
            let Some(mut content) = world.files.get(&number).cloned() else {
                continue;
            };
            for (of, offset, bytes) in flying.values() {
                if *of == number {
                    content.tear(*offset, bytes, true, || world.dice.chance(odds, 4));
                }
            }
            let left = content.after_power_loss(&mut world.dice, odds, stale.as_deref().map(Vec::as_slice));
            files.insert(number, Content::of(left));
        }
        world.flying = flying;
        Self::holding(Names::of(names), files, Dice::new(world.dice.any()))
    }

    /// The disk after power loss that took all it could.
    pub fn after_worst_power_loss(&self) -> Self {
        self.with_unsynced(NamesLeft::First(0), 0)
    }

    /// How many sectors of unsynced writes and writes under way there are, and how many unsynced changes of names.
    pub fn unsynced(&self) -> (usize, usize) {
        let world = self.world();
        let sectors: usize = world.contents_in_flight().values().map(Content::unsynced_sectors).sum();
        (sectors, world.names.unsynced())
    }

    /// The disk after power loss that left these names, and those unsynced sectors whose bit is set.
    pub fn with_unsynced(&self, names: NamesLeft, sectors: u64) -> Self {
        let mut world = self.world();
        let names = world.names_left(names);
        let mut first = 0;
        let mut files = BTreeMap::new();
        for (number, content) in world.contents_in_flight() {
            if names.values().any(|&named| named == number) {
                files.insert(number, Content::of(content.with_sectors(sectors, first)));
            }
            first += content.unsynced_sectors();
        }
        Self::holding(Names::of(names), files, Dice::new(world.dice.any()))
    }

    fn call(&self, call: Call) -> io::Result<()> {
        Ok(self.world().call(call)?)
    }
}

impl World {
    /// A call of which `what` tells whoever traces.
    fn called(&mut self, call: Call, what: impl FnOnce() -> String) -> Result<(), Failure> {
        let outcome = self.call(call);
        if self.trace {
            let failed = outcome.as_ref().err().map_or("", |_| ", which fails");
            eprintln!("       disk: {}{failed}", what());
        }
        outcome
    }

    fn call(&mut self, call: Call) -> Result<(), Failure> {
        let number = self.calls;
        self.calls += 1;
        self.changes += u64::from(call == Call::Change);
        match self.faults.meets(&mut self.dead, call, number, &mut self.dice) {
            None => Ok(()),
            Some(failure) => {
                self.met += 1;
                Err(failure)
            }
        }
    }

    fn used(&self) -> usize {
        let named = self.names.live.values().filter_map(|number| self.files.get(number));
        named.map(|content| content.live.len()).sum()
    }

    /// Refuses what would take more than there is room for.
    fn take_room(&mut self, number: Number, end: usize) -> io::Result<()> {
        let grows = end.saturating_sub(self.files[&number].live.len());
        match self.room {
            Some(room) if grows > 0 && self.used() + grows > room => {
                self.met += 1;
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    fn names_left(&mut self, names: NamesLeft) -> BTreeMap<PathBuf, Number> {
        match names {
            NamesLeft::First(changes) => self.names.with_first(changes),
            NamesLeft::Any => self.names.with_any(&mut self.dice),
        }
    }

    /// The files, with what is under way among what is unsynced.
    fn contents_in_flight(&self) -> BTreeMap<Number, Content> {
        let mut files = self.files.clone();
        for (number, offset, bytes) in self.flying.values() {
            if let Some(content) = files.get_mut(number) {
                content.write(*offset, bytes);
            }
        }
        files
    }

    fn content(&mut self, number: Number) -> &mut Content {
        self.files.entry(number).or_default()
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Simulated {
    fn open_file(&self, path: &Path, create: bool) -> io::Result<Open> {
        let mut world = self.world();
        let call = if create { Call::Change } else { Call::Look };
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
        world.call(Call::Change)?;
        world.names.add_folder(path);
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut world = self.world();
        world.call(Call::Look)?;
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
        let queue = self.world().queue.then(|| Queue::new(self.clone()));
        Ok(queue.map(|queue| Box::new(queue) as Box<dyn WriteQueue>))
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<Option<u64>> {
        let world = self.world();
        Ok(world.room.map(|room| room.saturating_sub(world.used()) as u64))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.called(Call::Change, || {
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
        world.called(Call::Change, || format!("remove {}", path.display()))?;
        if !world.names.live.contains_key(path) {
            return Err(missing());
        }
        world.names.remove(path);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.called(Call::Change, || format!("remove folder {}", path.display()))?;
        if !world.names.is_empty(path) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        world.names.remove(path);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.called(Call::Change, || format!("sync names of {}", path.display()))?;
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
        self.call(Call::Look)?;
        if self.world().read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        Ok(Some(Box::new(Lock)))
    }
}
