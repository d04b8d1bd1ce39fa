//! Files that change while no process has them open, after any end of a life. The store refuses to open, or a read
//! says so, or everything is there. For a killed store, groups after its checkpoint may be cut, and then nothing
//! before the cut is missing. `verify` calls damage what an open refuses, and clean only what opens.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use streamkit_engine::checkpoint;
use streamkit_engine::disk::Disk;
use streamkit_engine::format::extent_header::ExtentHeader;
use streamkit_engine::format::group::{GROUP_HEADER_BYTES, GROUP_MAGIC, GroupHeader};
use streamkit_engine::format::transaction::TransactionHeader;
use streamkit_engine::simulation::Simulated;
use streamkit_engine::{Dice, Entry, verify_on};

use crate::life::Life;
use crate::model::Broken;
use crate::run::{DIR, Run, store_id};

const BLOCK: usize = 4096;

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Changes a file of the disk that a life has left, and looks what becomes of it.
///
/// # Errors
/// What is missing in silence, or wrong; or where `verify` and an open do not agree.
pub fn damaged(run: &mut Run) -> Result<(), Broken> {
    let Some(before) = logs(&mut run.fork(run.disk.copy()))? else {
        return Err("nothing fails, and yet it cannot be read".to_owned());
    };
    let files = run.disk.files();
    let stores = Path::new(DIR).join("stores");
    let paths: Vec<&PathBuf> = files.keys().filter(|path| path.starts_with(&stores)).collect();
    if paths.is_empty() {
        return Ok(());
    }
    let path = paths[run.dice.below(paths.len() as u64) as usize].clone();
    let earlier = run.earlier.as_ref().map(Simulated::files).unwrap_or_default();
    let (what, changed) = change(&files, &earlier, &path, &mut run.dice);
    run.say(|| format!("{}: {what}", path.display()));
    let mut damaged = files.clone();
    match changed {
        Some(bytes) => damaged.insert(path.clone(), bytes),
        None => damaged.remove(&path),
    };
    let disk = Simulated::with_files(run.dice.any(), damaged.clone());
    // A folder stays, whatever is removed from it.
    let folder = path.parent().unwrap_or(Path::new(DIR));
    disk.create_dir(folder)
        .map_err(|error| format!("no folder can be made: {error}"))?;
    run.counts.rotten += 1;
    let outcome = compare(run, &disk, &before, what == OLDER, |store| {
        proved(&files, &damaged, &path, store)
    });
    let outcome = outcome.and_then(|refused| {
        let length = |files: &Files| files.get(&path).map(Vec::len);
        if refused {
            return Ok(());
        }
        if is_extent(&path) && damaged.contains_key(&path) && length(&files) != length(&damaged) {
            return Err("an extent of another size is not refused".to_owned());
        }
        match is_damaged_before_checkpoint(&files, &damaged, &path) {
            true => Err("what the checkpoint stands for is damaged, and not refused".to_owned()),
            false => Ok(()),
        }
    });
    outcome.map_err(|broken| format!("{}: {what}: {broken}", path.display()))
}

/// What opens, and what `verify` says of it. Returns whether an open refuses it.
fn compare(
    run: &mut Run,
    disk: &Simulated,
    before: &[Vec<Entry>],
    is_older: bool,
    proved: impl Fn(usize) -> u64,
) -> Result<bool, Broken> {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let report = verify_on(&shared, Path::new(DIR), &mut |_| {});
    let report = report.map_err(|error| format!("verify fails on what is damaged: {error}"))?;
    run.counts.found_by_verify += u64::from(!report.is_clean());
    let mut own = run.fork(disk.clone());
    own.rotten = true;
    let after = logs(&mut own)?;
    let refused = report.stores.iter().find_map(|store| store.refused.as_ref());
    if refused.is_some() != own.refused {
        return Err(format!("verify says of an open: {refused:?}, which is not so"));
    }
    let Some(after) = after else {
        return match report.is_clean() {
            true => Err("verify finds nothing, and it cannot be read".to_owned()),
            false => Ok(own.refused),
        };
    };
    for (store, (before, after)) in before.iter().zip(&after).enumerate() {
        for entry in after {
            run.models[store].attempt_of(entry)?;
        }
        let last = after.last().map_or(0, |entry| entry.trx.number).max(proved(store));
        // Where a trim or delete is cut, what it took is there again.
        let missing = before
            .iter()
            .filter(|entry| !is_older || !run.models[store].may_be_gone_in_older(entry))
            .find(|entry| entry.trx.number <= last && !after.contains(entry));
        if let Some(missing) = missing {
            return Err(format!(
                "{} {}, of transaction {}, is missing in silence",
                missing.path, missing.sequence, missing.trx.number
            ));
        }
    }
    Ok(false)
}

