//! Commands with a server that speaks protocol v1 alone.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use crate::follow::{Following, numbers, payloads, produce};
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
fn what_v2_filters_is_filtered_here() {
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

#[test]
fn a_follow_goes_from_what_was_there_to_what_comes() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let url = without_v2(&served);
    let follow = |arguments: &[&str]| Following::start(&served, &[arguments, &["--url", &url]].concat());
    produce(&served, "s/a", &numbers(1..=3));
    let mut space = follow(&["s"]);
    let mut segment = follow(&["s/a", "--from", "3"]);
    let mut last = follow(&["s/a", "--last", "2"]);
    let mut none_yet = follow(&["t/new"]);
    let mut filtered = follow(&["s", "--where", "by=card"]);
    assert_eq!(space.next(3), payloads(1..=3));
    assert_eq!(segment.next(1), payloads(3..=3));
    assert_eq!(last.next(2), payloads(2..=3));
    produce(&served, "s/a", &numbers(4..=5));
    produce(&served, "t/new", "first\n");
    let by_card = served.run_with(&["produce", "s/b", "-H", "by=card"], "card\n");
    assert!(by_card.status.success(), "{}", text(&by_card.stderr));
    let mut came = space.next(3);
    came.sort();
    assert_eq!(came, ["4", "5", "card"]);
    assert_eq!(segment.next(2), payloads(4..=5));
    assert_eq!(last.next(2), payloads(4..=5));
    assert_eq!(none_yet.next(1), ["first"]);
    assert_eq!(filtered.next(1), ["card"]);
    for following in [space, segment, last, none_yet, filtered] {
        assert_eq!(following.stop(), (String::new(), Some(130)));
    }
    let mut since = follow(&["s", "--since", "now"]);
    std::thread::sleep(std::time::Duration::from_millis(5));
    produce(&served, "s/a", &numbers(6..=6));
    assert_eq!(since.next(1), payloads(6..=6));
}

#[test]
fn a_follow_with_an_offset_file_goes_on_behind_the_one_before_in_either_version() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let url = without_v2(&served);
    let mut head = 0;
    for (target, file) in [("s", "of-space"), ("s/a", "of-segment")] {
        let file = dir.path().join(file);
        let arguments = [target, "--offset-file", file.to_str().unwrap()];
        let over_v1 = [&arguments[..], &["--url", &url]].concat();
        let mut printed = 0;
        for arguments in [&over_v1[..], &over_v1, &arguments, &over_v1] {
            produce(&served, "s/a", &numbers(head + 1..=head + 200));
            let mut following = Following::start(&served, arguments);
            assert_eq!(
                following.next((head + 200 - printed) as usize),
                payloads(printed + 1..=head + 200)
            );
            produce(&served, "s/a", &numbers(head + 201..=head + 203));
            assert_eq!(following.next(3), payloads(head + 201..=head + 203));
            assert_eq!(following.stop(), (String::new(), Some(130)));
            head += 203;
            printed = head;
        }
    }
}
