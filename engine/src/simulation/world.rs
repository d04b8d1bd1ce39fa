//! The state of the simulated disk, and its controls beside [`Disk`](crate::disk::Disk).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use super::content::Content;
use super::faults::{CallKind, Failure, Faults};
use super::names::{DiskNames, FOLDER, Number};
use crate::disk::DiskLock;
use crate::runtime::dice::Dice;
use crate::runtime::sync::{Mutex, MutexGuard};

pub(super) struct World {
    pub(super) names: DiskNames,
    pub(super) files: BTreeMap<Number, Content>,
    pub(super) next_number: Number,
    pub(super) dice: Dice,
    pub(super) faults: Faults,
    /// The power is gone.
    pub(super) dead: bool,
    /// Calls so far.
    pub(super) calls: u64,
    /// Changes so far.
    pub(super) changes: u64,
    /// Calls that failed.
    pub(super) met: u64,
    /// Writes that left bytes which nobody wrote.
    pub(super) garbage: u64,
    /// Bytes all files together may have, if not any number.
    pub(super) room: Option<usize>,
    /// Has a queue for many writes at a time.
    pub(super) queue: bool,
    /// Its users are threads, which wait.
    pub(super) threads: bool,
    /// Its files do not go through that queue.
    pub(super) refuses_direct: bool,
    /// Writes of the queue that are under way, by their tickets.
    pub(super) flying: BTreeMap<u64, (Number, usize, Vec<u8>)>,
    pub(super) most_flying: usize,
    pub(super) trace: bool,
    pub(super) random: Option<Dice>,
    /// Nothing can be written, not even a lock.
    pub(super) read_only: bool,
    /// Bytes that cannot be read, nor the block each stands in.
    pub(super) lost: Vec<(Number, usize)>,
}

/// The disk; clones share it.
#[derive(Clone)]
pub struct Simulated(Arc<Mutex<World>>);

pub(super) struct Lock;
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
        Self::holding(DiskNames::default(), BTreeMap::new(), Dice::new(seed))
    }

    pub(super) fn holding(names: DiskNames, files: BTreeMap<Number, Content>, dice: Dice) -> Self {
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

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
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
        Self::holding(DiskNames::of(names), contents, Dice::new(seed))
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
        Self::holding(DiskNames::of(names), files, Dice::new(world.dice.any()))
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
        Self::holding(DiskNames::of(names), files, Dice::new(world.dice.any()))
    }

    pub(super) fn call(&self, call: CallKind) -> io::Result<()> {
        Ok(self.world().call(call)?)
    }
}

impl World {
    /// A call of which `what` tells whoever traces.
    pub(super) fn called(&mut self, call: CallKind, what: impl FnOnce() -> String) -> Result<(), Failure> {
        let outcome = self.call(call);
        if self.trace {
            let failed = outcome.as_ref().err().map_or("", |_| ", which fails");
            eprintln!("       disk: {}{failed}", what());
        }
        outcome
    }

    pub(super) fn call(&mut self, call: CallKind) -> Result<(), Failure> {
        let number = self.calls;
        self.calls += 1;
        self.changes += u64::from(call == CallKind::Change);
        match self.faults.meets(&mut self.dead, call, number, &mut self.dice) {
            None => Ok(()),
            Some(failure) => {
                self.met += 1;
                Err(failure)
            }
        }
    }

    pub(super) fn used(&self) -> usize {
        let named = self.names.live.values().filter_map(|number| self.files.get(number));
        named.map(|content| content.live.len()).sum()
    }

    /// Refuses what would take more than there is room for.
    pub(super) fn take_room(&mut self, number: Number, end: usize) -> io::Result<()> {
        let grows = end.saturating_sub(self.files[&number].live.len());
        match self.room {
            Some(room) if grows > 0 && self.used() + grows > room => {
                self.met += 1;
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn names_left(&mut self, names: NamesLeft) -> BTreeMap<PathBuf, Number> {
        match names {
            NamesLeft::First(changes) => self.names.with_first(changes),
            NamesLeft::Any => self.names.with_any(&mut self.dice),
        }
    }

    /// The files, with what is under way among what is unsynced.
    pub(super) fn contents_in_flight(&self) -> BTreeMap<Number, Content> {
        let mut files = self.files.clone();
        for (number, offset, bytes) in self.flying.values() {
            if let Some(content) = files.get_mut(number) {
                content.write(*offset, bytes);
            }
        }
        files
    }

    pub(super) fn content(&mut self, number: Number) -> &mut Content {
        self.files.entry(number).or_default()
    }
}

pub(super) fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}
