//! Directories of each format version open, and hold their entries. For the present version, the writer still makes
//! the same bytes.

use std::path::{Path, PathBuf};

use streamkit_torture::golden;
use streamkit_torture::run::DIR;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/data")
}

#[test]
fn every_golden_directory_opens_and_holds_what_it_held() {
    let mut opened = 0;
    for version in std::fs::read_dir(data()).expect("there are some") {
        for file in std::fs::read_dir(version.expect("readable").path()).expect("readable") {
            let expected = file.expect("readable").path();
            if expected.extension().is_none_or(|kind| kind != "entries") {
                continue;
            }
            let copy = tempfile::tempdir().expect("a folder");
            golden::copy(&expected.with_extension(""), copy.path()).expect("it can be copied");
            let report = streamkit_engine::verify(copy.path(), &mut |_| {}).expect("it can be read");
            assert!(report.is_clean(), "{}: {report:?}", expected.display());
            let entries = golden::entries(copy.path()).expect("it opens");
            assert_eq!(
                entries,
                std::fs::read_to_string(&expected).expect("readable"),
                "{}",
                expected.display()
            );
            opened += 1;
        }
    }
    assert!(opened >= 4, "{opened} directories");
}

#[test]
fn the_same_calls_and_seed_make_the_same_bytes_as_ever() {
    for (name, files) in golden::all().expect("the script runs") {
        let dir = data().join("v1").join(name);
        for (path, bytes) in &files {
            let path = dir.join(path.strip_prefix(DIR).expect("in the folder"));
            let golden = std::fs::read(&path).unwrap_or_default();
            let differs = golden.iter().zip(bytes).position(|(a, b)| a != b);
            assert!(golden == *bytes, "{}: other bytes from {differs:?} on", path.display());
        }
    }
}
