//! A clock that stands where HTTP has no date for it, by libfaketime. Where that is not installed it is skipped, but
//! not where `CI` is set.
#![cfg(target_os = "linux")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::Stdio;

use crate::program::*;

/// The library for programs with threads.
fn libfaketime() -> Option<String> {
    let folders = ["x86_64-linux-gnu/", "aarch64-linux-gnu/", ""];
    let at = folders.map(|folder| format!("/usr/lib/{folder}faketime/libfaketimeMT.so.1"));
    at.into_iter().find(|path| std::path::Path::new(path).exists())
}

#[test]
fn a_server_whose_clock_is_before_1970_says_so_to_everybody_who_asks() {
    let Some(library) = libfaketime() else {
        assert!(std::env::var_os("CI").is_none(), "there is no libfaketime");
        return eprintln!("skipped: there is no libfaketime");
    };
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, "a key of thirty-two bytes or more\n").unwrap();
    let mut command = streamkit();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(dir.path().join("data"))
        .arg("--jwt-key-file")
        .arg(&key)
        .env("LD_PRELOAD", library)
        .env("FAKETIME", "@1969-12-31 00:00:00")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    said.read_line(&mut first).unwrap();
    let address = first.trim_end().rsplit("ws://").next().unwrap();
    for path in ["/healthz", "/readyz", "/streamz"] {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 503 ") && answer.contains("before 1970"),
            "{path}: {answer}"
        );
    }
    signal(child.id(), "TERM");
    let mut log = String::new();
    said.read_to_string(&mut log).unwrap();
    assert!(child.wait().unwrap().success() && !log.contains("panicked"), "{log}");
}
