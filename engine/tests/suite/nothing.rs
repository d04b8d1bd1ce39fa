//! A name that leads to nothing, in the place of a file or folder, is damage of that file. It is reported at once and
//! costs nothing else.
#![cfg(unix)]

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use streamkit_engine::disk::files::Files;
use streamkit_engine::*;
use uuid::Uuid;

const STORES: [StoreId; 2] = [StoreId(Uuid::from_u128(7)), StoreId(Uuid::from_u128(8))];

fn path() -> SegmentPath {
    SegmentPath::new("s", "a").unwrap()
}

async fn written() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(EngineConfig::new(dir.path())).unwrap();
    for id in STORES {
        let store = engine.store(id).await.unwrap();
        let transaction = Transaction::single(path(), Sequence::FIRST, vec![Record::new("one")]);
        store.append(transaction).await.unwrap();
    }
    engine.close().await;
    dir
}

/// What stands in the place of something, by name.
fn put(what: &str, place: &Path) {
    match what {
        "a socket" => drop(UnixListener::bind(place).unwrap()),
        "a link to itself" => symlink(place, place).unwrap(),
        "a link to nothing" => symlink("nowhere", place).unwrap(),
        "a file" => std::fs::write(place, "").unwrap(),
        _ => std::fs::create_dir(place).unwrap(),
    }
}

fn store_dir(dir: &Path, id: StoreId) -> PathBuf {
    dir.join("stores").join(id.to_string())
}

/// The first store is damaged, and the second is checked and copied all the same.
fn check_offline(dir: &Path, what: &str) {
    let report = verify(dir, &mut |_| ()).unwrap();
    let damaged: Vec<bool> = report.stores.iter().map(|store| !store.damage.is_empty()).collect();
    assert_eq!(damaged, [true, false], "{what}");
    assert_eq!(report.stores[1].entries, 1, "{what}");
    let target = tempfile::tempdir().unwrap();
    let disk = Arc::new(Files) as Arc<dyn disk::Disk>;
    let repaired = repair_on(&disk, dir, target.path(), Keep::Newest, &mut |_| ()).unwrap();
    let copied: Vec<u64> = repaired.stores.iter().map(|store| store.entries).collect();
    assert_eq!(
        (copied[1], repaired.stores[0].is_complete()),
        (1, copied[0] == 1),
        "{what}"
    );
    assert!(verify(target.path(), &mut |_| ()).unwrap().is_clean(), "{what}");
}

#[tokio::test]
async fn a_name_that_leads_to_nothing_costs_no_other_store() {
    for name in ["00000000000000000001.extent", "checkpoint"] {
        for what in ["a socket", "a link to itself", "a link to nothing", "a folder"] {
            let dir = written().await;
            let place = store_dir(dir.path(), STORES[0]).join(name);
            std::fs::remove_file(&place).unwrap();
            put(what, &place);
            let what = format!("{what} as {name}");
            check_offline(dir.path(), &what);
        }
    }
    for what in ["a socket", "a link to itself", "a link to nothing", "a file"] {
        let dir = written().await;
        let place = store_dir(dir.path(), STORES[0]);
        std::fs::remove_dir_all(&place).unwrap();
        put(what, &place);
        check_offline(dir.path(), &format!("{what} as the folder of a store"));
        let engine = Engine::open(EngineConfig::new(dir.path())).unwrap();
        let opened = engine.store(STORES[0]).await;
        assert!(opened.is_err(), "what was acknowledged is not an empty store: {what}");
        assert!(engine.store(STORES[1]).await.is_ok(), "{what}");
        engine.close().await;
    }
}

#[tokio::test]
async fn something_else_in_the_place_of_all_stores_is_refused_at_once() {
    for what in ["a socket", "a link to itself", "a link to nothing", "a file", "a pipe"] {
        let dir = written().await;
        let place = dir.path().join("stores");
        std::fs::remove_dir_all(&place).unwrap();
        match what {
            "a pipe" => {
                let kind = rustix::fs::FileType::Fifo;
                rustix::fs::mknodat(rustix::fs::CWD, &place, kind, rustix::fs::Mode::from(0o600), 0).unwrap();
            }
            what => put(what, &place),
        }
        assert!(Engine::open(EngineConfig::new(dir.path())).is_err(), "{what}");
        assert!(verify(dir.path(), &mut |_| ()).is_err(), "{what}");
    }
}

