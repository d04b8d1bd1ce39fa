//! Whole older copies, which only a reference tells.

use super::*;

fn missing(disk: &Simulated, at_least: &AtLeast) -> Vec<String> {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let report = verify_at_least_on(&shared, Path::new(DIR), at_least, &mut |_| {}).unwrap();
    assert_eq!(report.is_clean(), report.missing.is_empty(), "{report:?}");
    report.missing.into_iter().map(|missing| missing.what).collect()
}

#[test]
fn a_whole_older_copy_is_told_by_a_sequence_and_by_a_backup_of_later() {
    let older = small("a", "b");
    let disk = older.copy();
    run(async {
        let engine = Engine::open(config(&disk, DIR)).unwrap();
        let store = engine.store(STORES[0]).await.unwrap();
        let transaction = Transaction::single(path("a"), Sequence(2), vec![Record::new("later")]);
        store.append(transaction).await.unwrap();
        engine.close().await;
    });
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let source = FolderSource::open(Arc::clone(&shared), Path::new(DIR)).unwrap();
    backup(&source, &shared, Path::new("/backup"), &mut |_| {}).unwrap();
    drop(source);
    let manifest = crate::directory::manifest::Manifest::read(&*shared, Path::new("/backup"))
        .unwrap()
        .unwrap();
    let of = |store, segment, sequence| AtLeast {
        segments: vec![(store, path(segment), Sequence(sequence))],
        ..AtLeast::default()
    };
    let backups = AtLeast {
        backups: vec![manifest],
        ..AtLeast::default()
    };
    assert!(verified(&older, DIR).is_clean(), "nothing in it tells");
    assert_eq!(missing(&older, &of(STORES[0], "a", 1)), Vec::<String>::new());
    assert_eq!(missing(&older, &of(STORES[0], "a", 2)), ["s/a ends at 1; it had 2"]);
    assert_eq!(missing(&older, &of(STORES[0], "c", 1)), ["s/c is not there; it had 1"]);
    assert_eq!(missing(&older, &of(STORES[1], "a", 1)), ["the store is not there"]);
    assert_eq!(missing(&older, &backups).len(), 1);
    for at_least in [of(STORES[0], "a", 2), backups] {
        assert_eq!(missing(&disk, &at_least), Vec::<String>::new());
    }
}

#[test]
fn a_backup_that_lost_what_its_manifest_names_is_not_whole_and_neither_is_one_whose_manifest_is_damaged() {
    let disk = small("a", "b");
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let source = FolderSource::open(Arc::clone(&shared), Path::new(DIR)).unwrap();
    let target = Path::new("/backup");
    backup(&source, &shared, target, &mut |_| {}).unwrap();
    drop(source);
    let look = |disk: &Simulated| verified(disk, "/backup");
    assert!(look(&disk).is_clean());
    let folder = target.join("stores").join(STORES[0].to_string());
    let newest = disk.list(&folder).unwrap().into_iter().max().unwrap();
    let lost = disk.copy();
    lost.remove(&folder.join(newest)).unwrap();
    let report = look(&lost);
    assert!(!report.is_clean() && report.missing.len() == 1, "{report:?}");
    let manifest = target.join(crate::directory::names::MANIFEST);
    let whole = crate::disk::read_all(&*disk.open(&manifest, OpenMode::Read).unwrap()).unwrap();
    for text in [&whole[..whole.len() / 2], b"", b"{}", b"[[[["] {
        let damaged = disk.copy();
        crate::disk::replace(&damaged, &manifest, text).unwrap();
        let report = look(&damaged);
        assert!(report.manifest.is_some() && !report.is_clean(), "{report:?}");
    }
    disk.remove(&manifest).unwrap();
    assert!(look(&disk).is_clean(), "a data directory like any other");
}
