//! Ctrl-C of a command whose reader is slow, or reads nothing.

use std::io::Read as _;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::program::*;

/// A consume of some 10 MB that waits for its reader, who took one byte.
fn waiting(served: &Served) -> Child {
    let line = "x".repeat(100);
    let produced = served.run_with(&["produce", "s/a"], &format!("{line}\n").repeat(30_000));
    assert!(produced.status.success(), "{}", text(&produced.stderr));
    let mut command = served.command(&["consume", "s"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut byte = [0];
    child.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
    child
}

#[test]
fn a_second_ctrl_c_ends_a_command_whose_output_nobody_reads() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let mut child = waiting(&served);
    let mut ended = None;
    for _ in 0..100 {
        signal(child.id(), "INT");
        std::thread::sleep(Duration::from_millis(100));
        ended = child.try_wait().unwrap();
        if ended.is_some() {
            break;
        }
    }
    let _ = child.kill();
    assert_eq!(ended.and_then(|status| status.code()), Some(130));
    assert!(text(&child.wait_with_output().unwrap().stderr).contains("interrupted"));
}

#[test]
fn after_ctrl_c_a_slow_reader_gets_what_was_printed_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let child = waiting(&served);
    signal(child.id(), "INT");
    // Nothing tells from outside that it has noticed.
    std::thread::sleep(Duration::from_secs(1));
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(130), "{}", text(&done.stderr));
    assert!(done.stdout.len() < 500_000, "{} bytes", done.stdout.len());
    assert_eq!(done.stdout.last(), Some(&b'\n'));
}
