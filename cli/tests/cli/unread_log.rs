//! A server whose log nobody reads.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use crate::program::{signal, streamkit, until};

/// What a pipe takes before whoever writes to it waits.
const PIPE_BYTES: usize = 64 << 10;

fn get(address: &str, path: &str) -> String {
    // It may not listen yet.
    let mut stream = until("it listens", || TcpStream::connect(address).ok());
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_server_whose_log_nobody_reads_answers_and_stops_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("key"), "a key of thirty-two bytes or more\n").unwrap();
    let (unread, mut log) = std::io::pipe().unwrap();
    log.write_all(&[b'\n'; PIPE_BYTES]).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = free.to_string();
    let mut child = streamkit()
        .args(["serve", "--listen", &address, "--data"])
        .arg(dir.path().join("data"))
        .arg("--jwt-key-file")
        .arg(dir.path().join("key"))
        .env("STREAMKIT_LOG", "trace")
        .stderr(log)
        .spawn()
        .unwrap();
    for _ in 0..100 {
        assert!(get(&address, "/healthz").ends_with("ok"));
    }
    assert!(get(&address, "/metrics").contains("streamkit_log_lines_dropped_total "));
    signal(child.id(), "TERM");
    assert!(child.wait().unwrap().success());
    drop(unread);
}
