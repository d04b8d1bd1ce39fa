//! One seed: a disk, an engine that starts and dies again and again, and callers that remember their answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use streamkit_engine::disk::Disk;
use streamkit_engine::simulation::{Fault, Faults, Simulated};
use streamkit_engine::{Dice, Engine, EngineConfig, OpenError, SegmentPath, Stepper, StoreId, verify_on};
use uuid::Uuid;

use crate::backups::Backups;
use crate::clock::Watch;
use crate::cursor::Cursor;
use crate::killed::damaged;
use crate::life::Life;
use crate::model::{Broken, Model};
use crate::places::Places;
use crate::plan::{End, Plan};
use crate::rot::{rot, rot_unproved};

/// The folder of the engine on the simulated disk.
pub const DIR: &str = "/data";

/// What happened in a run, for the summary.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Steps of all lives.
    pub steps: u64,
    /// Transactions acknowledged.
    pub acknowledged: u64,
    /// Conflicts told.
    pub conflicts: u64,
    /// Appends refused as their lease was not held any more.
    pub fenced_off: u64,
    /// Acknowledged ones that had conditions, or took any sequence.
    pub demanding: u64,
    /// Retries of attempts whose outcome was unknown, or that were acknowledged.
    pub retries: u64,
    /// Attempts whose outcome nobody was told.
    pub unknown: u64,
    /// Lives that ended with power loss.
    pub power_losses: u64,
    /// Lives that were killed.
    pub kills: u64,
    /// Lives that were closed.
    pub closes: u64,
    /// Starts that did not come to their end.
    pub lost_starts: u64,
    /// Calls of the disk that failed.
    pub faults: u64,
    /// Refusals to open a store that a write which failed had damaged.
    pub refusals: u64,
    /// Disks of which a file was damaged at rest.
    pub rotten: u64,
    /// Those of them where verify said so.
    pub found_by_verify: u64,
    /// Damaged stores that were repaired, and nothing missing that was not told.
    pub repairs: u64,
    /// Those of them whose list of losses is said to be maybe not all.
    pub vague: u64,
    /// Backups that were made.
    pub backups: u64,
    /// Backups that were cut or failed.
    pub lost_backups: u64,
    /// Restores compared with what the backup must hold.
    pub restores: u64,
    /// Entries read and compared.
    pub entries: u64,
    /// Reads behind a place that was told in an earlier life, compared.
    pub places: u64,
    /// Of all disks and lives: to tell one run from another.
    pub fingerprint: u64,
}

impl Counts {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.acknowledged += other.acknowledged;
        self.conflicts += other.conflicts;
        self.fenced_off += other.fenced_off;
        self.demanding += other.demanding;
        self.retries += other.retries;
        self.unknown += other.unknown;
        self.power_losses += other.power_losses;
        self.kills += other.kills;
        self.closes += other.closes;
        self.lost_starts += other.lost_starts;
        self.faults += other.faults;
        self.refusals += other.refusals;
        self.rotten += other.rotten;
        self.found_by_verify += other.found_by_verify;
        self.repairs += other.repairs;
        self.vague += other.vague;
        self.backups += other.backups;
        self.lost_backups += other.lost_backups;
        self.restores += other.restores;
        self.entries += other.entries;
        self.places += other.places;
        self.fingerprint ^= other.fingerprint;
    }
}

/// All that outlives an engine.
pub struct Run {
    /// Decides everything but what the disk does.
    pub dice: Dice,
    /// The shape of the run.
    pub plan: Plan,
    /// The disk of the present life.
    pub disk: Simulated,
    /// As it was at the end of some earlier life.
    pub earlier: Option<Simulated>,
    /// The folder of the engine on it.
    pub dir: PathBuf,
    /// What was copied of it.
    pub backups: Backups,
    /// All files after some life: older copies.
    pub older: BTreeMap<PathBuf, Vec<u8>>,
    /// The clock.
    pub watch: Watch,
    /// What each store must hold.
    pub models: Vec<Model>,
    /// A consumer of each store.
    pub cursors: Vec<Cursor>,
    /// Places that each store told.
    pub places: Vec<Places>,
    /// Steps so far: the time of all histories.
    pub now: u64,
    /// What happened.
    pub counts: Counts,
    /// A write that failed may have left anything where it went.
    pub garbled: bool,
    /// A file was damaged at rest.
    pub rotten: bool,
    /// The files may be of an earlier state, or written anew: then a place may be of another log.
    pub is_other_log: bool,
    /// A store did not open because of that: nothing more can be said of it.
    pub refused: bool,
    /// Tells what happens, for whoever looks for the reason of a failure.
    pub trace: bool,
}