/// Up to which transaction a store must be there if it opens: its newest extent alone can lose anything, and only what came
/// after the checkpoint and is not told of by a group that is left.
fn proved(files: &Files, damaged: &Files, path: &Path, store: usize) -> u64 {
    let dir = Path::new(DIR).join("stores").join(store_id(store).to_string());
    let begun = |path: &Path| is_extent(path) && ExtentHeader::decode(&files[path]).is_ok_and(|header| header.begun);
    let newest = files.keys().filter(|path| path.starts_with(&dir) && begun(path)).max();
    if newest.is_none_or(|newest| newest != path) {
        return u64::MAX;
    }
    let checkpoint = files.get(&dir.join("checkpoint"));
    let checkpointed = checkpoint.map_or(0, |bytes| checkpoint::last_transaction(bytes).unwrap_or(0));
    let left = damaged.get(path).map_or(0, |left| told(&files[path], left));
    checkpointed.max(left)
}

/// The last transaction that the groups which are left anywhere in an extent tell to have been durable.
fn told(whole: &[u8], left: &[u8]) -> u64 {
    let Ok(extent) = ExtentHeader::decode(whole) else {
        return 0;
    };
    let marks = left
        .windows(GROUP_HEADER_BYTES)
        .filter(|bytes| bytes.starts_with(&GROUP_MAGIC));
    let marks = marks.filter_map(|bytes| GroupHeader::decode(extent.salt, bytes).ok());
    let marks = marks.filter(|group| group.durable.extent == extent.extent);
    let durable = marks.map(|group| group.durable.byte as usize).max().unwrap_or(0);
    let mut told = groups(whole).into_iter().filter(|group| group.bytes.end <= durable);
    told.next_back()
        .map_or(extent.state.trx_number, |group| group.last_transaction)
}

/// A group of an extent that is whole.
struct Group {
    bytes: Range<usize>,
    last_transaction: u64,
}

fn groups(extent: &[u8]) -> Vec<Group> {
    let mut groups = Vec::new();
    let Ok(header) = ExtentHeader::decode(extent) else {
        return groups;
    };
    let (mut at, mut last_transaction) = (BLOCK, header.state.trx_number);
    loop {
        let mut starts = [at, at.next_multiple_of(BLOCK)].into_iter();
        let decode = |at: usize| GroupHeader::decode(header.salt, extent.get(at..)?).ok();
        let Some((start, group)) = starts.find_map(|at| Some((at, decode(at)?))) else {
            return groups;
        };
        let end = start + GROUP_HEADER_BYTES + group.body_bytes as usize;
        let mut transaction = start + GROUP_HEADER_BYTES;
        while let Some(Ok(header)) = extent.get(transaction..end).map(TransactionHeader::decode) {
            last_transaction = header.number;
            transaction += header.length as usize;
        }
        groups.push(Group {
            bytes: start..end,
            last_transaction,
        });
        at = start + group.span();
    }
}

