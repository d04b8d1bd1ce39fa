//! Bytes that change on a disk at rest, after a clean close. Whatever is damaged, the store refuses to open, or a read
//! fails and says so, or everything is there. Nothing is missing in silence, and no read returns what was never
//! written.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use streamkit_engine::disk::Disk;
use streamkit_engine::format::extent_header::ExtentHeader;
use streamkit_engine::simulation::Simulated;
use streamkit_engine::{Dice, Entry, Keep, SequenceRange, repair_on, verify_on};

use crate::life::Life;
use crate::model::{Broken, Fate, Model};
use crate::moves;
use crate::run::{DIR, Run, store_id};

/// Damages one file and looks what becomes of it; `run` was closed.
///
/// # Errors
/// What is missing in silence, or wrong.
pub fn rot(run: &mut Run) -> Result<(), Broken> {
    let disk = run.disk.copy();
    let contents = disk.files();
    let files: Vec<PathBuf> = contents.keys().filter(|path| is_of_a_store(path)).cloned().collect();
    if files.is_empty() {
        return Ok(());
    }
    let path = files[run.dice.below(files.len() as u64) as usize].clone();
    let moved = run.dice.chance(1, 2);
    let mut put_back = false;
    if moved {
        let what = moves::move_bytes(run, &disk, &files, &path);
        put_back = what == moves::BEFORE;
        run.say(|| format!("{}: {what}", path.display()));
    } else {
        let dice = &mut run.dice;
        disk.damage(&path, |bytes| damage(bytes, dice));
    }
    // Without its checkpoint a log is read from its start.
    let begun = |path: &Path| is_extent(path) && ExtentHeader::decode(&contents[path]).is_ok_and(|header| header.begun);
    let extents = files
        .iter()
        .filter(|other| other.parent() == path.parent() && begun(other));
    // What is damaged at its end looks like a torn write, but for the checkpoint.
    let is_open = extents.max() == Some(&path);
    let without = !moved && run.dice.chance(1, 2) && !is_open;
    if without {
        let _ = disk.remove(&path.with_file_name("checkpoint"));
    }
    run.say(|| format!("damaged {}, without checkpoint: {without}", path.display()));
    run.counts.rotten += 1;
    let models = run.models.clone();
    if put_back {
        run.models.iter_mut().for_each(Model::doubt_what_was_lost);
    }
    let checked = check(run, disk, &path, put_back);
    run.models = models;
    checked
}

/// What becomes of a disk whose file at `path` is damaged.
fn check(run: &mut Run, disk: Simulated, path: &Path, put_back: bool) -> Result<(), Broken> {
    let mut own = run.fork(disk.copy());
    (own.rotten, own.is_other_log) = (true, true);
    let whole = match Life::start(&mut own)? {
        None => false,
        Some(mut life) => {
            let settled = life.settle().and_then(|whole| {
                // An older copy of the files holds the leases of then, and nothing tells.
                if whole && !put_back {
                    life.settle_leases()?;
                }
                Ok(whole)
            });
            settled.map_err(|broken| format!("{} is damaged: {broken}", path.display()))?
        }
    };
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let report = verify_on(&shared, Path::new(DIR), &mut |_| {});
    let report = report.map_err(|error| format!("verify fails on what is damaged: {error}"))?;
    if report.is_clean() && !whole {
        return Err(format!("{} is damaged, which verify does not find", path.display()));
    }
    run.counts.found_by_verify += u64::from(!report.is_clean());
    repaired(run, disk).map_err(|broken| format!("{} is damaged, and repaired: {broken}", path.display()))
}

/// What is repaired opens, is clean, holds nothing that was never written, and all that is not said to be lost.
fn repaired(run: &mut Run, disk: Simulated) -> Result<(), Broken> {
    let Some(before) = logs(&mut run.fork(run.disk.copy()))? else {
        return Err("nothing fails, and yet it cannot be read".to_owned());
    };
    let keep = if run.dice.chance(1, 2) {
        Keep::Newest
    } else {
        Keep::Oldest
    };
    let (shared, target): (Arc<dyn Disk>, _) = (Arc::new(disk.clone()), Path::new("/repaired"));
    let report = repair_on(&shared, Path::new(DIR), target, keep, &mut |_| {});
    let report = report.map_err(|error| format!("repair fails: {error}"))?;
    let verified_damaged = verify_on(&shared, Path::new(DIR), &mut |_| {});
    let verified_damaged = verified_damaged.map_err(|error| format!("verify fails: {error}"))?;
    // It is durable as a whole: whoever has it may throw the damaged one away.
    let disk = disk.after_worst_power_loss();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let verified = verify_on(&shared, target, &mut |_| {});
    let verified = verified.map_err(|error| format!("verify fails on what was repaired: {error}"))?;
    if !verified.is_clean() {
        return Err(format!("verify finds damage in what was repaired: {verified:?}"));
    }
    let mut own = run.fork(disk);
    own.dir = target.to_owned();
    own.is_other_log = true;
    let mut life = Life::start(&mut own)?.ok_or("what was repaired does not start")?;
    let Some(after) = life.logs()? else {
        return Err("what was repaired cannot be read".to_owned());
    };
    for (store, after) in after.iter().enumerate() {
        life.settle_places_alone(store, after)?;
    }
    run.counts.places += life.run.counts.places;
    drop(life);
    for (store, (before, after)) in before.iter().zip(&after).enumerate() {
        let acknowledged = acknowledged(run, store, before);
        for entry in after {
            let attempt = run.models[store].attempt_of(entry)?;
            if !acknowledged.contains(&attempt) {
                return Err(format!(
                    "store {store}: {} {} is there, and was never acknowledged or read",
                    entry.path, entry.sequence
                ));
            }
        }
        let Some(told) = report.stores.iter().find(|told| told.store == store_id(store)) else {
            match before.is_empty() {
                true => continue,
                false => return Err(format!("nothing is told of store {store}, which held entries")),
            }
        };
        let says = verified_damaged.stores.iter().find(|says| says.store == told.store);
        if says.is_none_or(|says| says.damage != told.damage) {
            return Err(format!(
                "store {store}: verify and repair do not say the same: {says:?} {told:?}"
            ));
        }
        let meets = |lost: &SequenceRange| {
            let mut left_out = told.left_out.iter();
            left_out.any(|range| range.path == lost.path && range.first <= lost.last && lost.first <= range.last)
        };
        if told.damage.iter().flat_map(|damage| &damage.affected).any(meets) {
            return Err(format!("store {store}: something is both lost and left out: {told:?}"));
        }
        let lost = told.damage.iter().flat_map(|damage| &damage.affected);
        let lost: Vec<_> = lost.chain(&told.left_out).collect();
        // It may be said that others are lost, too; but not of a store in which nothing is damaged.
        if told.damage.iter().any(|damage| !damage.affected_is_all) {
            run.counts.vague += 1;
            continue;
        }
        let key = |entry: &Entry| (entry.path.clone(), entry.sequence, entry.trx.id);
        let kept: HashSet<_> = after.iter().map(key).collect();
        let silent = before.iter().find(|entry| {
            let is_told = lost
                .iter()
                .any(|range| range.path == entry.path && (range.first..=range.last).contains(&entry.sequence));
            !is_told && !kept.contains(&key(entry))
        });
        if let Some(entry) = silent {
            return Err(format!(
                "{} {} is missing, and not told: {told:?}",
                entry.path, entry.sequence
            ));
        }
    }
    run.counts.repairs += 1;
    Ok(())
}

