//! Small histories, tried in every way: power goes after each change and leaves each subset of the unsynced sectors;
//! each call of the disk fails once; and recovery, a backup and a restore are interrupted at each of their changes.

use streamkit_engine::Dice;
use streamkit_engine::simulation::{Fault, Faults, NamesLeft, Simulated};

use crate::life::Life;
use crate::model::Broken;
use crate::plan::Plan;
use crate::run::Run;

/// Sectors up to which every subset is tried; of more, some.
const SECTORS_MAX: usize = 9;
/// Subsets tried of more sectors.
const SAMPLES: u64 = 200;

/// What was tried.
#[derive(Clone, Copy, Default, Debug)]
pub struct Tried {
    /// Histories.
    pub histories: u64,
    /// Points at which the power went.
    pub cuts: u64,
    /// Cuts of which every subset of sectors was tried.
    pub complete_cuts: u64,
    /// Disks as a cut left them.
    pub disks: u64,
    /// Kills that a power cut followed.
    pub kills: u64,
    /// Cuts during a recovery.
    pub recovery_cuts: u64,
    /// Cuts during a backup or a restore.
    pub backup_cuts: u64,
    /// Calls that failed once.
    pub failures: u64,
}

impl Tried {
    /// Adds what another tried.
    pub fn add(&mut self, other: &Self) {
        self.histories += other.histories;
        self.cuts += other.cuts;
        self.complete_cuts += other.complete_cuts;
        self.disks += other.disks;
        self.kills += other.kills;
        self.recovery_cuts += other.recovery_cuts;
        self.backup_cuts += other.backup_cuts;
        self.failures += other.failures;
    }
}

fn small(dice: &mut Dice) -> Plan {
    let large = dice.chance(1, 3);
    Plan {
        stores: 1,
        segments: 2,
        calls: 3,
        lives: 1,
        steps: 50,
        extent_bytes: 64 << 10,
        record_bytes: if large { 25_000 } else { 8 },
        records: 1,
        faults: 0,
        controls: 8,
        open_stores: 100,
        room: None,
        garbage: 0,
        backups: 0,
        ..Plan::roll(dice)
    }
}

/// The history of a seed, as far as the disk lets it come.
fn history(seed: u64, faults: Faults) -> Result<Run, Broken> {
    let mut run = Run::new(Dice::new(seed), false, small);
    run.disk.set_faults(faults);
    if let Some(mut life) = Life::start(&mut run)?
        && life.settle()?
    {
        life.work()?;
    }
    Ok(run)
}

/// Tries the history of a seed.
///
/// # Errors
/// How the promise is broken, and by what.
pub fn exhaust(seed: u64) -> Result<Tried, Broken> {
    let whole = history(seed, Faults::default())?;
    let mut tried = Tried {
        histories: 1,
        backup_cuts: whole.cut_backups()?,
        ..Tried::default()
    };
    let mut dice = Dice::new(seed);
    for cut in 0..=whole.disk.changes() {
        let faults = Faults {
            power: Some(cut),
            ..Faults::default()
        };
        let run = history(seed, faults)?;
        let mut next = run.fork(run.disk.after_kill());
        killed(&mut next).map_err(|broken| format!("killed after {cut} changes: {broken}"))?;
        tried.kills += 1;
        let disks = images(&run.disk, &mut dice, &mut tried);
        for (number, disk) in disks.into_iter().enumerate() {
            check(&run, &disk, number.is_multiple_of(16), &mut tried)
                .map_err(|broken| format!("power lost after {cut} changes, disk {number}: {broken}"))?;
        }
    }
    for call in 0..whole.disk.calls() {
        for fault in [Fault::Device, Fault::Full] {
            let faults = Faults {
                at: Some((call, fault, false)),
                ..Faults::default()
            };
            let run = history(seed, faults).map_err(|broken| format!("call {call} fails with {fault:?}: {broken}"))?;
            tried.failures += 1;
            for disk in [
                run.disk.after_kill(),
                run.disk.after_worst_power_loss(),
                run.disk.after_power_loss(),
            ] {
                check(&run, &disk, false, &mut tried)
                    .map_err(|broken| format!("after call {call} failed with {fault:?}: {broken}"))?;
            }
        }
    }
    Ok(tried)
}

/// After a kill, what the next process builds on what it found, and says is durable, is: also if the power goes after that.
fn killed(run: &mut Run) -> Result<(), Broken> {
    if let Some(mut life) = Life::start(run)?
        && life.settle()?
    {
        life.settle_leases()?;
        life.work()?;
    }
    let left = run.disk.after_worst_power_loss();
    run.fork(left).last_life()
}

/// What a power cut may leave.
fn images(disk: &Simulated, dice: &mut Dice, tried: &mut Tried) -> Vec<Simulated> {
    let (sectors, names) = disk.unsynced();
    tried.cuts += 1;
    let mut subsets: Vec<u64> = Vec::new();
    if sectors <= SECTORS_MAX {
        tried.complete_cuts += 1;
        subsets.extend(0..1 << sectors);
    } else {
        subsets.extend([0, u64::MAX]);
        subsets.extend((0..SAMPLES).map(|_| dice.any()));
    }
    let mut images = Vec::new();
    for names in 0..=names {
        let left = subsets
            .iter()
            .map(|&subset| disk.with_unsynced(NamesLeft::First(names), subset));
        images.extend(left);
    }
    tried.disks += images.len() as u64;
    images
}

/// What must be there is, also if recovery is cut at any of its changes, and the recovery after that.
fn check(run: &Run, disk: &Simulated, cut: bool, tried: &mut Tried) -> Result<(), Broken> {
    let mut whole = run.fork(disk.copy());
    whole.last_life()?;
    if !cut {
        return Ok(());
    }
    for first in 0.. {
        let mut broken = run.fork(disk.copy());
        broken.disk.cut_power_after(first);
        let started = Life::start(&mut broken)?.is_some();
        for disk in [broken.disk.after_power_loss(), broken.disk.after_kill()] {
            tried.recovery_cuts += 1;
            let mut again = broken.fork(disk.copy());
            again.disk.cut_power_after(first / 2);
            drop(Life::start(&mut again)?);
            let left = again.disk.after_power_loss();
            again
                .fork(left)
                .last_life()
                .map_err(|e| format!("recovery cut after {first} changes, and again: {e}"))?;
            let mut after = broken.fork(disk);
            after
                .last_life()
                .map_err(|e| format!("recovery cut after {first} changes: {e}"))?;
        }
        if started {
            break;
        }
    }
    Ok(())
}
