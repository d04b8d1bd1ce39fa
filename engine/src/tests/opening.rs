//! Whatever becomes of the files of a closed or killed store, it opens with every acknowledged entry, or refuses, or a
//! read says so. One case remains: the last groups of a killed store may be gone without a trace; those with a trace
//! anywhere are never cut. `verify` agrees with an open.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::directory::names::FileName;
use crate::directory::store_dir;
use crate::disk::{Disk, OpenMode};
use crate::format::extent_header::ExtentHeader;
use crate::format::group::GROUP_HEADER_BYTES;
use crate::log::walk::{Step, Walk};
use crate::simulation::Simulated;
use crate::{
    Engine, EngineConfig, Name, Record, SegmentPath, SpacesRead, Store, Stores, TimeRange, Transaction, limits,
    verify_on,
};
use streamkit_record::{LogPosition, StoreId};

const DIR: &str = "/data";
const STORE: StoreId = StoreId(uuid::Uuid::from_u128(7));
const OTHER: StoreId = StoreId(uuid::Uuid::from_u128(8));
const BLOCK: usize = limits::BLOCK_BYTES;
/// Entries at the three moments of which files are kept: two closes, and the kill.
const MOMENTS: [u64; 3] = [100, 170, 190];

type Files = BTreeMap<PathBuf, Vec<u8>>;

fn config(disk: &Simulated) -> EngineConfig {
    let mut config = EngineConfig::new(DIR);
    config.disk = Arc::new(disk.clone());
    config.extent_bytes = limits::EXTENT_BYTES_MIN;
    (config.commit_threads, config.read_threads) = (1, 1);
    config.keep_free_bytes = 0;
    config
}

/// Entry `number` of a store, over three segments in turn.
fn text(store: StoreId, number: u64) -> String {
    format!(
        "{number} {} {}",
        store.0.as_u128(),
        "x".repeat(600 + (number % 7) as usize * 150)
    )
}

async fn append(store: &dyn Store, id: StoreId, number: u64) {
    let path = SegmentPath::new("s", ["a", "b", "c"][(number % 3) as usize]).unwrap();
    let sequence = crate::Sequence(sequence_of(number));
    let transaction = Transaction::single(path, sequence, vec![Record::new(text(id, number))]);
    store.append(transaction).await.expect("nothing is in its way");
}

fn sequence_of(number: u64) -> u64 {
    number.div_ceil(3)
}

/// The files after each of [`MOMENTS`]; the last time the process was killed.
async fn moments() -> [Files; 3] {
    let mut disk = Simulated::new(1);
    let mut files = Vec::new();
    let mut first = 1;
    for (moment, &last) in MOMENTS.iter().enumerate() {
        let engine = Engine::open(config(&disk)).unwrap();
        for id in [STORE, OTHER] {
            let store = engine.store(id).await.unwrap();
            for number in first..=last {
                append(&*store, id, number).await;
            }
        }
        if moment < 2 {
            engine.close().await;
        }
        let left = disk.after_kill();
        drop(engine);
        disk = left;
        files.push(disk.files());
        first = last + 1;
    }
    files.try_into().unwrap()
}

/// All entries as they can be read, if they can.
async fn opened(disk: &Simulated) -> Result<Vec<u64>, String> {
    let engine = Engine::open(config(disk)).map_err(|error| format!("refused: {error}"))?;
    let store = engine.store(STORE).await.map_err(|error| format!("refused: {error}"))?;
    let mut reader = store.read_spaces(SpacesRead {
        spaces: BTreeMap::from([(Name::new("s").unwrap(), None)]),
        time: TimeRange::ALL,
        limit: u64::MAX,
    });
    let mut numbers = Vec::new();
    while let Some(batch) = reader.next_batch().await.map_err(|error| error.to_string())? {
        for entry in batch {
            let payload = std::str::from_utf8(&entry.payload).unwrap();
            let number = payload.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(payload, text(STORE, number), "an entry that was never written here");
            assert_eq!(entry.sequence.0, sequence_of(number));
            numbers.push(number);
        }
    }
    Ok(numbers)
}

/// The header of each group of an extent, and the transactions up to it.
fn groups(files: &Files, extent: u64) -> Vec<[u8; GROUP_HEADER_BYTES]> {
    let path = file(FileName::Extent(extent));
    let bytes = &files[&path];
    let header = ExtentHeader::decode(bytes).unwrap();
    let disk = Simulated::with_files(1, [(path.clone(), bytes.clone())]);
    let byte = BLOCK as u32;
    let start = LogPosition { extent, byte };
    let opened = disk.open(&path, OpenMode::Read).unwrap();
    let mut walk = Walk::new(opened, header.salt, start, header.state).unwrap();
    let mut headers = Vec::new();
    while let Step::Group { at, .. } = walk.step().unwrap() {
        let at = at as usize;
        headers.push(bytes[at..at + GROUP_HEADER_BYTES].try_into().unwrap());
    }
    headers
}

