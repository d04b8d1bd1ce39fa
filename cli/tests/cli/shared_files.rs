//! Files of the log under the hands of others: of a second data directory that has them too, and of whoever cuts them.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};

use crate::program::*;

fn store_of(data: &Path) -> PathBuf {
    data.join("stores").join(STORE)
}

/// Makes a data directory that shares the store of another one, as `share` does it.
fn sharing(data: &Path, other: &Path, share: impl Fn(&Path, &Path)) {
    std::fs::create_dir_all(other.join("stores")).unwrap();
    std::fs::copy(data.join("format"), other.join("format")).unwrap();
    share(&store_of(data), &store_of(other));
}

fn by_symbolic_link(store: &Path, other: &Path) {
    std::os::unix::fs::symlink(store, other).unwrap();
}

/// As `cp -al` does.
fn by_hard_links(store: &Path, other: &Path) {
    std::fs::create_dir(other).unwrap();
    for entry in std::fs::read_dir(store).unwrap() {
        let entry = entry.unwrap();
        std::fs::hard_link(entry.path(), other.join(entry.file_name())).unwrap();
    }
}

#[test]
fn two_directories_that_share_a_store_do_not_both_write_it() {
    for share in [by_symbolic_link, by_hard_links] {
        let dir = tempfile::tempdir().unwrap();
        let mut first = Served::start(dir.path());
        for number in 1..=3 {
            assert!(
                first
                    .run_with(&["produce", "s/a"], &format!("{number}\n"))
                    .status
                    .success()
            );
        }
        let other = dir.path().join("other");
        sharing(&first.data, &other, share);
        let mut second = Served::start_on(dir.path(), &other);
        let refused = second.run_with(&["produce", "s/a"], "from elsewhere\n");
        assert_eq!(refused.status.code(), Some(5), "{}", text(&refused.stderr));
        second.wait_for_log(&format!("process {} (streamkit) writes to it", first.process()));
        for number in 4..=6 {
            assert!(
                first
                    .run_with(&["produce", "s/a"], &format!("{number}\n"))
                    .status
                    .success()
            );
        }
        // Once nobody writes there, another may.
        first.signal("TERM");
        first.wait();
        second.signal("TERM");
        second.wait();
        second.restart();
        let read = second.run(&["consume", "s/a", "--format", "payload"]);
        assert_eq!(text(&read.stdout), "1\n2\n3\n4\n5\n6\n", "{}", text(&read.stderr));
        assert!(second.run_with(&["produce", "s/a"], "7\n").status.success());
        second.signal("TERM");
        second.wait();
        assert!(verify(&other).status.success());
    }
}

#[test]
fn nothing_is_acknowledged_into_an_extent_that_was_cut_or_grew() {
    for size in [0, 4096, 3 << 20] {
        let dir = tempfile::tempdir().unwrap();
        let served = Served::start(dir.path());
        assert!(served.run_with(&["produce", "s/a"], "1\n").status.success());
        let extent = store_of(&served.data).join("00000000000000000001.extent");
        let file = std::fs::OpenOptions::new().write(true).open(extent).unwrap();
        file.set_len(size).unwrap();
        let refused = served.run_with(&["produce", "s/b"], "2\n");
        assert!(!refused.status.success(), "{size}");
        served.wait_for_log("another size than it was made with");
        let again = served.run_with(&["produce", "s/b"], "2\n");
        assert_eq!(again.status.code(), Some(5), "{}", text(&again.stderr));
    }
}

#[test]
fn a_file_larger_than_it_can_be_is_never_read_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    assert!(served.run_with(&["produce", "s/a"], "1\n").status.success());
    served.signal("TERM");
    served.wait();
    let backup = dir.path().join("backup");
    let run = |command: &str, arguments: &[&Path]| streamkit().arg(command).args(arguments).output().unwrap();
    assert!(run("backup", &[&served.data, &backup]).status.success());
    let grow = |path: PathBuf| {
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(1 << 42).unwrap();
    };
    grow(backup.join("backup.json"));
    assert_eq!(
        run("restore", &[&backup, &dir.path().join("restored")]).status.code(),
        Some(6)
    );
    grow(served.data.join("format"));
    assert_eq!(run("verify", &[&served.data]).status.code(), Some(6));
    let repaired = dir.path().join("repaired");
    assert_eq!(run("repair", &[&served.data, &repaired]).status.code(), Some(0));
    assert!(verify(&repaired).status.success());
}

#[test]
fn a_place_of_stores_that_is_none_is_no_directory_without_stores() {
    let dir = tempfile::tempdir().unwrap();
    for (name, is_link) in [("link", true), ("file", false)] {
        let data = dir.path().join(name);
        let mut served = Served::start_on(dir.path(), &data);
        assert!(served.run_with(&["produce", "s/a"], "1\n").status.success());
        served.signal("TERM");
        served.wait();
        let stores = data.join("stores");
        std::fs::rename(&stores, dir.path().join(format!("{name}-away"))).unwrap();
        match is_link {
            true => std::os::unix::fs::symlink("/nowhere/at-all", &stores).unwrap(),
            false => std::fs::write(&stores, "").unwrap(),
        }
        for command in ["verify", "inspect", "serve"] {
            let mut tried = streamkit();
            tried.arg(command);
            match command {
                "serve" => tried
                    .args(["--listen", "127.0.0.1:0", "--jwt-key-file"])
                    .arg(dir.path().join("key"))
                    .arg("--data"),
                _ => &mut tried,
            };
            let tried = tried.arg(&data).output().unwrap();
            assert!(!tried.status.success(), "{name}, {command}: {}", text(&tried.stderr));
        }
    }
}
