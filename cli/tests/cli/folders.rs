//! Data directories as they are on a host: moved or unmounted under a server, with names that are no text, of users who may only read,
//! within each other.
#![cfg(target_os = "linux")]

use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::program::*;

const OTHER: &str = "6f1c1e0e-3c0b-4e9e-9a51-0a6f3f2d9b11";

fn produce_to(served: &Served, store: &str) -> Output {
    served.run_with(&["produce", "s/a", "--store", store], "one\n")
}

/// Until `/readyz` says why not.
fn wait_for_503(served: &Served) -> String {
    until("it is not ready", || {
        let answer = served.get("/readyz");
        answer.starts_with("HTTP/1.1 503").then_some(answer)
    })
}

fn run(command: &str, arguments: &[&Path]) -> Output {
    streamkit().arg(command).args(arguments).output().unwrap()
}

/// What a server acknowledges once its folder is gone: nothing. `take_away` makes `served.data` lead to nothing, or something else.
fn nothing_goes_elsewhere(served: &Served, take_away: impl FnOnce()) {
    assert!(produce_to(served, STORE).status.success());
    assert!(served.get("/readyz").starts_with("HTTP/1.1 200"));
    take_away();
    let refused = produce_to(served, OTHER);
    assert!(!refused.status.success(), "{}", text(&refused.stderr));
    let answer = wait_for_503(served);
    assert!(
        answer.contains("deleted or moved away") || answer.contains("in the place of"),
        "{answer}"
    );
    assert!(served.get("/metrics").contains("streamkit_ready 0"));
    let refused = produce_to(served, STORE);
    assert_eq!(refused.status.code(), Some(5), "{}", text(&refused.stderr));
    assert!(
        text(&refused.stderr).contains("accepts no writes since"),
        "{}",
        text(&refused.stderr)
    );
    assert!(!served.data.join("stores").exists(), "nothing is made there");
    let target = served.data.with_file_name("backup-of-nothing");
    let backup = served.run(&["backup", &served.url, target.to_str().unwrap()]);
    assert!(
        !backup.status.success() && text(&backup.stderr).contains("data directory"),
        "{}",
        text(&backup.stderr)
    );
}

#[test]
fn a_server_whose_folder_is_renamed_acknowledges_nothing_that_its_next_one_does_not_find() {
    let dir = tempfile::tempdir().unwrap();
    let moved = dir.path().join("moved");
    let mut served = Served::start(dir.path());
    let another = OTHER.replace("9b11", "9b12");
    assert!(produce_to(&served, &another).status.success());
    nothing_goes_elsewhere(&served, || std::fs::rename(&served.data, &moved).unwrap());
    served.signal("TERM");
    served.wait();
    assert!(!served.data.exists());
    let verified = verify(&moved);
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    let log = served.log();
    assert_eq!(
        log.matches("is not the one that was opened: no store").count(),
        1,
        "{log}"
    );
    assert!(!log.contains("until it is reopened"), "one line is for all: {log}");
    assert_eq!(lines(&verified.stdout).len(), 2);
}

#[test]
fn a_server_whose_folder_is_deleted_acknowledges_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    nothing_goes_elsewhere(&served, || std::fs::remove_dir_all(&served.data).unwrap());
}

#[test]
fn a_server_whose_folder_is_unmounted_writes_nothing_on_the_disk_underneath() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "none"])
        .arg(&data)
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|mounted| mounted.success()) {
        return eprintln!("skipped: nothing can be mounted here");
    }
    let served = Served::start(dir.path());
    nothing_goes_elsewhere(&served, || {
        assert!(Command::new("umount").arg("-l").arg(&data).status().unwrap().success());
    });
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0);
}

#[test]
fn a_server_whose_lock_file_is_deleted_lets_no_other_in_and_says_who_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    assert!(produce_to(&served, STORE).status.success());
    std::fs::remove_file(served.data.join("lock")).unwrap();
    let key = dir.path().join("key");
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&served.data, &link).unwrap();
    let pid = format!("process {} (streamkit)", served.process());
    for data in [&served.data, &link, &served.data.join("../data")] {
        let mut second = streamkit();
        second
            .args(["serve", "--listen", "127.0.0.1:0", "--jwt-key-file"])
            .arg(&key)
            .arg("--data")
            .arg(data);
        let refused = second.output().unwrap();
        let said = text(&refused.stderr);
        assert!(
            !refused.status.success() && said.contains(&pid) && said.contains("never the answer"),
            "{said}"
        );
        let target = dir.path().join("target");
        for (command, more) in [
            ("verify", None),
            ("inspect", None),
            ("repair", Some(&target)),
            ("backup", Some(&target)),
        ] {
            let mut offline = streamkit();
            let refused = offline.arg(command).arg(data).args(more).output().unwrap();
            assert!(
                text(&refused.stderr).contains(&pid),
                "{command}: {}",
                text(&refused.stderr)
            );
        }
        assert!(!target.join("stores").exists());
    }
    assert!(!served.data.join("lock").exists());
    wait_for_503(&served);
    assert_eq!(produce_to(&served, STORE).status.code(), Some(5));
}