/// Whether a file is an extent in which something before the checkpoint's position is not what it was.
fn is_damaged_before_checkpoint(files: &Files, damaged: &Files, path: &Path) -> bool {
    let (Some(whole), Some(left)) = (files.get(path), damaged.get(path)) else {
        return false;
    };
    let position = files.get(&path.with_file_name("checkpoint"));
    let (Some(Ok(position)), Ok(extent)) = (
        position.map(|bytes| checkpoint::position(bytes)),
        ExtentHeader::decode(whole),
    ) else {
        return false;
    };
    let mut before = groups(whole).into_iter().map(|group| group.bytes);
    is_extent(path)
        && extent.begun
        && extent.extent == position.extent
        && before.any(|bytes| bytes.end <= position.byte as usize && left.get(bytes.clone()) != whole.get(bytes))
}

fn is_extent(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind == "extent")
}

fn logs(run: &mut Run) -> Result<Option<Vec<Vec<Entry>>>, Broken> {
    match Life::start(run)? {
        Some(mut life) => life.logs(),
        None => Ok(None),
    }
}

/// A change by which the file may hold what nobody was told of, and what is not there any more.
const OLDER: &str = "an older copy of its start, or of all";

/// What becomes of a file: other bytes, or nothing.
fn change(files: &Files, earlier: &Files, path: &Path, dice: &mut Dice) -> (&'static str, Option<Vec<u8>>) {
    let mut bytes = files[path].clone();
    let length = bytes.len();
    if length == 0 {
        return ("removed", None);
    }
    // Mostly where something stands.
    let used = bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(length, |last| last + 1);
    let within = if dice.chance(7, 8) { used } else { length };
    let mut byte = || dice.below(within as u64) as usize;
    let (at, other) = (byte(), byte());
    let (block, second) = (at / BLOCK * BLOCK, other / BLOCK * BLOCK);
    let moved = [1, 8, 72, 512, BLOCK][dice.below(5) as usize];
    let end = (block + BLOCK).min(length);
    let what = match dice.below(14) {
        0 => {
            bytes[at] ^= 1 << dice.below(8);
            "a bit"
        }
        1 => {
            bytes[block..].fill(0);
            "zeros from a block on"
        }
        2 => {
            bytes[block..end].fill(0);
            "zeros in a block"
        }
        3 => {
            bytes.truncate(at);
            "cut"
        }
        4 => {
            bytes.resize(length + moved, 0);
            "longer"
        }
        5 => {
            bytes.splice(at..at, std::iter::repeat_n(0, moved));
            "more bytes in it"
        }
        6 => {
            bytes.splice(at..at, std::iter::repeat_n(0, moved));
            bytes.truncate(length);
            "bytes moved to the end"
        }
        7 => {
            bytes.drain(at..(at + moved).min(length));
            bytes.resize(length, 0);
            "bytes moved to the start"
        }
        8 | 9 if block != second && block.max(second) + BLOCK <= length => {
            let (low, high) = (block.min(second), block.max(second));
            let (left, right) = bytes.split_at_mut(high);
            left[low..low + BLOCK].swap_with_slice(&mut right[..BLOCK]);
            "two blocks swapped"
        }
        10 if second + BLOCK <= length && block + BLOCK <= length => {
            bytes.copy_within(block..end, second);
            "a block twice"
        }
        11 => {
            let others: Vec<&Vec<u8>> = files.values().collect();
            bytes.clone_from(others[dice.below(others.len() as u64) as usize]);
            "another file"
        }
        12 if let Some(old) = earlier.get(path) => {
            let part = [512, BLOCK, old.len()][dice.below(3) as usize]
                .min(old.len())
                .min(length);
            bytes[..part].copy_from_slice(&old[..part]);
            OLDER
        }
        12 if let Ok(header) = ExtentHeader::decode(&bytes) => {
            let prepared = ExtentHeader::prepared(header.store, header.extent, header.capacity);
            bytes[..BLOCK].copy_from_slice(&prepared.encode());
            "its header before it began"
        }
        _ => return ("removed", None),
    };
    (what, Some(bytes))
}
