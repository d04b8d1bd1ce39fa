//! Backups of an engine at work or at rest, interrupted at any point and repeated into one folder, and restores from
//! them. A restore holds everything acknowledged before the last backup, and nothing that was never written.

use std::path::PathBuf;
use std::sync::Arc;

use streamkit_engine::backup::{BackupError, BackupReport, FolderSource, backup, restore};
use streamkit_engine::disk::Disk;
use streamkit_engine::simulation::Simulated;
use streamkit_engine::{OpenError, StoreId, verify_on};

use crate::cursor::Cursor;
use crate::life::{Doing, Life};
use crate::model::{Broken, Model};
use crate::plan::End;
use crate::run::{Run, store_id};

/// Where a backup is restored to.
const RESTORED: &str = "/restored";

/// The folder of the backups, and what it may hold.
#[derive(Clone, Default, Debug)]
pub struct Backups {
    /// How often another folder was taken.
    folder: u32,
    /// What each store held, at least, when the last backup began that was made of it, and those after it of which nobody knows
    /// whether they were. Before the first, it held nothing.
    may_hold: Vec<Vec<Model>>,
    /// There is one.
    made: bool,
    /// The last one holds what a killed process wrote, which may not be durable.
    unproved: bool,
    /// And then the power went: the log may go on otherwise than in the backup.
    parted: bool,
}

impl Backups {
    /// None yet, of stores like these.
    pub fn none(models: &[Model]) -> Self {
        let empty = |model: &Model| {
            let paths = model.segments.iter().map(|segment| segment.path.clone());
            vec![Model::new(paths)]
        };
        Self {
            may_hold: models.iter().map(empty).collect(),
            ..Self::default()
        }
    }

    fn dir(&self) -> PathBuf {
        PathBuf::from(format!("/backup-{}", self.folder))
    }

    /// One was made, but of these stores.
    fn hold(&mut self, known: Vec<Model>, failed: &[StoreId]) {
        self.made = true;
        for (store, known) in known.into_iter().enumerate() {
            if !failed.contains(&store_id(store)) {
                self.may_hold[store] = vec![known];
            }
        }
    }

    /// Whether nobody knows which of some backups is there.
    fn is_open(&self) -> bool {
        self.may_hold.iter().any(|may_hold| may_hold.len() > 1)
    }

    /// An engine has made durable what it found.
    pub fn began(&mut self) {
        self.unproved = false;
    }

    /// An engine ended, or did not start.
    pub fn ended(&mut self, end: End) {
        self.parted |= self.unproved && end != End::Kill;
    }
}

impl Life<'_> {
    /// Makes a backup while the engine is at work: it goes on between the pieces that are copied.
    pub(crate) fn back_up(&mut self) -> Result<(), Broken> {
        let mut known = self.run.models.clone();
        for call in &self.calls {
            let model = &mut known[call.store];
            match call.doing {
                Doing::Append(attempt) => model.unknown(attempt),
                Doing::Trim(segment, first) => model.segments[segment].open_trims.push(first),
                _ => {}
            }
        }
        let disk: Arc<dyn Disk> = Arc::new(self.run.disk.clone());
        let (target, dice, stepper) = (self.run.backups.dir(), &mut self.run.dice, &self.stepper);
        let outcome = backup(&self.engine, &disk, &target, &mut |_| {
            while dice.chance(1, 2) && stepper.run_one() {}
        });
        self.run.backed_up(known, outcome)
    }
}

impl Run {
    /// Makes a backup of what a dead engine left; of a killed one, that may not be durable.
    pub(crate) fn back_up_at_rest(&mut self, may_be_unsynced: bool) -> Result<(), Broken> {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let known = self.models.clone();
        let outcome = FolderSource::open(Arc::clone(&disk), &self.dir);
        let outcome = outcome
            .map_err(BackupError::from)
            .and_then(|source| backup(&source, &disk, &self.backups.dir(), &mut |_| {}));
        self.backups.unproved |= may_be_unsynced && !matches!(outcome, Err(BackupError::Refused(_)));
        // There may be no engine yet, whose start was cut.
        if let Err(BackupError::Open(error)) = &outcome
            && self.models.iter().all(|model| model.attempts.is_empty())
        {
            self.say(|| format!("no backup: {error}"));
            return Ok(());
        }
        self.backed_up(known, outcome)
    }

    fn backed_up(&mut self, known: Vec<Model>, outcome: Result<BackupReport, BackupError>) -> Result<(), Broken> {
        let excused = self.disk.faults_met() > 0 || self.garbled;
        self.say(|| format!("to backup {}: {outcome:?}", self.backups.folder));
        match outcome {
            Ok(_) => {
                self.counts.backups += 1;
                self.backups.parted = false;
                self.backups.hold(known, &[]);
                Ok(())
            }
            Err(BackupError::Incomplete { failed, report }) if excused => {
                self.counts.lost_backups += 1;
                let failed: Vec<StoreId> = failed.iter().map(|(store, _)| *store).collect();
                // Of no store at all, it is none.
                if report.stores > 0 {
                    self.backups.hold(known, &failed);
                }
                Ok(())
            }
            Err(BackupError::Refused(_)) if self.garbled || self.backups.parted => {
                // The folder is left as it is, and still holds what it held.
                self.check_restore(self.disk.copy(), false)?;
                self.backups = Backups {
                    folder: self.backups.folder + 1,
                    ..Backups::none(&self.models)
                };
                Ok(())
            }
            Err(error @ BackupError::Refused(_)) => Err(format!("a backup is refused: {error}")),
            Err(_) if excused => {
                self.counts.lost_backups += 1;
                for (may_hold, known) in self.backups.may_hold.iter_mut().zip(known) {
                    may_hold.push(known);
                }
                Ok(())
            }
            Err(error) => Err(format!("a backup fails for no reason: {error}")),
        }
    }