/// A data directory with a store, at rest.
fn stored(dir: &Path, data: &Path) {
    let mut served = Served::start_on(dir, data);
    assert!(produce_to(&served, STORE).status.success());
    served.signal("TERM");
    served.wait();
}

#[test]
fn a_path_that_is_no_text_takes_no_command_down() {
    let dir = tempfile::tempdir().unwrap();
    let odd = |name: &[u8]| dir.path().join(std::ffi::OsString::from_vec(name.to_vec()));
    let data = odd(b"d\xff\xe9ta");
    stored(dir.path(), &data);
    let (backup, restored, repaired) = (odd(b"b\xff"), odd(b"r\xff"), odd(b"p\xff"));
    for (command, arguments, key) in [
        ("backup", vec![data.as_path(), &backup], "target"),
        ("restore", vec![backup.as_path(), &restored], "dir"),
        ("doctor", vec![data.as_path(), Path::new("--time=20ms")], "dir"),
        ("repair", vec![data.as_path(), &repaired], "store"),
        ("inspect", vec![restored.as_path()], "what"),
        ("verify", vec![backup.as_path()], "store"),
        (
            "verify",
            vec![restored.as_path(), Path::new("--at-least"), &backup],
            "store",
        ),
    ] {
        let done = run(command, &arguments);
        let said = text(&done.stderr);
        assert!(
            done.status.code().is_some_and(|code| code <= 1) && !said.contains("panicked"),
            "{command}: {said}"
        );
        assert!(command == "doctor" || done.status.success(), "{command}: {said}");
        assert!(lines(&done.stdout)[0].get(key).is_some(), "{command}");
    }
    let extent = data.join("stores").join(STORE).join("00000000000000000001.extent");
    let mut bytes = std::fs::read(&extent).unwrap();
    bytes[60] ^= 1;
    std::fs::write(&extent, bytes).unwrap();
    let found = verify(&data);
    assert_eq!(found.status.code(), Some(6), "{}", text(&found.stderr));
    let file = lines(&found.stdout)[0]["damage"][0]["file"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(file.contains('\u{fffd}') && file.ends_with(".extent"), "{file}");
}

#[test]
fn no_copy_goes_into_what_it_copies_nor_around_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    stored(dir.path(), &data);
    let (link, into) = (dir.path().join("link"), dir.path().join("into"));
    std::os::unix::fs::symlink(&data, &link).unwrap();
    std::fs::create_dir(data.join("sub")).unwrap();
    std::os::unix::fs::symlink(data.join("sub"), &into).unwrap();
    let backup = dir.path().join("backup");
    assert!(run("backup", &[&data, &backup]).status.success());
    let names = |folder: &Path| -> Vec<PathBuf> {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort();
        names
    };
    let before = (names(&data), names(&backup));
    for target in [
        data.clone(),
        link.join("new"),
        data.join("sub/new"),
        into.join("new"),
        into.clone(),
        data.join("../data/x"),
    ] {
        for (command, from) in [("backup", &data), ("repair", &data), ("restore", &backup)] {
            let refused = run(command, &[from, &target]);
            assert_eq!(
                refused.status.code(),
                Some(1),
                "{command} {}: {}",
                target.display(),
                text(&refused.stderr)
            );
        }
    }
    for target in [backup.join("new"), backup.join("stores/x")] {
        assert!(!run("restore", &[&backup, &target]).status.success());
    }
    // The folder around it, and a server's own.
    assert!(!run("backup", &[&data, dir.path()]).status.success());
    assert_eq!((names(&data), names(&backup)), before);
    assert_eq!(names(&data.join("sub")).len(), 0);
    let served = Served::start_on(dir.path(), &data);
    let refused = served.run(&["backup", &served.url, into.join("new").to_str().unwrap()]);
    assert!(
        text(&refused.stderr).contains("in the data directory"),
        "{}",
        text(&refused.stderr)
    );
}

