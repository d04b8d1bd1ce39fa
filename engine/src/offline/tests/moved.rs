//! Bytes that are whole, and stand where they do not belong: blocks, files, and copies of another time or store.

use super::*;

/// What verify says of a directory, and what a repair says of it, are the same.
#[track_caller]
fn check_agree(disk: &Simulated, report: &RepairReport, what: &str) {
    let verified = verified(disk, DIR);
    for (verified, repaired) in verified.stores.iter().zip(&report.stores) {
        assert_eq!(verified.damage, repaired.damage, "{what}");
    }
}

/// Nothing is told to be both lost and left out.
#[track_caller]
fn check_apart(report: &RepairReport, what: &str) {
    for store in &report.stores {
        for lost in store.damage.iter().flat_map(|damage| &damage.affected) {
            let both = store
                .left_out
                .iter()
                .any(|range| range.path == lost.path && range.first <= lost.last && lost.first <= range.last);
            assert!(!both, "{what}: {lost} is lost and left out: {store:?}");
        }
    }
}

#[track_caller]
fn check(history: &History, disk: &Simulated, what: &str) -> RepairReport {
    let mut last = None;
    for keep in [Keep::Oldest, Keep::Newest] {
        let disk = disk.copy();
        let (report, _) = check_repair(history, &disk, keep, what);
        check_agree(&disk, &report, what);
        check_apart(&report, what);
        last = Some(report);
    }
    last.unwrap()
}

fn all_is_told(report: &RepairReport, store: usize) -> bool {
    report.stores[store].damage.iter().all(|damage| damage.affected_is_all)
}

fn lost(report: &RepairReport, store: usize) -> u64 {
    let damage = report.stores[store].damage.iter();
    let ranges = damage.flat_map(|damage| &damage.affected);
    ranges.map(|range| range.last.0 - range.first.0 + 1).sum()
}

#[test]
fn nothing_of_another_stores_extent_is_salvaged_and_what_it_took_the_place_of_is_listed() {
    let history = history(20);
    for number in 1..4 {
        let disk = history.disk.copy();
        let foreign = disk.files()[&file(STORES[1], &format!("{number:020}.extent"))].clone();
        disk.damage(&extent(number), |bytes| *bytes = foreign);
        let report = check(&history, &disk, &format!("extent {number}"));
        assert!(!report.stores[0].is_complete() && report.stores[1].is_complete());
        assert!(lost(&report, 0) > 0, "{report:?}");
        assert!(all_is_told(&report, 0), "the index file tells: {report:?}");
        // Without anything that tells, it is said that the list may not be all.
        disk.remove(&extent(number).with_extension("index")).unwrap();
        let report = check(&history, &disk, &format!("extent {number} without index"));
        assert!(!all_is_told(&report, 0), "{report:?}");
    }
}

#[test]
fn what_stood_behind_the_checkpoint_of_an_open_extent_that_is_gone_is_not_known() {
    let disk = small("a", "b");
    let engine = Engine::open(config(&disk, DIR)).unwrap();
    let killed = run(async {
        let store = engine.store(STORES[0]).await.unwrap();
        let transaction = Transaction::single(path("a"), Sequence(2), vec![Record::new("later")]);
        store.append(transaction).await.unwrap();
        disk.copy()
    });
    killed.damage(&extent(1), |bytes| bytes.truncate(100));
    let report = repaired(&killed, "/target", Keep::Newest);
    assert!(!report.is_complete() && lost(&report, 0) == 2, "{report:?}");
    assert!(!all_is_told(&report, 0), "nothing tells of a 2: {report:?}");
}

#[test]
fn nothing_of_a_folder_that_is_another_stores_is_salvaged() {
    let history = history(21);
    let disk = history.disk.copy();
    for (path, bytes) in history.disk.files() {
        let own = Path::new(DIR).join("stores").join(STORES[0].to_string());
        if let Ok(name) = path.strip_prefix(Path::new(DIR).join("stores").join(STORES[1].to_string())) {
            let there = own.join(name);
            let shared: Arc<dyn Disk> = Arc::new(disk.clone());
            crate::disk::replace(&*shared, &there, &bytes).unwrap();
        }
    }
    let report = check(&history, &disk, "the folder");
    assert_eq!(report.stores[0].entries, 0, "{report:?}");
    assert!(!all_is_told(&report, 0), "{report:?}");
}

