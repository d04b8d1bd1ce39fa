//! What a release is made of.

use std::path::Path;

use crate::program::*;

#[test]
fn a_tarball_has_the_command_what_shells_and_man_need_a_unit_and_the_licences() {
    let dir = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let made = program("sh")
        .arg(root.join("dist/tarball"))
        .arg(env!("CARGO_BIN_EXE_streamkit"))
        .env("CARGO_TARGET_DIR", dir.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let tarball = text(&made.stdout).trim().to_owned();
    let unpacked = program("tar").args(["-xzf", &tarball, "-C"]).arg(dir.path()).status();
    assert!(unpacked.unwrap().success());
    let name = Path::new(&tarball).file_name().unwrap().to_str().unwrap();
    let folder = dir.path().join(name.strip_suffix(".tar.gz").unwrap());
    let said = std::process::Command::new(folder.join("bin/streamkit"))
        .arg("--version")
        .output();
    assert!(text(&said.unwrap().stdout).starts_with("streamkit "));
    for file in [
        "completions/streamkit.bash",
        "completions/_streamkit",
        "completions/streamkit.fish",
        "man/man1/streamkit.1",
        "man/man1/streamkit-serve.1",
        "systemd/streamkit.service",
        "README.md",
        "LICENSE-APACHE",
        "LICENSE-MIT",
    ] {
        assert!(std::fs::metadata(folder.join(file)).unwrap().len() > 100, "{file}");
    }
}