#[test]
fn what_a_newer_version_wrote_is_neither_restored_nor_backed_up_over() {
    let dir = tempfile::tempdir().unwrap();
    let (data, backup) = (dir.path().join("data"), dir.path().join("backup"));
    stored(dir.path(), &data);
    assert!(run("backup", &[&data, &backup]).status.success());
    let manifest = std::fs::read_to_string(backup.join("backup.json")).unwrap();
    let newer = manifest.replace("\"streamkit_backup\": 1", "\"streamkit_backup\": 5000000000");
    for (format, manifest) in [
        ("streamkit 2\n", &manifest),
        ("streamkit 70000 and more\n", &manifest),
        ("streamkit 1\n", &newer),
    ] {
        std::fs::write(backup.join("format"), format).unwrap();
        std::fs::write(backup.join("backup.json"), manifest).unwrap();
        let target = dir.path().join("restored");
        for refused in [run("restore", &[&backup, &target]), run("backup", &[&data, &backup])] {
            let said = text(&refused.stderr);
            assert!(
                refused.status.code() == Some(1) && said.contains("use a newer streamkit"),
                "{said}"
            );
        }
        assert!(!target.exists());
        assert_eq!(std::fs::read_to_string(backup.join("format")).unwrap(), format);
        assert_eq!(&std::fs::read_to_string(backup.join("backup.json")).unwrap(), manifest);
    }
}

/// Everything below a folder that others may read or write.
fn open_to_others(path: &Path, found: &mut Vec<PathBuf>) {
    let meta = std::fs::symlink_metadata(path).unwrap();
    let wanted = if meta.is_dir() { 0o700 } else { 0o600 };
    if meta.permissions().mode() & 0o777 != wanted {
        found.push(path.to_owned());
    }
    if meta.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            open_to_others(&entry.unwrap().path(), found);
        }
    }
}

#[test]
fn what_is_stored_is_its_owners_alone_whatever_the_mask() {
    for mask in ["000", "022", "077", "0777"] {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let masked = |arguments: &[&Path]| {
            let mut command = Command::new("sh");
            command.args([
                "-c",
                &format!("umask {mask}; exec \"$0\" \"$@\""),
                env!("CARGO_BIN_EXE_streamkit"),
            ]);
            let done = command.args(arguments).output().unwrap();
            assert!(done.status.success(), "{mask} {arguments:?}: {}", text(&done.stderr));
        };
        let (data, backup, restored, repaired) = (at("deep/er/data"), at("backup"), at("restored"), at("repaired"));
        let p = Path::new;
        masked(&[p("demo"), p("--data"), &data]);
        masked(&[p("backup"), &data, &backup]);
        masked(&[p("restore"), &backup, &restored]);
        masked(&[p("repair"), &data, &repaired]);
        let mut open = Vec::new();
        for folder in [&at("deep"), &backup, &restored, &repaired] {
            open_to_others(folder, &mut open);
        }
        assert_eq!(open, Vec::<PathBuf>::new(), "{mask}");
    }
}

#[test]
fn a_server_warns_once_of_a_directory_that_others_may_look_into() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    stored(dir.path(), &data);
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut served = Served::start_on(dir.path(), &data);
    assert!(produce_to(&served, OTHER).status.success());
    served.signal("TERM");
    served.wait();
    let log = served.log();
    assert_eq!(log.matches("other users of this host").count(), 1, "{log}");
}

#[test]
fn who_may_only_read_can_verify_inspect_and_back_up() {
    const NOBODY: u32 = 65534;
    let dir = tempfile::tempdir().unwrap();
    if std::fs::metadata(dir.path()).unwrap().uid() != 0 {
        return eprintln!("skipped: only root can be another user");
    }
    let data = dir.path().join("data");
    stored(dir.path(), &data);
    let made = Command::new("chmod")
        .args(["-R", "a+rX"])
        .arg(dir.path())
        .status()
        .unwrap();
    assert!(made.success());
    let program = dir.path().join("streamkit");
    std::fs::copy(env!("CARGO_BIN_EXE_streamkit"), &program).unwrap();
    let theirs = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(theirs.path(), Some(NOBODY), None).unwrap();
    let target = theirs.path().join("backup");
    for lock in [true, false] {
        if !lock {
            std::fs::remove_file(data.join("lock")).unwrap();
        }
        for arguments in [
            vec!["verify"],
            vec!["inspect"],
            vec!["backup", target.to_str().unwrap()],
        ] {
            let mut command = Command::new(&program);
            command.arg(arguments[0]).arg(&data).args(&arguments[1..]).uid(NOBODY);
            let done = command.output().unwrap();
            assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
        }
        assert_eq!(data.join("lock").exists(), lock);
    }
}
