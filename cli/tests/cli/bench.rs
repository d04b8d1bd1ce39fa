//! `bench` where something is in its way.

use crate::program::*;
use crate::tmux::Terminal;

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

#[test]
fn a_person_sees_how_many_calls_took_how_long_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    for columns in [80, 120] {
        let Some(terminal) = Terminal::run(&served.command(&["bench", "--duration", "1h"]), columns, 24) else {
            return;
        };
        let is_bar = |line: &&str| line.contains('█');
        let bars = |shown: &str| shown.lines().filter(is_bar).count();
        let shown = terminal.until("bars are shown below the rate", |shown| {
            shown.contains(" calls/s, p50 ") && bars(shown) > 0
        });
        assert_eq!(shown.matches(" calls/s").count(), 1, "{shown}");
        // Its bars go, and the figures stay.
        terminal.press("C-c");
        terminal.until_shows("every acknowledged record was found again");
        terminal.until_left_with(130);
        let shown = terminal.shown();
        assert_eq!(bars(&shown), 0, "{shown}");
    }
    let piped = served.run(&["bench", "--calls", "3"]);
    assert!(piped.status.success());
    assert_eq!((lines(&piped.stdout).len(), text(&piped.stderr)), (1, String::new()));
}
