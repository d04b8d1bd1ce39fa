//! A server that is stopped for longer than a peer may be silent.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use crate::program::{Served, signal, streamkit, wait_for_head};

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

#[test]
fn a_terminal_that_is_closed_stops_a_server_in_good_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    served.signal("HUP");
    served.wait();
    assert!(served.log().contains("streamkit: stopping"), "{}", served.log());
}

/// Only Linux tells a process which signals it was started to ignore.
#[cfg(target_os = "linux")]
#[test]
fn a_server_started_with_nohup_outlives_its_terminal() {
    use std::io::BufRead as _;
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, "a key of thirty-two bytes or more\n").unwrap();
    let serve = streamkit();
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\""])
        .arg(serve.get_program())
        .args(["serve", "--listen", "127.0.0.1:0", "--jwt-key-file"])
        .arg(&key)
        .arg("--data")
        .arg(dir.path().join("data"));
    let mut child = shell.stderr(Stdio::piped()).spawn().unwrap();
    let mut log = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
    log.next().unwrap().unwrap();
    signal(child.id(), "HUP");
    std::thread::sleep(Duration::from_secs(1));
    assert!(child.try_wait().unwrap().is_none());
    signal(child.id(), "TERM");
    assert!(child.wait().unwrap().success());
    assert!(
        log.map_while(Result::ok)
            .any(|line| line.contains("streamkit: stopping"))
    );
}