    /// What the backup must hold is restored from it, also if that is cut and done again.
    pub(crate) fn check_backup(&mut self) -> Result<(), Broken> {
        if self.plan.backups == 0 {
            return Ok(());
        }
        let disk = self.disk.copy();
        if self.trace {
            disk.trace();
        }
        if self.dice.chance(1, 2) {
            return self.check_restore(disk, false);
        }
        disk.cut_power_after(self.dice.below(60));
        let left = match self.cut_restore(&disk) && self.dice.chance(1, 3) {
            true => disk.after_kill(),
            false => disk.after_power_loss(),
        };
        self.check_restore(left, true)
    }

    /// Restores for as long as the disk lets it; whether it came to its end.
    fn cut_restore(&self, disk: &Simulated) -> bool {
        let came_to_its_end = self.restore_on(disk).is_ok();
        disk.kill();
        came_to_its_end
    }

    /// What is restored on this disk is what it may be. `again`: it was restored there before, as far as that came.
    fn check_restore(&mut self, disk: Simulated, again: bool) -> Result<(), Broken> {
        match self.restore_on(&disk) {
            Ok(()) => {}
            Err(BackupError::Refused(_)) if !self.backups.made => return Ok(()),
            // It had come to its end, and nothing is restored over it.
            Err(BackupError::Refused(_)) if again => {}
            Err(error) => return Err(format!("a backup cannot be restored: {error}")),
        }
        self.counts.restores += 1;
        let shared: Arc<dyn Disk> = Arc::new(disk.copy());
        let report = verify_on(&shared, RESTORED.as_ref(), &mut |_| {});
        let report = match report {
            Ok(report) => report,
            // The cut took the name of a backup that had failed after that was written: another one is there now, and an
            // unfinished restore does not go on with another.
            Err(OpenError::Unfinished { .. }) if again && self.backups.is_open() => {
                return self.check_restore(self.disk.copy(), false);
            }
            Err(error) => return Err(format!("verify fails on what was restored: {error}")),
        };
        if !report.is_clean() {
            return Err(format!("verify finds damage in what was restored: {report:?}"));
        }
        let mut restored = self.fork(disk);
        restored.dir = PathBuf::from(RESTORED);
        (restored.garbled, restored.rotten, restored.refused) = (false, false, false);
        restored.is_other_log = true;
        let Some(mut life) = Life::start(&mut restored)? else {
            return Err("what was restored does not start".to_owned());
        };
        for (store, may_hold) in self.backups.may_hold.iter().enumerate() {
            let mut broken = Vec::new();
            for model in may_hold {
                life.run.cursors[store] = Cursor::new(model);
                life.run.places[store].seen = Cursor::default();
                life.run.models[store] = model.clone();
                match life.settle_alone(store) {
                    Ok(()) => break,
                    Err(why) => broken.push(why),
                }
            }
            if broken.len() == may_hold.len() {
                return Err(format!(
                    "what was restored of store {store} is none of what it may be: {broken:?}"
                ));
            }
        }
        life.close();
        Ok(())
    }

    fn restore_on(&self, disk: &Simulated) -> Result<(), BackupError> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        restore(&disk, &self.backups.dir(), RESTORED.as_ref(), &mut |_| {}).map(|_| ())
    }

    /// A backup of what a dead engine left, and a restore of that, are cut after each of their changes.
    ///
    /// # Errors
    /// How the promise is broken, and by what.
    pub(crate) fn cut_backups(&self) -> Result<u64, Broken> {
        let mut cuts = 0;
        let mut whole = self.fork(self.disk.after_kill());
        let before = whole.disk.changes();
        whole.back_up_at_rest(true)?;
        for cut in 0..=whole.disk.changes() - before {
            let mut run = self.fork(self.disk.after_kill());
            run.disk.cut_power_after(cut);
            run.back_up_at_rest(true)?;
            for disk in left(&run.disk) {
                cuts += 1;
                let mut again = run.fork(disk.copy());
                let then = again
                    .check_restore(disk, false)
                    .and_then(|()| again.back_up_at_rest(false))
                    .and_then(|()| again.check_restore(again.disk.copy(), false));
                then.map_err(|broken| format!("backup cut after {cut} changes: {broken}"))?;
            }
        }
        for cut in 0.. {
            let disk = whole.disk.copy();
            disk.cut_power_after(cut);
            let ended = whole.cut_restore(&disk);
            for disk in left(&disk) {
                cuts += 1;
                let checked = whole.check_restore(disk, true);
                checked.map_err(|broken| format!("restore cut after {cut} changes: {broken}"))?;
            }
            if ended {
                break;
            }
        }
        Ok(cuts)
    }
}

/// What a cut may leave, from the least to the most.
fn left(disk: &Simulated) -> [Simulated; 4] {
    let any = disk.after_power_loss();
    [
        disk.after_worst_power_loss(),
        any,
        disk.after_power_loss(),
        disk.after_kill(),
    ]
}
