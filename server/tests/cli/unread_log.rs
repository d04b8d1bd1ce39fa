//! A server whose log nobody reads.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;

use crate::program::{signal, streamkit};

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_server_whose_log_nobody_reads_answers_counts_what_it_drops_and_stops_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("key"), "a key of thirty-two bytes or more\n").unwrap();
    let mut child = streamkit()
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(dir.path().join("data"))
        .arg("--jwt-key-file")
        .arg(dir.path().join("key"))
        // So much is logged that the pipe is full soon.
        .env("STREAMKIT_LOG", "trace")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::with_capacity(1, child.stderr.take().unwrap());
    let mut first = String::new();
    log.read_line(&mut first).unwrap();
    let address = first.trim_end().rsplit("ws://").next().unwrap().to_owned();
    loop {
        assert!(get(&address, "/healthz").ends_with("ok"));
        let metrics = get(&address, "/metrics");
        let dropped = metrics
            .lines()
            .find_map(|line| line.strip_prefix("streamkit_log_lines_dropped_total "));
        if dropped.expect("it is counted") != "0" {
            break;
        }
    }
    signal(child.id(), "TERM");
    assert!(child.wait().unwrap().success());
    drop(log);
}