#[test]
fn an_extent_of_this_store_under_another_number_costs_what_that_one_held() {
    let history = history(22);
    for (from, to) in [(1, 2), (2, 1), (3, 2), (2, 3)] {
        let disk = history.disk.copy();
        let other = disk.files()[&extent(from)].clone();
        disk.damage(&extent(to), |bytes| *bytes = other);
        let report = check(&history, &disk, &format!("{from} as {to}"));
        assert!(lost(&report, 0) > 0 && all_is_told(&report, 0), "{report:?}");
        // And both exchanged.
        let other = history.disk.files()[&extent(to)].clone();
        disk.damage(&extent(from), |bytes| *bytes = other);
        let report = check(&history, &disk, &format!("{from} and {to}"));
        assert!(lost(&report, 0) > 0 && all_is_told(&report, 0), "{report:?}");
    }
}

#[test]
fn a_header_alone_does_not_make_another_stores_groups_this_stores() {
    let history = history(23);
    for with_index in [true, false] {
        for header in ["own", "own, dented", "zeros", "foreign"] {
            let disk = history.disk.copy();
            let foreign = disk.files()[&file(STORES[1], "00000000000000000001.extent")].clone();
            disk.damage(&extent(1), |bytes| {
                let from = if header == "foreign" { 0 } else { 4096 };
                let length = bytes.len().min(foreign.len());
                bytes[from..length].copy_from_slice(&foreign[from..length]);
                match header {
                    "zeros" => bytes[..4096].fill(0),
                    // It still says whose it is, and its salt.
                    "own, dented" => bytes[4000] ^= 1,
                    _ => {}
                }
            });
            if !with_index {
                disk.remove(&extent(1).with_extension("index")).unwrap();
            }
            let report = check(&history, &disk, &format!("{header}, {with_index}"));
            assert_eq!(all_is_told(&report, 0), with_index, "{report:?}");
        }
    }
}

#[test]
fn groups_that_changed_places_in_their_extent_are_kept() {
    // Groups of the same size.
    let disk = Simulated::new(5);
    run(async {
        let engine = Engine::open(config(&disk, DIR)).unwrap();
        let store = engine.store(STORES[0]).await.unwrap();
        for sequence in 1..=30 {
            let records = vec![Record::new(vec![b'x'; 3000])];
            let transaction = Transaction::single(path("a"), Sequence(sequence), records);
            store.append(transaction).await.unwrap();
        }
        engine.close().await;
    });
    let before = read_all_stores(&disk.copy(), DIR);
    let groups: Vec<usize> =
        memchr::memmem::find_iter(&disk.files()[&extent(1)], &format::group::GROUP_MAGIC).collect();
    for (one, other) in [(1, 3), (1, 12), (2, 3), (4, 9), (11, 12), (3, groups.len() - 2)] {
        let disk = disk.copy();
        disk.damage(&extent(1), |bytes| {
            for byte in 0..groups[3] - groups[2] {
                bytes.swap(groups[one] + byte, groups[other] + byte);
            }
        });
        let found = verified(&disk, DIR);
        assert!(!found.stores[0].damage.is_empty(), "bytes skipped are damage");
        let report = repaired(&disk, "/target", Keep::Newest);
        assert!(report.is_complete(), "{one} {other}: {report:?}");
        assert_eq!(read_all_stores(&disk, "/target"), before, "{one} {other}");
    }
    for inserted in [1, 5, 8, 512, 4096, 5000] {
        let disk = disk.copy();
        disk.damage(&extent(1), |bytes| {
            bytes.splice(9000..9000, vec![0; inserted]);
        });
        let report = repaired(&disk, "/target", Keep::Newest);
        // The group in which they stand now is not whole.
        assert!(
            !report.is_complete() && all_is_told(&report, 0),
            "{inserted}: {report:?}"
        );
        assert_eq!(lost(&report, 0), 1, "{inserted}: {report:?}");
    }
}

