//! A server that is stopped for longer than a peer may be silent.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::program::{Served, signal, streamkit, until, wait_for_head};

#[test]
fn a_server_that_stood_blames_no_peer_for_its_own_silence() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    served.kill();
    served.restart_with(&["--silence", "1s"]);
    let mut produce = served
        .command(&["produce", "orders/order-1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = produce.stdin.take().unwrap();
    lines.write_all(b"placed\n").unwrap();
    wait_for_head(&served, "orders/order-1", 1);
    served.signal("STOP");
    lines.write_all(b"paid\n").unwrap();
    std::thread::sleep(Duration::from_secs(3));
    served.signal("CONT");
    drop(lines);
    let ended = produce.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success(), "{said}");
    assert!(String::from_utf8(ended.stdout).unwrap().contains("\"head\":2"));
}

/// A server that another program starts, by which it has its way with the hangup of a terminal, and what it logs.
#[cfg(target_os = "linux")]
fn started_by(dir: &Path, program: &str, arguments: &[&str]) -> (Child, impl Iterator<Item = String>) {
    let key = dir.join("key");
    std::fs::write(&key, "a key of thirty-two bytes or more\n").unwrap();
    let mut command = Command::new(program);
    command.args(arguments).arg(streamkit().get_program());
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--jwt-key-file"])
        .arg(&key);
    command.arg("--data").arg(dir.join("data"));
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map_while(Result::ok);
    log.next().expect("it serves");
    (child, log)
}

/// A hangup means that only where it comes from a terminal; elsewhere it asks to reload.
#[cfg(target_os = "linux")]
#[test]
fn a_terminal_that_is_closed_stops_a_server_in_good_order() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, "a key of thirty-two bytes or more\n").unwrap();
    let (log, data) = (dir.path().join("log"), dir.path().join("data"));
    // Whoever runs this test may have been started with `nohup`.
    let line = format!(
        "exec env --default-signal=HUP {} serve --listen 127.0.0.1:0 --jwt-key-file {} --data {} 2>{}",
        streamkit().get_program().to_str().unwrap(),
        key.display(),
        data.display(),
        log.display()
    );
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]);
    script.stdin(Stdio::piped()).stdout(Stdio::null());
    let Ok(mut terminal) = script.spawn() else {
        return eprintln!("skipped: no script here");
    };
    let said = |part: &str| {
        until(&format!("it says {part:?}"), || {
            std::fs::read_to_string(&log).ok()?.contains(part).then_some(())
        });
    };
    said("serving on");
    terminal.kill().unwrap();
    terminal.wait().unwrap();
    said("streamkit: stopping");
    // In good order: another server has the folder now.
    until("the folder is free", || {
        let verified = streamkit().arg("verify").arg(&data).output().unwrap();
        verified.status.success().then_some(())
    });
}

/// Only Linux tells a process which signals it was started to ignore.
#[cfg(target_os = "linux")]
#[test]
fn a_server_started_with_nohup_outlives_its_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, mut log) = started_by(dir.path(), "sh", &["-c", "trap '' HUP; exec \"$0\" \"$@\""]);
    signal(child.id(), "HUP");
    std::thread::sleep(Duration::from_secs(1));
    assert!(child.try_wait().unwrap().is_none());
    signal(child.id(), "TERM");
    assert!(child.wait().unwrap().success());
    assert!(log.any(|line| line.contains("streamkit: stopping")));
}