/// Runs one seed.
///
/// # Errors
/// How the promise is broken.
pub fn run(seed: u64, trace: bool) -> Result<Counts, Broken> {
    run_with(Dice::new(seed), Plan::roll, trace)
}

/// Runs what these dice decide.
///
/// # Errors
/// How the promise is broken.
pub fn run_with(dice: Dice, plan: impl FnOnce(&mut Dice) -> Plan, trace: bool) -> Result<Counts, Broken> {
    let mut run = Run::new(dice, trace, plan);
    for life in 0..run.plan.lives {
        let lived = run.live(life);
        lived.map_err(|broken| format!("life {life}, step {}: {broken}", run.now))?;
    }
    let lived = run
        .last_life()
        .and_then(|()| run.check_backup())
        .and_then(|()| if run.refused { Ok(()) } else { verified(&mut run) });
    lived.map_err(|broken| format!("last start, step {}: {broken}", run.now))?;
    run.counts.steps = run.now;
    Ok(run.counts)
}

/// A closed store is clean; where a file of it is damaged, somebody says so.
fn verified(run: &mut Run) -> Result<(), Broken> {
    let disk: Arc<dyn Disk> = Arc::new(run.disk.copy());
    let report = verify_on(&disk, Path::new(DIR), &mut |_| {}).map_err(|error| format!("verify fails: {error}"))?;
    if !report.is_clean() && !run.garbled {
        return Err(format!("verify finds damage where there is none: {report:?}"));
    }
    if run.dice.chance(1, 3) && !run.garbled {
        rot(run)?;
    } else if run.dice.chance(1, 8) && !run.garbled {
        rot_unproved(run)?;
    }
    Ok(())
}

/// Names that are easily taken for each other.
fn paths(count: usize) -> Vec<SegmentPath> {
    let names = [
        ("s", "order-1"),
        ("s", "order-12"),
        ("s", "order"),
        ("s2", "order-1"),
        ("t", "x"),
    ];
    let path = |&(space, segment): &(&str, &str)| SegmentPath::new(space, segment);
    names.iter().take(count).filter_map(|names| path(names).ok()).collect()
}

/// The id of a store.
pub fn store_id(store: usize) -> StoreId {
    StoreId(Uuid::from_u128(store as u128 + 1))
}

impl Run {
    /// The beginning: an empty disk.
    pub fn new(mut dice: Dice, trace: bool, plan: impl FnOnce(&mut Dice) -> Plan) -> Self {
        let plan = plan(&mut dice);
        let models: Vec<Model> = (0..plan.stores).map(|_| Model::new(paths(plan.segments))).collect();
        let run = Self {
            cursors: models.iter().map(Cursor::new).collect(),
            places: models.iter().map(|_| Places::default()).collect(),
            disk: Simulated::new(dice.any()),
            earlier: None,
            dir: PathBuf::from(DIR),
            backups: Backups::none(&models),
            older: BTreeMap::new(),
            dice,
            watch: Watch::new(),
            models,
            now: 0,
            counts: Counts::default(),
            garbled: false,
            rotten: false,
            is_other_log: false,
            refused: false,
            trace,
            plan,
        };
        run.say(|| format!("{:?}", run.plan));
        run
    }

    /// The same, on another disk.
    pub fn fork(&self, disk: Simulated) -> Self {
        Self {
            disk,
            earlier: None,
            dir: self.dir.clone(),
            backups: self.backups.clone(),
            older: self.older.clone(),
            dice: self.dice.clone(),
            plan: self.plan.clone(),
            watch: self.watch.clone(),
            models: self.models.clone(),
            cursors: self.cursors.clone(),
            places: self.places.clone(),
            now: self.now,
            counts: Counts::default(),
            garbled: self.garbled,
            rotten: self.rotten,
            is_other_log: self.is_other_log,
            refused: self.refused,
            trace: self.trace,
        }
    }