fn file(name: FileName) -> PathBuf {
    name.in_dir(&store_dir(Path::new(DIR), STORE))
}

/// The number of the extent that the log has come to last.
fn newest(files: &Files) -> u64 {
    let begun = |&number: &u64| {
        let bytes = files.get(&file(FileName::Extent(number)));
        bytes.is_some_and(|bytes| ExtentHeader::decode(bytes).is_ok_and(|header| header.begun))
    };
    (1..).take_while(begun).last().unwrap()
}

/// What may become of the bytes of a file, at each block or at some of them.
fn changes(bytes: &[u8], step: usize) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |what: String, changed: Vec<u8>| all.push((what, changed));
    let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let blocks = used.div_ceil(BLOCK);
    for block in (0..=blocks).step_by(step) {
        let at = (block * BLOCK).min(bytes.len());
        let end = (at + BLOCK).min(bytes.len());
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut changed = bytes.to_vec();
            change(&mut changed);
            changed
        };
        add(format!("zeros from {at}"), with(&|all| all[at..].fill(0)));
        add(format!("cut at {at}"), with(&|all| all.truncate(at)));
        add(format!("cut at {}", at + 9), with(&|all| all.truncate(at + 9)));
        add(format!("zeros in the block at {at}"), with(&|all| all[at..end].fill(0)));
        for moved in [1, 8, 512, BLOCK] {
            let zeros = || std::iter::repeat_n(0, moved);
            let grown = with(&|all| drop(all.splice(at..at, zeros())));
            add(format!("{moved} bytes more at {at}"), grown.clone());
            add(format!("all from {at} later by {moved}"), grown[..bytes.len()].to_vec());
            let gone = (at + moved).min(bytes.len());
            let shrunk = with(&|all| drop(all.drain(at..gone)));
            add(format!("{moved} bytes less at {at}"), shrunk.clone());
            let mut padded = shrunk;
            padded.resize(bytes.len(), 0);
            add(format!("all from {at} earlier by {moved}"), padded);
        }
        for other in [block + 1, block + 2, block + 5] {
            let to = other * BLOCK;
            if to + BLOCK <= bytes.len() && end - at == BLOCK {
                let copied = with(&|all| all.copy_within(at..end, to));
                add(format!("the block at {at} at {to} too"), copied);
                let copied = with(&|all| all.copy_within(to..to + BLOCK, at));
                add(format!("the block at {to} at {at} too"), copied);
                let swapped = with(&|all| {
                    let (left, right) = all.split_at_mut(to);
                    left[at..end].swap_with_slice(&mut right[..BLOCK]);
                });
                add(format!("the blocks at {at} and {to} swapped"), swapped);
            }
        }
    }
    add("one block more at its end".to_owned(), [bytes, &[0; BLOCK]].concat());
    all.retain(|(_, changed)| changed != bytes);
    all
}

/// What may become of the files of a store, by its other files, those of another store, and what they were before.
fn exchanges(files: &Files, moments: &[Files]) -> Vec<(String, PathBuf, Option<Vec<u8>>)> {
    let mut all = Vec::new();
    let of_store = |id| move |path: &&PathBuf| path.starts_with(store_dir(Path::new(DIR), id));
    for path in files.keys().filter(of_store(STORE)) {
        all.push(("removed".to_owned(), path.clone(), None));
        for (other, bytes) in files {
            if other != path {
                all.push((format!("as {}", other.display()), path.clone(), Some(bytes.clone())));
            }
        }
        for (moment, earlier) in moments.iter().enumerate() {
            if let Some(bytes) = earlier.get(path).filter(|bytes| **bytes != files[path]) {
                all.push((format!("as at moment {moment}"), path.clone(), Some(bytes.clone())));
                for length in [512, BLOCK] {
                    let mut mixed = files[path].clone();
                    let length = length.min(bytes.len()).min(mixed.len());
                    mixed[..length].copy_from_slice(&bytes[..length]);
                    all.push((format!("{length} bytes as at {moment}"), path.clone(), Some(mixed)));
                }
            }
        }
        if let Ok(header) = ExtentHeader::decode(&files[path]) {
            let mut mixed = files[path].clone();
            let before = ExtentHeader::prepared(STORE, header.extent, header.capacity);
            mixed[..BLOCK].copy_from_slice(&before.encode());
            all.push(("with its header before it began".to_owned(), path.clone(), Some(mixed)));
        }
    }
    let last = newest(files);
    for number in [last, last + 1, last + 7] {
        let index = files[&file(FileName::Index(1))].clone();
        all.push(("put there".to_owned(), file(FileName::Index(number)), Some(index)));
        let extent = files[&file(FileName::Extent(1))].clone();
        all.push(("put there".to_owned(), file(FileName::Extent(number)), Some(extent)));
    }
    all.retain(|(_, path, bytes)| files.get(path) != bytes.as_ref());
    all
}

