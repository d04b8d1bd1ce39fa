//! File systems of a server's own: unmounted right after a stop, and full ones that write changed blocks elsewhere. For root,
//! where loop devices can be mounted; skipped elsewhere.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::*;

fn run(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A file system in a file.
struct Image {
    file: String,
    at: PathBuf,
}

impl Image {
    /// `None` where there is no such command.
    fn make(dir: &Path, kind: &str, bytes: u64) -> Option<Self> {
        let (file, at) = (dir.join("image"), dir.join("mounted"));
        std::fs::create_dir(&at).unwrap();
        File::create(&file).unwrap().set_len(bytes).unwrap();
        let file = file.to_string_lossy().into_owned();
        let made = run(&format!("mkfs.{kind}"), &["-q", &file]);
        if !made {
            eprintln!("skipped: no mkfs.{kind} here");
        }
        made.then_some(Self { file, at })
    }

    /// `None` where nothing can be mounted.
    fn mount(&self) -> Option<Mounted<'_>> {
        let mounted = run("mount", &["-o", "loop", &self.file, &self.at.to_string_lossy()]);
        if !mounted {
            eprintln!("skipped: nothing can be mounted here");
        }
        mounted.then_some(Mounted(&self.at))
    }
}

/// Unmounted whatever happens.
struct Mounted<'a>(&'a Path);

impl Mounted<'_> {
    fn unmount(self) -> bool {
        let unmounted = run("umount", &[&self.0.to_string_lossy()]);
        if unmounted {
            std::mem::forget(self);
        }
        unmounted
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        run("umount", &["-l", &self.0.to_string_lossy()]);
    }
}

#[test]
fn right_after_a_clean_stop_the_file_system_can_be_unmounted() {
    let dir = tempfile::tempdir().unwrap();
    let Some(image) = Image::make(dir.path(), "ext4", 100 << 20) else {
        return;
    };
    for cycle in 0..8 {
        let Some(mounted) = image.mount() else { return };
        let mut served = Served::start_on(dir.path(), &image.at.join("data"));
        let produced = served.run_with(&["produce", &format!("s/{cycle}")], &"line\n".repeat(2000));
        assert!(produced.status.success(), "{}", text(&produced.stderr));
        served.signal("TERM");
        served.wait();
        assert!(mounted.unmount(), "stop {cycle}");
    }
}

/// Takes all the room there is.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    for bytes in [1 << 20, 4096] {
        while file.write_all(&vec![7; bytes]).is_ok() {}
    }
    let _ = file.sync_all();
}

#[test]
fn a_full_disk_that_writes_changed_blocks_elsewhere_is_refused_by_name_and_passes() {
    let dir = tempfile::tempdir().unwrap();
    let Some(image) = Image::make(dir.path(), "btrfs", 300 << 20) else {
        return;
    };
    let Some(_mounted) = image.mount() else { return };
    let mut served = Served::start_on(dir.path(), &image.at.join("data"));
    served.signal("TERM");
    served.wait();
    served.restart_with(&["--keep-free-bytes", "0"]);
    let lines = format!("{}\n", "x".repeat(1000)).repeat(20);
    // Extents whose room is taken, and not yet used.
    for _ in 0..10 {
        assert!(served.run_with(&["produce", "s/a"], &lines).status.success());
    }
    for _ in 0..2 {
        fill(&image.at.join("fill"));
        let refused = (0..400).find_map(|_| {
            let produced = served.run_with(&["produce", "s/a"], &lines);
            (!produced.status.success()).then_some(produced)
        });
        let refused = refused.expect("at last there is no room");
        let said = text(&refused.stderr);
        assert!(
            said.contains("the disk is full") && said.contains("nothing was stored"),
            "{said}"
        );
        std::fs::remove_file(image.at.join("fill")).unwrap();
        run("sync", &[]);
        let again = served.run_with(&["produce", "s/a"], &lines);
        assert!(again.status.success(), "it goes on by itself: {}", text(&again.stderr));
    }
    served.signal("TERM");
    served.wait();
    assert!(verify(&served.data).status.success());
}

/// A disk that returns nothing keeps the server from saying that it works; nothing else in it fails.
#[test]
fn a_server_whose_disk_hangs_does_not_say_that_it_works() {
    let dir = tempfile::tempdir().unwrap();
    let Some(image) = Image::make(dir.path(), "ext4", 100 << 20) else {
        return;
    };
    let Some(mounted) = image.mount() else { return };
    let place = dir.path().join("notify");
    let manager = UnixDatagram::bind(&place).unwrap();
    manager.set_nonblocking(true).unwrap();
    let data = image.at.join("data");
    let variables = [("NOTIFY_SOCKET", place.to_str().unwrap()), ("WATCHDOG_USEC", "1000000")];
    let mut served = Served::start_in(dir.path(), &data, &variables);
    assert!(served.run_with(&["produce", "s/a"], "one\n").status.success());
    let at = image.at.to_string_lossy().into_owned();
    if !run("fsfreeze", &["-f", &at]) {
        return eprintln!("skipped: nothing can be frozen here");
    }
    let mut produce = served
        .command(&["produce", "s/a"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    produce.stdin.take().unwrap().write_all(b"two\n").unwrap();
    until("it says why it is silent", || {
        served.log().contains("the disk hangs").then_some(())
    });
    // Everything that it was told by now, whether or not that is of use.
    let heard = || {
        let mut bytes = [0; 256];
        let told = std::iter::from_fn(|| manager.recv(&mut bytes).ok().map(|length| text(&bytes[..length])));
        told.filter(|told| told.contains("WATCHDOG=1")).count() > 0
    };
    heard();
    std::thread::sleep(std::time::Duration::from_secs(3));
    let silent = !heard();
    assert!(run("fsfreeze", &["-u", &at]));
    assert!(silent, "it says that it works");
    assert!(produce.wait().unwrap().success(), "the disk is back");
    until("it works again", || heard().then_some(()));
    served.signal("TERM");
    served.wait();
    assert!(mounted.unmount());
}