    /// Tells what happens.
    pub fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:>6} {}", self.now, what());
        }
    }

    fn config(&mut self, stepper: &Stepper) -> EngineConfig {
        if self.plan.queue {
            self.disk.queue_writes(false);
        }
        if self.trace {
            self.disk.trace();
        }
        EngineConfig {
            extent_bytes: self.plan.extent_bytes,
            keep_free_bytes: self.plan.keep_free,
            open_stores: self.plan.open_stores.max(self.plan.stores),
            clock: Arc::new(self.watch.clone()),
            disk: Arc::new(self.disk.clone()),
            stepper: Some(stepper.clone()),
            ..EngineConfig::new(self.dir.clone())
        }
    }

    /// Starts an engine.
    pub fn start(&mut self) -> Result<(Engine, Stepper), OpenError> {
        let stepper = Stepper::new(self.dice.any());
        let config = self.config(&stepper);
        Ok((Engine::open(config)?, stepper))
    }

    /// One life of an engine.
    fn live(&mut self, life: usize) -> Result<(), Broken> {
        if self.refused {
            return Ok(());
        }
        let at_start = life > 0 && self.dice.chance(1, 3);
        if at_start {
            self.set_faults(40);
        }
        let end = if let Some(mut started) = Life::start(self)? {
            started.run.backups.began();
            if started.settle()? {
                started.settle_leases()?;
                let cut = [5, 60, 400, 4000][started.run.dice.below(4) as usize];
                started.run.set_faults(cut);
                started.work()?;
            }
            started.end()?
        } else {
            self.counts.lost_starts += 1;
            if self.dice.chance(1, 2) {
                End::Kill
            } else {
                End::PowerLoss
            }
        };
        self.counts.faults += self.disk.faults_met();
        self.garbled |= self.disk.garbage_met() > 0;
        self.say(|| format!("{end:?}, after {} changes", self.disk.changes()));
        self.disk.kill();
        self.disk = match end {
            End::PowerLoss => self.disk.after_power_loss(),
            End::Kill => self.disk.after_kill(),
            End::Close if self.dice.chance(1, 2) => self.disk.after_power_loss(),
            End::Close => self.disk.after_kill(),
        };
        self.backups.ended(end);
        if self.dice.chance(1, 4) {
            self.older = self.disk.files();
        }
        let may_be_unsynced = end != End::PowerLoss;
        if self.plan.backups > 0 && self.dice.chance(1, 4) {
            self.back_up_at_rest(may_be_unsynced)?;
        }
        // What a device that leaves garbage did is known to the store alone.
        if !self.garbled && self.dice.chance(1, 4) {
            damaged(self)?;
        }
        if self.dice.chance(1, 3) {
            self.earlier = Some(self.disk.copy());
        }
        Ok(())
    }

    /// Decides what fails in the next calls: the power goes within so many changes, or single calls fail, or neither.
    fn set_faults(&mut self, changes: u64) {
        let mut faults = Faults::default();
        match self.dice.below(4) {
            0 | 1 => faults.power = Some(self.dice.below(changes)),
            // A device that leaves garbage does so once: if it did again, the note of the first would be lost.
            2 if self.plan.garbage > 0 => {
                let at = self.disk.calls() + self.dice.below(4 * changes);
                faults.at = Some((at, Fault::Device, false));
                faults.garbage = self.plan.garbage;
            }
            2 => {
                faults.changes = self.plan.faults;
                faults.looks = self.plan.faults / 10;
            }
            _ => {}
        }
        // Now and then the queue of writes breaks as well, whatever else fails.
        let calls = self.disk.calls();
        faults.queue_breaks = calls.is_multiple_of(8).then_some(calls / 8 % 50);
        self.disk.set_faults(faults);
        let room = self.plan.room.filter(|_| self.dice.chance(1, 2));
        self.disk.set_room(room);
    }

    /// Nothing fails any more: all that must be there is.
    ///
    /// # Errors
    /// What is not.
    pub fn last_life(&mut self) -> Result<(), Broken> {
        let Some(mut life) = Life::start(self)?.filter(|life| !life.run.refused) else {
            self.counts.refusals += u64::from(self.refused);
            return match self.refused {
                true => Ok(()),
                false => Err("nothing fails, and yet it does not start".to_owned()),
            };
        };
        if !life.settle()? {
            let garbled = life.run.garbled;
            life.run.counts.refusals += 1;
            return match garbled {
                true => Ok(()),
                false => Err("nothing fails, and yet it cannot be read".to_owned()),
            };
        }
        life.settle_leases()?;
        life.close();
        drop(life);
        let files = self.disk.files();
        for (path, bytes) in &files {
            self.counts.fingerprint = fold(self.counts.fingerprint, path.as_os_str().as_encoded_bytes());
            self.counts.fingerprint = fold(self.counts.fingerprint, bytes);
        }
        Ok(())
    }
}

/// FNV-1a, by words where it can: a fingerprint, not a checksum.
fn fold(mut hash: u64, bytes: &[u8]) -> u64 {
    for word in bytes.chunks(8) {
        let mut padded = [0; 8];
        padded[..word.len()].copy_from_slice(word);
        hash = (hash ^ u64::from_le_bytes(padded)).wrapping_mul(0x0000_0100_0000_01B3);
    }
    hash
}
