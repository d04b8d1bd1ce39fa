//! `bench` where something is in its way.

use crate::program::*;

#[test]
fn a_bench_that_breaks_off_prints_its_figures_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    assert!(served.run_with(&["produce", "s/a"], "one\n").status.success());
    served.signal("TERM");
    served.wait();
    // No disk has so much: from here on it is full, but for the room in the open extent.
    served.restart_with(&["--keep-free-bytes", "4000000000000000000"]);
    let done = served.run(&["bench", "--writers", "2", "--size", "1000", "--duration", "1h"]);
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(5), "{said}");
    assert!(
        said.contains("writing broke off") && said.contains("the disk is full"),
        "{said}"
    );
    assert!(lines(&done.stdout)[0]["calls"].as_u64().unwrap() > 0);
}

#[test]
fn a_bench_names_the_folder_and_the_space_that_are_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let missing = dir.path().join("missing");
    let done = served.run(&["bench", "--calls", "1", "--floor", missing.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(1));
    let said = text(&done.stderr);
    assert!(said.contains(missing.to_str().unwrap()), "{said}");
    let done = served.run(&["bench", "--read", "nothing"]);
    assert!(done.status.success());
    let said = text(&done.stderr);
    assert!(said.contains("there is no space nothing"), "{said}");
}
