//! `copy`: the same entries at the same sequences in another store, however often it runs, and never over what is there.

use std::process::{Command, Output, Stdio};

use crate::program::*;

const OTHER_STORE: &str = "00000000-0000-4000-8000-000000000002";

/// A copy from a server to another store of it, or of another.
fn copy(from: &Served, to: &Served, arguments: &[&str]) -> Command {
    let mut copy = streamkit();
    copy.arg("copy").args(arguments);
    copy.args(["--from", &from.url, "--from-store", STORE, "--from-token", &from.token]);
    copy.args(["--to", &to.url, "--to-store", OTHER_STORE])
        .env("STREAMKIT_TO_TOKEN", &to.token);
    copy.stdin(Stdio::null());
    copy
}

fn copied(from: &Served, to: &Served, arguments: &[&str]) -> serde_json::Value {
    let done = copy(from, to, arguments).output().unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    lines(&done.stdout).remove(0)
}

fn produce(served: &Served, store: &str, path: &str, input: &str) -> Output {
    let mut child = served
        .command(&["produce", path, "--json"])
        .env("STREAMKIT_STORE", store)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    done
}

/// Records that differ in bytes and metadata.
fn records(range: std::ops::RangeInclusive<u32>) -> String {
    range
        .map(|n| match n % 3 {
            0 => format!("{{\"payload_base64\":\"/wAK\",\"metadata\":{{\"n\":\"{n}\"}}}}\n"),
            1 => format!("{{\"payload\":\"é\\n{n}\"}}\n"),
            _ => "{\"payload\":\"\",\"metadata\":{\"\":\"\",\"ключ\":\"=\"}}\n".to_owned(),
        })
        .collect()
}

/// A segment's entries but for what the target stamps itself.
fn entries(served: &Served, store: &str, path: &str) -> Vec<serde_json::Value> {
    let done = served
        .command(&["consume", path])
        .env("STREAMKIT_STORE", store)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    let mut entries = lines(&done.stdout);
    for entry in &mut entries {
        let entry = entry.as_object_mut().unwrap();
        entry.remove("timestamp");
        entry.remove("trx");
    }
    entries
}

#[test]
fn a_space_that_is_named_twice_is_copied_once() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (from, to) = (Served::start(one.path()), Served::start(two.path()));
    produce(&from, STORE, "orders/a", &records(1..=300));
    produce(&from, STORE, "other/x", &records(1..=2));
    let done = copied(&from, &to, &["orders", "other", "orders"]);
    let counts = ["spaces", "segments", "entries", "copied"].map(|field| done[field].as_u64().unwrap());
    assert_eq!((counts, &done["verified"]), ([2, 2, 302, 302], &true.into()));
    assert_eq!(entries(&to, OTHER_STORE, "orders/a"), entries(&from, STORE, "orders/a"));
}

#[test]
fn entries_are_the_same_at_their_sequences_and_another_run_adds_what_is_new() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (from, to) = (Served::start(one.path()), Served::start(two.path()));
    produce(&from, STORE, "orders/a", &records(1..=300));
    produce(&from, STORE, "orders/b/c d", &records(7..=9));
    produce(&from, STORE, "other/x", &records(1..=2));
    let first = copied(&from, &to, &[]);
    let counts = |line: &serde_json::Value| {
        ["spaces", "segments", "entries", "copied"].map(|field| line[field].as_u64().unwrap())
    };
    assert_eq!((counts(&first), &first["verified"]), ([2, 3, 305, 305], &true.into()));
    for path in ["orders/a", "orders/b/c d", "other/x"] {
        assert_eq!(entries(&from, STORE, path), entries(&to, OTHER_STORE, path), "{path}");
    }
    assert_eq!(counts(&copied(&from, &to, &[])), [2, 3, 305, 0]);
    produce(&from, STORE, "orders/a", &records(301..=310));
    produce(&from, STORE, "orders/new", &records(1..=1));
    assert_eq!(counts(&copied(&from, &to, &["orders"])), [1, 3, 314, 11]);
    assert_eq!(entries(&from, STORE, "orders"), {
        let mut there = entries(&to, OTHER_STORE, "orders");
        // A space has the order of commits, and a copy commits many segments at a time.
        let here = entries(&from, STORE, "orders");
        let place = |entry: &serde_json::Value| here.iter().position(|other| other == entry);
        there.sort_by_key(place);
        there
    });
}