/// The attempts of which something may be in a store: what can be read, and what could be before it was trimmed or deleted.
fn acknowledged(run: &Run, store: usize, before: &[Entry]) -> HashSet<usize> {
    let model = &run.models[store];
    let there = (0..).zip(&model.attempts);
    // After a clean close nothing is open, unless what was lost may be back.
    let there = there.filter(|(_, attempt)| matches!(attempt.fate, Fate::There(..) | Fate::Open));
    let readable = before.iter().filter_map(|entry| model.attempt_of(entry).ok());
    there.map(|(number, _)| number).chain(readable).collect()
}

/// Damages what the open extents hold, where nothing but the groups themselves tells what was durable: the store refuses to
/// open, or all before some place of its log is there, and nothing else.
///
/// # Errors
/// What is wrong.
pub fn rot_unproved(run: &mut Run) -> Result<(), Broken> {
    let disk = run.disk.copy();
    let mut whole = run.fork(disk.copy());
    let Some(before) = logs(&mut whole)? else {
        return Err("nothing fails, and yet it cannot be read".to_owned());
    };
    for path in disk.files().into_keys().filter(|path| is_of_a_store(path)) {
        if is_extent(&path) {
            let dice = &mut run.dice;
            disk.damage(&path, |bytes| {
                let block = 1 + dice.below(4) as usize;
                let end = bytes.len().min((block + 1) * 4096);
                bytes[(block * 4096).min(end)..end].fill(0);
            });
        } else if path.ends_with("checkpoint") {
            let _ = disk.remove(&path);
        }
    }
    run.counts.rotten += 1;
    let mut own = run.fork(disk);
    own.rotten = true;
    let Some(after) = logs(&mut own)? else { return Ok(()) };
    for (store, (before, after)) in before.iter().zip(&after).enumerate() {
        for entry in after {
            run.models[store].attempt_of(entry)?;
        }
        // Where a trim or delete is cut, what it took is there again.
        let last = after.last().map_or(0, |entry| entry.trx.number);
        let missing = before
            .iter()
            .find(|entry| entry.trx.number <= last && !after.contains(entry));
        if let Some(missing) = missing {
            return Err(format!(
                "{} {} is missing before what is left",
                missing.path, missing.sequence
            ));
        }
    }
    Ok(())
}

fn logs(run: &mut Run) -> Result<Option<Vec<Vec<Entry>>>, Broken> {
    match Life::start(run)? {
        Some(mut life) => life.logs(),
        None => Ok(None),
    }
}

fn is_extent(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "extent")
}

fn is_of_a_store(path: &Path) -> bool {
    path.starts_with(Path::new(DIR).join("stores"))
}

/// Changes some bits, a block, or the end.
fn damage(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let length = bytes.len() as u64;
    if length == 0 {
        return;
    }
    // Mostly where something stands.
    let used = bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(length, |last| last as u64 + 1);
    let within = if dice.chance(7, 8) { used } else { length };
    let at = dice.below(within) as usize;
    match dice.below(9) {
        0 => bytes.truncate(at),
        1 | 2 => {
            let end = (at + 512).min(bytes.len());
            bytes[at / 512 * 512..end / 512 * 512].fill(0);
        }
        3 => bytes[at / 4096 * 4096..].fill(0),
        4 => {
            let end = (at + 4096).min(bytes.len());
            bytes[at..end].fill_with(|| dice.any() as u8);
        }
        _ => {
            for _ in 0..=dice.below(3) {
                let at = (at as u64 + dice.below(64)).min(length - 1) as usize;
                bytes[at] ^= 1 << dice.below(8);
            }
        }
    }
}