/// What a try came to, for the count at the end.
async fn try_one(what: &str, path: &Path, changed: Option<&Vec<u8>>, files: &Files, killed: bool) -> &'static str {
    let mut damaged = files.clone();
    match changed {
        Some(bytes) => damaged.insert(path.to_owned(), bytes.clone()),
        None => damaged.remove(path),
    };
    let what = format!("killed: {killed}, {} {what}", path.display());
    let disk = Simulated::with_files(1, damaged.clone());
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let report = verify_on(&shared, Path::new(DIR), &mut |_| {}).unwrap_or_else(|error| panic!("{what}: {error}"));
    let report = report.stores.into_iter().find(|report| report.store == STORE).unwrap();
    let last = if killed { MOMENTS[2] } else { MOMENTS[1] };
    let outcome = opened(&disk).await;
    let refused = outcome.as_ref().is_err_and(|error| error.starts_with("refused"));
    assert_eq!(
        report.refused.is_some(),
        refused,
        "{what}: {:?}, {outcome:?}",
        report.refused
    );
    let read = match outcome {
        Err(error) => {
            assert!(!report.damage.is_empty(), "{what}: verify finds nothing, and {error}");
            return if refused {
                "refused"
            } else {
                "opened, and a read said so"
            };
        }
        Ok(read) => read,
    };
    let (there, count) = (read.iter().copied().collect::<BTreeSet<_>>(), read.len() as u64);
    assert_eq!(there.len() as u64, count, "{what}: something is read twice");
    assert!(there.iter().copied().eq(1..=count), "{what}: {there:?}");
    if count >= last {
        return "all there";
    }
    assert!(killed, "{what}: {count} of {last} after a close");
    assert!(
        count >= MOMENTS[1],
        "{what}: {count}, and {} before the checkpoint",
        MOMENTS[1]
    );
    // Each group was made when all before it were durable, and says so. Were one left behind the cut, it would have to be refused.
    let open = newest(files);
    let kept = newest(&damaged);
    let headers = groups(files, open);
    let cut = if kept == open {
        headers.len() - (last - count) as usize
    } else {
        0
    };
    let bytes = damaged
        .get(&file(FileName::Extent(open)))
        .map_or(&[][..], Vec::as_slice);
    for header in &headers[(cut + 1).min(headers.len())..] {
        let trace = memchr::memmem::find(bytes, header);
        assert_eq!(trace, None, "{what}: {count} of {last}, with a trace of what follows");
    }
    "cut without a trace"
}

#[tokio::test]
async fn a_store_whose_files_contradict_each_other_is_refused_and_verify_says_the_same() {
    let moments = moments().await;
    let mut counts: BTreeMap<(bool, &str), u32> = BTreeMap::new();
    for killed in [false, true] {
        let files = &moments[if killed { 2 } else { 1 }];
        let newest = newest(files);
        assert!(newest > 3, "some extents are sealed");
        let at_close = self::newest(&moments[1]);
        assert_eq!(newest, at_close, "the checkpoint stands in the open extent");
        let places = [
            (FileName::Extent(2), 6),
            (FileName::Index(2), 1),
            (FileName::Extent(newest), 1),
            (FileName::Extent(newest + 1), 6),
            (FileName::Checkpoint, 1),
        ];
        for (name, step) in places {
            let (path, bytes) = files.get_key_value(&file(name)).expect("it is there");
            for (what, changed) in changes(bytes, step) {
                let outcome = try_one(&what, path, Some(&changed), files, killed).await;
                *counts.entry((killed, outcome)).or_default() += 1;
            }
        }
        for (what, path, changed) in exchanges(files, &moments) {
            let outcome = try_one(&what, &path, changed.as_ref(), files, killed).await;
            *counts.entry((killed, outcome)).or_default() += 1;
        }
    }
    for killed in [false, true] {
        for outcome in ["refused", "opened, and a read said so", "all there"] {
            assert!(counts.contains_key(&(killed, outcome)), "{counts:?}");
        }
    }
    assert!(counts.contains_key(&(true, "cut without a trace")), "{counts:?}");
}