#[tokio::test]
async fn a_directory_without_the_folder_of_its_stores_is_no_empty_one() {
    let dir = written().await;
    let (stores, away) = (dir.path().join("stores"), dir.path().join("away"));
    std::fs::rename(&stores, &away).unwrap();
    let refused = Engine::open(EngineConfig::new(dir.path())).err().unwrap();
    assert!(
        matches!(&refused, OpenError::StoresGone(path) if *path == stores),
        "{refused}"
    );
    assert!(!stores.exists(), "nothing is made in its place");
    let report = verify(dir.path(), &mut |_| ()).unwrap();
    assert!(!report.is_clean(), "{report:?}");
    let (target, disk) = (tempfile::tempdir().unwrap(), Arc::new(Files) as Arc<dyn disk::Disk>);
    let repaired = repair_on(&disk, dir.path(), target.path(), Keep::Newest, &mut |_| ());
    assert!(repaired.is_err() || !repaired.unwrap().is_complete());
    std::fs::rename(&away, &stores).unwrap();
    let engine = Engine::open(EngineConfig::new(dir.path())).unwrap();
    let store = engine.store(STORES[1]).await.unwrap();
    assert_eq!(store.status().await.unwrap().entry_count, 1);
    engine.close().await;
    // Nor is a backup that was opened, whatever its manifest says.
    for stores_in_backup in [true, false] {
        let target = tempfile::tempdir().unwrap();
        let disk = Arc::new(Files) as Arc<dyn disk::Disk>;
        let empty = tempfile::tempdir().unwrap();
        Engine::open(EngineConfig::new(empty.path())).unwrap().close().await;
        let of = if stores_in_backup { dir.path() } else { empty.path() };
        let source = backup::FolderSource::open(Arc::clone(&disk), of).unwrap();
        backup::backup(&source, &disk, target.path(), &mut |_| ()).unwrap();
        drop(source);
        let stores = target.path().join("stores");
        if stores_in_backup {
            std::fs::rename(&stores, target.path().join("away")).unwrap();
        } else {
            let engine = Engine::open(EngineConfig::new(target.path())).unwrap();
            let store = engine.store(STORES[0]).await.unwrap();
            let transaction = Transaction::single(path(), Sequence::FIRST, vec![Record::new("one")]);
            store.append(transaction).await.unwrap();
            drop(store);
            engine.close().await;
            std::fs::rename(&stores, target.path().join("away")).unwrap();
        }
        let refused = Engine::open(EngineConfig::new(target.path())).err();
        assert!(
            matches!(&refused, Some(OpenError::StoresGone(path)) if *path == stores),
            "{refused:?}"
        );
    }
    // One that was never used opens again.
    let new = tempfile::tempdir().unwrap();
    Engine::open(EngineConfig::new(new.path())).unwrap().close().await;
    Engine::open(EngineConfig::new(new.path())).unwrap().close().await;
}

#[tokio::test]
async fn a_folder_of_copies_is_never_opened_as_stores_of_its_own_nor_the_other_way_round() {
    let of_copies = |dir: &Path| EngineConfig {
        copies: true,
        ..EngineConfig::new(dir)
    };
    let dir = written().await;
    let refused = Engine::open(of_copies(dir.path())).err();
    assert!(matches!(refused, Some(OpenError::HoldsStores(_))), "{refused:?}");
    Engine::open(EngineConfig::new(dir.path())).unwrap().close().await;
    let dir = tempfile::tempdir().unwrap();
    Engine::open(of_copies(dir.path())).unwrap().close().await;
    let refused = Engine::open(EngineConfig::new(dir.path())).err();
    assert!(matches!(refused, Some(OpenError::HoldsCopies(_))), "{refused:?}");
    // Nor is anything made of it that could be.
    let (disk, target) = (Arc::new(Files) as Arc<dyn disk::Disk>, tempfile::tempdir().unwrap());
    let refused = repair_on(&disk, dir.path(), target.path(), Keep::Newest, &mut |_| ()).err();
    assert!(matches!(refused, Some(OpenError::HoldsCopies(_))), "{refused:?}");
    let refused = backup::FolderSource::open(Arc::clone(&disk), dir.path()).err();
    assert!(matches!(refused, Some(OpenError::HoldsCopies(_))), "{refused:?}");
    // Also one whose first opening was cut short.
    std::fs::remove_file(dir.path().join("format")).unwrap();
    let refused = Engine::open(EngineConfig::new(dir.path())).err();
    assert!(matches!(refused, Some(OpenError::HoldsCopies(_))), "{refused:?}");
    Engine::open(of_copies(dir.path())).unwrap().close().await;
}
