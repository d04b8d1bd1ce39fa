//! Whoever stops a server can take its file system away at once. For root, where loop devices can be mounted; skipped elsewhere.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::program::*;

fn run(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A file system of its own, unmounted whatever happens.
struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        run("umount", &["-l", &self.0.to_string_lossy()]);
    }
}

#[test]
fn right_after_a_clean_stop_the_file_system_can_be_unmounted() {
    let dir = tempfile::tempdir().unwrap();
    let (image, at) = (dir.path().join("image"), dir.path().join("mounted"));
    std::fs::create_dir(&at).unwrap();
    std::fs::File::create(&image).unwrap().set_len(100 << 20).unwrap();
    let (image, point) = (image.to_string_lossy().into_owned(), at.to_string_lossy().into_owned());
    if !run("mkfs.ext4", &["-q", &image]) {
        return eprintln!("skipped: no mkfs.ext4 here");
    }
    for cycle in 0..8 {
        if !run("mount", &["-o", "loop", &image, &point]) {
            return eprintln!("skipped: nothing can be mounted here");
        }
        let mounted = Mounted(&at);
        let mut served = Served::start_on(dir.path(), &at.join("data"));
        let produced = served.run_with(&["produce", &format!("s/{cycle}")], &"line\n".repeat(2000));
        assert!(produced.status.success(), "{}", text(&produced.stderr));
        served.signal("TERM");
        served.wait();
        assert!(run("umount", &[&point]), "stop {cycle}");
        std::mem::forget(mounted);
    }
}
