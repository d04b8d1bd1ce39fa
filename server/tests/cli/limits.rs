//! A served process with limits of the system (`ulimit`): what they refuse is refused, and nothing else.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::program::*;

/// Sets a limit of a running process; `false` where there is no such command.
fn limit(served: &Served, what: &str) -> bool {
    let process = served.process().to_string();
    let set = Command::new("prlimit").args(["--pid", &process, what]).status();
    set.is_ok_and(|set| set.success())
}

/// Lines enough for several extents.
fn many_lines() -> String {
    let line = "x".repeat(1000);
    format!("{line}\n").repeat(3000)
}

#[test]
fn a_file_larger_than_the_process_may_write_refuses_that_append_and_the_server_lives_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    assert!(served.run_with(&["produce", "s/a"], "one\n").status.success());
    // Soft alone, so that it can be lifted again. No extent is that small.
    if !limit(&served, "--fsize=16384:") {
        return eprintln!("skipped: no prlimit here");
    }
    let refused = served.run_with(&["produce", "s/a", "--expect", "1"], &many_lines());
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(5), "{said}");
    assert!(
        said.contains("nothing was written") && said.contains("File too large"),
        "{said}"
    );
    // What fits in what is open is taken, others are served.
    assert!(served.run(&["status", "s/a"]).status.success());
    assert!(limit(&served, "--fsize=unlimited:"));
    let head = lines(&served.run(&["status", "s/a"]).stdout)[0]["last_sequence"]
        .as_u64()
        .unwrap();
    let next = head.to_string();
    let later = served.run_with(&["produce", "s/a", "--expect", &next], &many_lines());
    assert!(later.status.success(), "it goes on by itself: {}", text(&later.stderr));
    wait_for_head(&served, "s/a", head + 3000);
    served.signal("TERM");
    served.wait();
    let log = served.log();
    let told = log.lines().filter(|line| line.contains("cannot be made ready")).count();
    assert_eq!(told, 1, "once: {log}");
}

#[test]
fn too_many_open_files_refuse_an_append_that_needs_one_and_say_that_nothing_of_it_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let mut producing = served.command(&["produce", "s/a"]);
    producing
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut producing = producing.spawn().unwrap();
    let mut input = producing.stdin.take().unwrap();
    input.write_all(b"one\n").unwrap();
    wait_for_head(&served, "s/a", 1);
    // What is open stays so, and nothing more is opened.
    if !limit(&served, "--nofile=5:") {
        producing.kill().unwrap();
        producing.wait().unwrap();
        return eprintln!("skipped: no prlimit here");
    }
    input.write_all(many_lines().as_bytes()).unwrap();
    drop(input);
    let refused = producing.wait_with_output().unwrap();
    assert!(limit(&served, "--nofile=1024:"));
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(5), "{said}");
    for part in [
        "nothing was written",
        "Too many open files",
        "the first line is stored; go on with line 2 at --expect 1",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let on = served.run_with(&["produce", "s/a", "--expect", "1"], &many_lines());
    assert!(on.status.success(), "it goes on by itself: {}", text(&on.stderr));
}
