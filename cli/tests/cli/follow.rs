//! `consume --follow`: history and what comes then, each entry once, also over several runs with an offset file.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Stdio};

use crate::program::*;

/// A `consume` that goes on.
pub struct Following {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Following {
    pub fn start(served: &Served, arguments: &[&str]) -> Self {
        let mut consume = served.command(&[&["consume", "--follow"], arguments].concat());
        let mut child = consume.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// The next payloads, which come or the test hangs until its end.
    pub fn next(&mut self, count: usize) -> Vec<String> {
        (0..count)
            .map(|_| {
                let mut line = String::new();
                self.out.read_line(&mut line).unwrap();
                lines(line.as_bytes())[0]["payload"].as_str().unwrap().to_owned()
            })
            .collect()
    }

    /// Ctrl-C. What it printed since, and its exit code.
    pub fn stop(mut self) -> (String, Option<i32>) {
        signal(self.child.id(), "INT");
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        (rest, self.child.wait().unwrap().code())
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn produce(served: &Served, path: &str, input: &str) {
    let done = served.run_with(&["produce", path], input);
    assert!(done.status.success(), "{}", text(&done.stderr));
}

pub fn numbers(range: std::ops::RangeInclusive<u32>) -> String {
    range.map(|n| format!("{n}\n")).collect()
}

pub fn payloads(range: std::ops::RangeInclusive<u32>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

#[test]
fn what_was_there_comes_first_and_then_what_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    produce(&served, "s/a", &numbers(1..=3));
    let mut space = Following::start(&served, &["s"]);
    let mut segment = Following::start(&served, &["s/a", "--from", "3"]);
    let mut last = Following::start(&served, &["s/a", "--last", "2"]);
    let mut none_yet = Following::start(&served, &["t/new"]);
    assert_eq!(space.next(3), payloads(1..=3));
    assert_eq!(segment.next(1), payloads(3..=3));
    assert_eq!(last.next(2), payloads(2..=3));
    produce(&served, "s/b", "other\n");
    produce(&served, "s/a", &numbers(4..=5));
    produce(&served, "t/new", "first\n");
    assert_eq!(space.next(3), ["other", "4", "5"]);
    assert_eq!(segment.next(2), payloads(4..=5));
    assert_eq!(last.next(2), payloads(4..=5));
    assert_eq!(none_yet.next(1), ["first"]);
    for following in [space, segment, last, none_yet] {
        assert_eq!(following.stop(), (String::new(), Some(130)));
    }
    let limited = served.run(&["consume", "s", "--follow", "--limit", "2"]);
    assert!(limited.status.success());
    assert_eq!(lines(&limited.stdout).len(), 2);
}

#[test]
fn with_an_offset_file_each_run_goes_on_behind_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    for (target, file) in [("s", "of-space"), ("s/a", "of-segment")] {
        let file = dir.path().join(file);
        let file = file.to_str().unwrap();
        let head = lines(&served.run(&["status", "s/a"]).stdout)[0]["last_sequence"]
            .as_u64()
            .unwrap() as u32;
        produce(&served, "s/a", &numbers(head + 1..=head + 200));
        let mut first = Following::start(&served, &[target, "--offset-file", file]);
        assert_eq!(first.next(head as usize + 200), payloads(1..=head + 200));
        produce(&served, "s/a", &numbers(head + 201..=head + 203));
        assert_eq!(first.next(3), payloads(head + 201..=head + 203));
        assert_eq!(first.stop(), (String::new(), Some(130)));
        produce(&served, "s/a", &numbers(head + 204..=head + 205));
        // It also goes on behind a follow when it does not follow, and the other way round.
        let done = served.run(&["consume", target, "--offset-file", file, "--output", "raw"]);
        assert_eq!(text(&done.stdout), numbers(head + 204..=head + 205));
        let mut second = Following::start(&served, &[target, "--offset-file", file]);
        produce(&served, "s/a", &numbers(head + 206..=head + 206));
        assert_eq!(second.next(1), payloads(head + 206..=head + 206));
        // The server goes away and comes back: nothing is missing, and nothing comes twice.
        served.kill();
        served.restart();
        produce(&served, "s/a", &numbers(head + 207..=head + 208));
        assert_eq!(second.next(2), payloads(head + 207..=head + 208));
        assert_eq!(second.stop(), (String::new(), Some(130)));
    }
    let other = served.run(&[
        "consume",
        "s/b",
        "--offset-file",
        dir.path().join("of-segment").to_str().unwrap(),
    ]);
    assert_eq!(other.status.code(), Some(1));
    assert!(
        text(&other.stderr).contains("s/a, not of s/b"),
        "{}",
        text(&other.stderr)
    );
}

#[test]
fn a_kill_at_any_moment_leaves_an_offset_up_to_which_all_was_printed() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let file = dir.path().join("offset");
    let arguments = ["s", "--offset-file", file.to_str().unwrap()];
    let mut printed: u32 = 0;
    for round in 0..3 {
        produce(&served, "s/a", &numbers(round * 2000 + 1..=round * 2000 + 2000));
        let mut following = Following::start(&served, &arguments);
        // Some rounds end amid history, some live.
        let until = round * 2000 + if round == 1 { 2000 } else { 700 };
        let mut next = None;
        while next.is_none_or(|next| next < until) {
            let payload: u32 = following.next(1)[0].parse().unwrap();
            // At most again what was printed, and never past what was not.
            let expected = next.map_or(payload.min(printed + 1), |last: u32| last + 1);
            assert_eq!(payload, expected, "round {round}");
            next = Some(payload);
        }
        printed = printed.max(next.unwrap());
        following.child.kill().unwrap();
        following.child.wait().unwrap();
        // What it had printed beyond is printed, too.
        for line in following.out.by_ref().lines().map_while(Result::ok) {
            if let Ok(entry) = serde_json::from_str::<serde_json::Value>(&line) {
                printed = printed.max(entry["payload"].as_str().unwrap().parse().unwrap());
            }
        }
    }
    let rest = served.run(&[&["consume", "--output", "raw"], &arguments[..]].concat());
    let first: Option<u32> = text(&rest.stdout).lines().next().map(|line| line.parse().unwrap());
    assert!(
        first.is_none_or(|first| first <= printed + 1),
        "{first:?} after {printed}"
    );
}

#[test]
fn a_reader_that_goes_away_leaves_the_offset_where_it_was_taken() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    produce(&served, "s/a", &numbers(1..=3));
    let file = dir.path().join("offset");
    let arguments = ["s", "--offset-file", file.to_str().unwrap()];
    let mut following = Following::start(&served, &arguments);
    assert_eq!(following.next(3), payloads(1..=3));
    let Following { child, out } = &mut following;
    // Nobody reads any more: what comes now has no reader.
    until("the offset is kept", || file.exists().then_some(()));
    drop(std::mem::replace(out, BufReader::new(unread())));
    produce(&served, "s/a", &numbers(4..=6));
    let ended = child.wait().unwrap();
    assert_eq!(ended.code(), Some(0));
    let rest = served.run(&[&["consume", "--output", "raw"], &arguments[..]].concat());
    assert_eq!(text(&rest.stdout), numbers(4..=6));
}

/// A child's output that nobody writes to.
fn unread() -> ChildStdout {
    let mut child = std::process::Command::new("true")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = child.stdout.take().unwrap();
    child.wait().unwrap();
    out
}

#[test]
fn what_cannot_be_followed_is_refused_before_anything_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    for wrong in [
        &["s", "--until", "now"][..],
        &["s", "--last", "3"],
        &["s/a", "--last", "3", "--where", "k=v"],
        &["s", "--from", "3"],
    ] {
        let done = served.run(&[&["consume", "--follow"], wrong].concat());
        assert_eq!(done.status.code(), Some(2), "{wrong:?}: {}", text(&done.stderr));
    }
}
