//! Commands with a server that speaks protocol v1 alone.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use crate::program::*;

const OTHER_STORE: &str = "00000000-0000-4000-8000-000000000003";

/// The address of what stands before a server and takes v2 from what clients offer it. It lives as long as the test.
fn without_v2(served: &Served) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let address = served.url.split_once("://").unwrap().1.to_owned();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let Ok(mut server) = TcpStream::connect(&address) else {
                return;
            };
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).unwrap_or(0) == 1 {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).replace("streamkit.v2, ", "");
                let _ = server.write_all(head.as_bytes());
                let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
                let _ = std::io::copy(&mut client, &mut server);
                let _ = server.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    url
}

#[test]
fn what_needs_v2_says_so_and_all_else_works() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let url = without_v2(&served);
    let run = |arguments: &[&str]| {
        served
            .command(&[arguments, &["--url", &url]].concat())
            .output()
            .unwrap()
    };
    for (by, line) in [("card", "1\n"), ("cash", "2\n"), ("card", "3\n")] {
        let done = served.run_with(&["produce", "s/a", "-H", &format!("by={by}")], line);
        assert!(done.status.success(), "{}", text(&done.stderr));
    }
    let follow = run(&["consume", "s", "--follow"]);
    assert_eq!(follow.status.code(), Some(1));
    let said = text(&follow.stderr);
    assert!(
        said.contains("protocol v1 alone") && said.contains("without --follow"),
        "{said}"
    );
    for (arguments, printed) in [
        (&["consume", "s", "--where", "by=card"][..], "1\n3\n"),
        (&["consume", "s/a", "--where", "by=card", "--limit", "1"], "1\n"),
        (&["consume", "s/a", "--where", "by=card", "--from", "2"], "3\n"),
        (&["consume", "s", "--where", "by=cash", "--last", "5"], "2\n"),
    ] {
        let done = run(&[arguments, &["--output", "raw"]].concat());
        assert_eq!(text(&done.stdout), printed, "{arguments:?}: {}", text(&done.stderr));
    }
}

#[test]
fn a_copy_goes_from_v1_to_v2_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let url = without_v2(&served);
    let lines_in: String = (1..=25_000).map(|n| format!("{n}\n")).collect();
    assert!(
        served
            .run_with(&["produce", "s/a", "-H", "k=v"], &lines_in)
            .status
            .success()
    );
    let copy = |from: (&str, &str), to: (&str, &str)| {
        let mut copy = streamkit();
        copy.args([
            "copy",
            "--from",
            from.0,
            "--from-store",
            from.1,
            "--to",
            to.0,
            "--to-store",
            to.1,
        ]);
        copy.env("STREAMKIT_FROM_TOKEN", &served.token)
            .env("STREAMKIT_TO_TOKEN", &served.token);
        let done = copy.output().unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
        let line = lines(&done.stdout).remove(0);
        assert_eq!(line["verified"], true);
        line["copied"].as_u64().unwrap()
    };
    let third = "00000000-0000-4000-8000-000000000004";
    assert_eq!(copy((&url, STORE), (&served.url, OTHER_STORE)), 25_000);
    assert_eq!(copy((&served.url, OTHER_STORE), (&url, third)), 25_000);
    assert_eq!(copy((&url, STORE), (&url, third)), 0);
}