#[test]
fn blocks_that_changed_places_cost_the_groups_on_their_edges_alone() {
    // Several groups a block, and none that begins with one.
    let disk = Simulated::new(6);
    run(async {
        let engine = Engine::open(config(&disk, DIR)).unwrap();
        let store = engine.store(STORES[0]).await.unwrap();
        for sequence in 1..=60 {
            let records = vec![Record::new(vec![b'x'; 600])];
            let transaction = Transaction::single(path("a"), Sequence(sequence), records);
            store.append(transaction).await.unwrap();
        }
        engine.close().await;
    });
    for (one, other) in [(2, 5), (2, 9), (3, 4), (5, 8)] {
        let disk = disk.copy();
        disk.damage(&extent(1), |bytes| {
            for byte in 0..4096 {
                bytes.swap(one * 4096 + byte, other * 4096 + byte);
            }
        });
        let report = repaired(&disk, "/target", Keep::Newest);
        assert!((1..=4).contains(&lost(&report, 0)), "{one} {other}: {report:?}");
        assert!(all_is_told(&report, 0), "{one} {other}: {report:?}");
    }
}

/// Moves something; says what.
fn move_bytes(history: &History, disk: &Simulated, dice: &mut Dice) -> String {
    let mut files: Vec<PathBuf> = disk.files().into_keys().collect();
    files.retain(|path| path.starts_with("/data/stores"));
    let pick = |dice: &mut Dice| files[dice.below(files.len() as u64) as usize].clone();
    let (one, other) = (pick(dice), pick(dice));
    let contents = disk.files();
    let (a, b) = (contents[&one].clone(), contents[&other].clone());
    let unit = [1, 8, 512, 4096, 8192][dice.below(5) as usize];
    let place = |bytes: &[u8], dice: &mut Dice| dice.below((bytes.len() / unit).max(1) as u64) as usize * unit;
    let (from, to) = (place(&a, dice), place(&b, dice));
    let length = unit.max(512);
    let kind = dice.below(7);
    match kind {
        // Within a file.
        0 | 1 => {
            let to = place(&a, dice);
            disk.damage(&one, |bytes| {
                let length = length.min(bytes.len() - from.max(to));
                let (source, target) = (bytes[from..from + length].to_vec(), bytes[to..to + length].to_vec());
                bytes[to..to + length].copy_from_slice(&source);
                if kind == 0 {
                    bytes[from..from + length].copy_from_slice(&target);
                }
            });
        }
        2 => disk.damage(&one, |bytes| drop(bytes.splice(from..from, vec![0; length]))),
        3 => disk.damage(&one, |bytes| drop(bytes.drain(from..bytes.len().min(from + length)))),
        // Between files.
        4 => {
            let length = length.min(a.len() - from).min(b.len() - to);
            disk.damage(&one, |bytes| {
                bytes[from..from + length].copy_from_slice(&b[to..to + length])
            });
            disk.damage(&other, |bytes| {
                bytes[to..to + length].copy_from_slice(&a[from..from + length])
            });
        }
        _ => {
            disk.damage(&one, |bytes| *bytes = b.clone());
            if kind == 5 {
                disk.damage(&other, |bytes| *bytes = a.clone());
            }
        }
    }
    let _ = history;
    format!(
        "{} and {}: {from} {to} {length} kind {kind}",
        one.display(),
        other.display()
    )
}

#[test]
fn whatever_changes_places_nothing_foreign_is_kept_and_all_that_is_missing_is_told() {
    let histories = [history(30), history(31)];
    for seed in 0..60 {
        let history = &histories[seed as usize % 2];
        let mut dice = Dice::new(seed);
        let disk = history.disk.copy();
        let what = format!("seed {seed}: {}", move_bytes(history, &disk, &mut dice));
        check(history, &disk, &what);
    }
}

#[test]
fn a_checkpoint_and_index_files_of_another_store_vouch_for_nothing() {
    let history = history(24);
    for name in ["checkpoint", "00000000000000000001.index", "00000000000000000002.index"] {
        let disk = history.disk.copy();
        let foreign = disk.files()[&file(STORES[1], name)].clone();
        disk.damage(&file(STORES[0], name), |bytes| *bytes = foreign);
        assert!(!verified(&disk, DIR).stores[0].damage.is_empty(), "{name}");
        let (report, there) = check_repair(&history, &disk.copy(), Keep::Newest, name);
        assert!(report.is_complete(), "{name}: {report:?}");
        assert_eq!(there, history.readable);
        // Nor for what is damaged beside them.
        disk.damage(&extent(1), |bytes| bytes[20_000..30_000].fill(7));
        let report = check(&history, &disk, name);
        assert_eq!(
            all_is_told(&report, 0),
            !name.starts_with("00000000000000000001"),
            "{report:?}"
        );
    }
}
