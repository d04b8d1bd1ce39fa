//! A directory as a whole: what it says it is, and how much of it there is.

use super::*;

fn format_file() -> PathBuf {
    Path::new(DIR).join("format")
}

/// Of a directory whose file `format` is damaged that way: an engine refuses and says what to do, and what it says works.
#[track_caller]
fn check_format(damage: impl FnOnce(&Simulated), found: &str) {
    let disk = small("a", "b");
    let readable = read_all_stores(&disk.copy(), DIR);
    damage(&disk);
    let refused = Engine::open(config(&disk, DIR)).err().expect("refused");
    assert!(matches!(refused, OpenError::DamagedFormat { .. }), "{refused}");
    for part in [found, "streamkit repair"] {
        assert!(refused.to_string().contains(part), "{refused}");
    }
    let report = verified(&disk, DIR);
    assert!(!report.is_clean() && report.stores[0].damage.is_empty(), "{report:?}");
    assert!(report.format.unwrap().found.contains(found));
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut damaged = 0;
    let mut show = |shown| {
        damaged += u64::from(matches!(shown, Inspection::Damage(_)));
        true
    };
    inspect_on(&shared, Path::new(DIR), InspectQuery::default(), &mut |_| {}, &mut show).unwrap();
    assert_eq!(damaged, 1);
    let report = repaired(&disk, "/target", Keep::Newest);
    assert!(report.is_complete() && report.format.is_some(), "{report:?}");
    assert!(verified(&disk, "/target").is_clean());
    assert_eq!(read_all_stores(&disk, "/target"), readable);
}

#[test]
fn a_format_file_that_is_damaged_or_missing_is_damage_that_a_repair_mends() {
    check_format(|disk| disk.remove(&format_file()).unwrap(), "is missing");
    check_format(
        |disk| disk.damage(&format_file(), |bytes| bytes[0] ^= 1),
        "does not say `streamkit` and a version",
    );
    check_format(
        |disk| disk.damage(&format_file(), |bytes| bytes[10] = b'0'),
        "does not say `streamkit` and a version",
    );
    check_format(|disk| disk.damage(&format_file(), Vec::clear), "does not say");
    check_format(|disk| disk.lose(&format_file(), 0), "cannot be read");
}

#[test]
fn a_format_file_of_a_newer_version_or_of_something_else_is_refused() {
    let disk = small("a", "b");
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    disk.damage(&format_file(), |bytes| bytes[10] = b'2');
    let refused = verify_on(&shared, Path::new(DIR), &mut |_| {}).unwrap_err();
    assert!(matches!(refused, OpenError::NewerFormat { found: 2, .. }), "{refused}");
    // Nothing in it can be known for a store.
    disk.damage(&format_file(), |bytes| bytes[0] ^= 1);
    let mut extents: Vec<PathBuf> = disk.files().into_keys().collect();
    extents.retain(|path| path.extension().is_some_and(|end| end == "extent"));
    for path in extents {
        disk.damage(&path, |bytes| bytes[0] ^= 1);
    }
    assert!(verify_on(&shared, Path::new(DIR), &mut |_| {}).is_err());
    assert!(repair_on(&shared, Path::new(DIR), Path::new("/target"), Keep::Newest, &mut |_| {}).is_err());
}

#[test]
fn progress_ends_with_all_bytes_done_also_where_an_extent_is_only_prepared() {
    let history = history(14);
    let disk = history.disk.copy();
    let (last, size) = (1..)
        .map_while(|number| disk.files().get(&extent(number)).map(|bytes| (number, bytes.len())))
        .last()
        .unwrap();
    // It may be there already.
    let number = last + u64::from(verified(&disk, DIR).stores[0].extents == last);
    let header = format::extent_header::ExtentHeader::prepared(STORES[0], number, size as u64);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    if number > last {
        let mut bytes = header.encode();
        bytes.resize(size, 0);
        crate::disk::replace(&*shared, &extent(number), &bytes).unwrap();
    }
    let store = Some(STORES[0]);
    let query = InspectQuery { store, extent: None };
    let mut ends = Vec::new();
    let mut told = None;
    verify_on(&shared, Path::new(DIR), &mut |progress| told = Some(progress)).unwrap();
    ends.extend(told.take());
    inspect_on(
        &shared,
        Path::new(DIR),
        query,
        &mut |progress| told = Some(progress),
        &mut |_| true,
    )
    .unwrap();
    ends.extend(told.take());
    let mut tell = |progress| told = Some(progress);
    repair_on(&shared, Path::new(DIR), Path::new("/target"), Keep::Newest, &mut tell).unwrap();
    ends.extend(told.take());
    assert_eq!(ends.len(), 3);
    for end in ends {
        assert_eq!(end.bytes_done, end.bytes_total);
    }
}

#[test]
fn hex_is_shown_line_by_line_and_ends_when_nobody_wants_more() {
    let history = history(15);
    let shared: Arc<dyn Disk> = Arc::new(history.disk.clone());
    let shown = |wanted: usize| {
        let mut lines = Vec::new();
        let mut show = |line| {
            lines.push(line);
            lines.len() < wanted
        };
        assert!(inspect_hex_on(&shared, Path::new(DIR), STORES[0], 1, 4, &mut show).unwrap());
        lines
    };
    let all = shown(usize::MAX);
    assert!(all.len() > 60);
    for wanted in 1..all.len() {
        assert_eq!(shown(wanted), all[..wanted]);
    }
}