#[test]
fn other_entries_at_the_same_sequences_are_a_conflict_and_stay_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    produce(&served, STORE, "s/same", &records(1..=5));
    produce(&served, STORE, "s/other", &records(1..=5));
    produce(&served, STORE, "s/longer", &records(1..=5));
    produce(&served, OTHER_STORE, "s/other", &records(1..=2));
    produce(&served, OTHER_STORE, "s/other", &records(9..=9));
    produce(&served, OTHER_STORE, "s/longer", &records(1..=6));
    let before = ["s/other", "s/longer"].map(|path| entries(&served, OTHER_STORE, path));
    let done = copy(&served, &served, &["--json"]).output().unwrap();
    assert_eq!(done.status.code(), Some(3), "{}", text(&done.stderr));
    let said = text(&done.stderr);
    assert!(
        said.contains("s/other: the target has another entry at sequence 3"),
        "{said}"
    );
    assert!(said.contains("s/longer: the target goes on to sequence 6"), "{said}");
    let line = &lines(&done.stdout)[0];
    assert_eq!(line["verified"], false);
    assert_eq!(line["differences"].as_array().unwrap().len(), 2);
    assert_eq!(
        before,
        ["s/other", "s/longer"].map(|path| entries(&served, OTHER_STORE, path))
    );
    assert_eq!(
        entries(&served, STORE, "s/same"),
        entries(&served, OTHER_STORE, "s/same")
    );
}

#[test]
fn a_copy_that_is_killed_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    for segment in 0..4 {
        produce(&served, STORE, &format!("s/{segment}"), &records(1..=20_000));
    }
    let mut killed = copy(&served, &served, &[])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("something is copied", || {
        let status = served
            .command(&["status", "s"])
            .env("STREAMKIT_STORE", OTHER_STORE)
            .output()
            .unwrap();
        let entries = lines(&status.stdout)[0]["entry_count"].as_u64().unwrap();
        (entries > 0 || killed.try_wait().unwrap().is_some()).then_some(())
    });
    killed.kill().unwrap();
    killed.wait().unwrap();
    let rest = copied(&served, &served, &[]);
    assert_eq!((&rest["entries"], &rest["verified"]), (&80_000.into(), &true.into()));
    assert_eq!(copied(&served, &served, &[])["copied"], 0);
}

#[test]
fn what_cannot_keep_its_sequences_is_told_and_the_rest_is_copied() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    produce(&served, STORE, "s/trimmed", &records(1..=5));
    produce(&served, STORE, "s/whole", &records(1..=5));
    assert!(
        served
            .run(&["trim", "s/trimmed", "--before", "3", "--yes"])
            .status
            .success()
    );
    let done = copy(&served, &served, &[]).output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    let said = text(&done.stderr);
    assert!(said.contains("s/trimmed: it begins at sequence 3"), "{said}");
    assert_eq!(entries(&served, OTHER_STORE, "s/whole").len(), 5);
    produce(&served, STORE, "other/x", &records(1..=2));
    assert!(copied(&served, &served, &["other"])["verified"].as_bool().unwrap());
    // What was copied before it was trimmed goes on.
    produce(&served, OTHER_STORE, "s/trimmed", &records(1..=4));
    assert_eq!(copied(&served, &served, &["s"])["copied"], 1);
}

#[test]
fn ends_that_are_missing_or_the_same_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let from = ["--from", &served.url, "--from-store", STORE, "--from-token", "x"];
    let to = ["--to", &served.url, "--to-store", STORE, "--to-token", "x"];
    for (arguments, said) in [
        (vec![], "--from or --from-context is missing"),
        (from.to_vec(), "--to or --to-context is missing"),
        (from[..4].to_vec(), "STREAMKIT_FROM_TOKEN"),
        ([from, to].concat(), "to itself"),
    ] {
        let done = streamkit().arg("copy").args(&arguments).output().unwrap();
        assert_eq!(done.status.code(), Some(2));
        assert!(text(&done.stderr).contains(said), "{said}: {}", text(&done.stderr));
    }
    let wrong = copy(&served, &served, &[])
        .env("STREAMKIT_TO_TOKEN", "x")
        .output()
        .unwrap();
    assert_eq!(
        wrong.status.code(),
        Some(0),
        "an empty source needs no target: {}",
        text(&wrong.stderr)
    );
    produce(&served, STORE, "s/a", &records(1..=1));
    let wrong = copy(&served, &served, &[])
        .env("STREAMKIT_TO_TOKEN", "x")
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(4));
    assert!(
        text(&wrong.stderr).contains("the target: unauthorized"),
        "{}",
        text(&wrong.stderr)
    );
}
