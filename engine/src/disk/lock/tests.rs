//! Tests of [`super`].

use super::*;

#[test]
fn a_folder_is_locked_by_itself_under_whatever_name_and_without_its_lock_file() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("own");
    std::fs::create_dir(&own).unwrap();
    std::os::unix::fs::symlink(&own, dir.path().join("link")).unwrap();
    let first = lock(&own.join("lock")).unwrap().unwrap();
    std::fs::remove_file(own.join("lock")).unwrap();
    for name in ["own", "link", "own/../own", "./link/."] {
        assert!(lock(&dir.path().join(name).join("lock")).unwrap().is_none(), "{name}");
    }
    assert!(!own.join("lock").exists(), "who is refused makes no file");
    assert!(
        first
            .folder_watch()
            .unwrap()
            .check()
            .unwrap()
            .unwrap()
            .contains("lock was deleted")
    );
    std::fs::rename(&own, dir.path().join("moved")).unwrap();
    assert!(lock(&dir.path().join("moved/lock")).unwrap().is_none());
    drop(first);
    assert!(lock(&dir.path().join("moved/lock")).unwrap().is_some());
}

#[test]
fn what_a_lock_stands_on_is_noticed_to_be_gone_or_another() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("own");
    std::fs::create_dir_all(own.join("stores")).unwrap();
    let held = lock(&own.join("lock")).unwrap().unwrap();
    let watch = held.folder_watch().unwrap();
    assert!(watch.add(&own.join("stores")).unwrap());
    assert_eq!(watch.check().unwrap(), None);
    watch.takes_files().unwrap();
    std::fs::rename(own.join("stores"), dir.path().join("elsewhere")).unwrap();
    assert!(watch.check().unwrap().unwrap().contains("deleted or moved"));
    std::fs::create_dir(own.join("stores")).unwrap();
    assert!(watch.check().unwrap().unwrap().contains("another"));
    // Whoever takes the moved stores for his own is refused, too.
    std::fs::create_dir(dir.path().join("new")).unwrap();
    let other = lock(&dir.path().join("new/lock")).unwrap().unwrap();
    assert!(
        !other
            .folder_watch()
            .unwrap()
            .add(&dir.path().join("elsewhere"))
            .unwrap()
    );
}

#[test]
fn the_process_that_has_a_folder_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let _held = lock(&path).unwrap().unwrap();
    let holder = holder(&path);
    assert!(holder.contains(&std::process::id().to_string()), "{holder}");
    let text = "1: FLOCK  ADVISORY  WRITE 77 fe:00:5678 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 78 fe:00:9 0 EOF\n";
    assert_eq!(process_that_locks(text, 5678), Some(77));
    assert_eq!(process_that_locks(text, 78), None);
}
