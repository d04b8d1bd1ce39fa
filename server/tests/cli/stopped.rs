//! A server that is stopped for longer than a peer may be silent.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use crate::program::Served;

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
    while served.run(&["peek", "orders/order-1"]).status.code() != Some(0) {}
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
