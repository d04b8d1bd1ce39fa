//! `copy`: the same entries at the same sequences in another store, however often it runs, and never over what is there. Each end is a
//! server, or a storage account, of which a host is asked for what stands there.

use std::process::{Command, Output, Stdio};

use crate::azure::OnEmulator;
use crate::program::*;

pub const OTHER_STORE: &str = "00000000-0000-4000-8000-000000000002";

/// Where a store is.
pub struct Side {
    pub served: Served,
    /// Where `served` is one host of it: it is named to `copy`, not the host.
    pub account: Option<OnEmulator>,
    dir: tempfile::TempDir,
}

impl Side {
    pub fn server() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            served: Served::start(dir.path()),
            account: None,
            dir,
        }
    }

    pub fn account() -> Self {
        let (dir, on) = (tempfile::tempdir().unwrap(), OnEmulator::new());
        let variables = [
            ("STREAMKIT_STORAGE", "azure"),
            ("STREAMKIT_AZURE_CONNECTION_STRING", &on.connection_string()),
            ("STREAMKIT_AZURE_TABLE", &on.name),
            ("STREAMKIT_AZURE_CONTAINER", &on.name),
            ("STREAMKIT_AZURE_ALLOW_HTTP", "true"),
            ("STREAMKIT_AZURE_TABLE_DEADLINE", "60s"),
        ];
        Self {
            served: Served::start_with(dir.path(), &variables),
            account: Some(on),
            dir,
        }
    }

    /// As `copy` is told of it, as its source (`from`) or target (`to`).
    pub fn name(&self, command: &mut Command, end: &str, store: &str) {
        command.args([&format!("--{end}-store"), store]);
        match &self.account {
            None => {
                command.args([&format!("--{end}"), &self.served.url]);
                command.env(format!("STREAMKIT_{}_TOKEN", end.to_uppercase()), &self.served.token);
            }
            Some(on) => {
                let variable = format!("STREAMKIT_{}_AZURE_CONNECTION_STRING", end.to_uppercase());
                command.env(variable, on.connection_string());
                command.args([&format!("--{end}-azure-table"), &on.name]);
                command.args([&format!("--{end}-azure-container"), &on.name]);
                command.env("STREAMKIT_AZURE_ALLOW_HTTP", "true");
                command.env("STREAMKIT_AZURE_TABLE_DEADLINE", "60s");
            }
        }
    }

    /// Makes the folders of killed commands old enough to be removed.
    pub fn age_what_was_left(&self) {
        for folder in std::fs::read_dir(self.scratch()).unwrap() {
            let lock = folder.unwrap().path().join("owner");
            let lock = std::fs::File::options().write(true).open(lock).unwrap();
            let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
            lock.set_modified(old).unwrap();
        }
    }

    /// Where the copies of an account are while a command runs.
    pub fn scratch(&self) -> std::path::PathBuf {
        let scratch = self.dir.path().join("scratch");
        std::fs::create_dir_all(&scratch).unwrap();
        scratch
    }
}

/// Runs a test with each kind of source and target.
fn on_each_pair(test: impl Fn(&Side, &Side)) {
    let kinds = [Side::server, Side::account];
    for from in kinds {
        for to in kinds {
            test(&from(), &to());
        }
    }
}

/// Runs a test with source and target in one place of each kind.
fn on_each(test: impl Fn(&Side)) {
    test(&Side::server());
    test(&Side::account());
}

/// A copy from one place to another store there, or elsewhere.
pub fn copy(from: &Side, to: &Side, arguments: &[&str]) -> Command {
    let mut copy = streamkit();
    copy.arg("copy").args(arguments).env("TMPDIR", to.scratch());
    from.name(&mut copy, "from", STORE);
    to.name(&mut copy, "to", OTHER_STORE);
    copy.stdin(Stdio::null());
    copy
}

/// Runs a copy that leaves nothing on this disk.
pub fn run(from: &Side, to: &Side, arguments: &[&str]) -> Output {
    let done = copy(from, to, arguments).output().unwrap();
    let left = std::fs::read_dir(to.scratch()).unwrap().count();
    assert_eq!(left, 0, "{}", text(&done.stderr));
    done
}

pub fn copied(from: &Side, to: &Side, arguments: &[&str]) -> serde_json::Value {
    let done = run(from, to, arguments);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(text(&done.stderr), "");
    lines(&done.stdout).remove(0)
}

pub fn produce(side: &Side, store: &str, path: &str, input: &str) -> Output {
    let mut child = side
        .served
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
pub fn records(range: std::ops::RangeInclusive<u32>) -> String {
    range
        .map(|n| match n % 3 {
            0 => format!("{{\"payload_base64\":\"/wAK\",\"metadata\":{{\"n\":\"{n}\"}}}}\n"),
            1 => format!("{{\"payload\":\"é\\n{n}\"}}\n"),
            _ => "{\"payload\":\"\",\"metadata\":{\"\":\"\",\"ключ\":\"=\"}}\n".to_owned(),
        })
        .collect()
}

/// A segment's entries but for what the target stamps itself.
pub fn entries(side: &Side, store: &str, path: &str) -> Vec<serde_json::Value> {
    let done = side
        .served
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
    on_each_pair(|from, to| {
        produce(from, STORE, "orders/a", &records(1..=300));
        produce(from, STORE, "other/x", &records(1..=2));
        let done = copied(from, to, &["orders", "other", "orders"]);
        let counts = ["spaces", "segments", "entries", "copied"].map(|field| done[field].as_u64().unwrap());
        assert_eq!((counts, &done["verified"]), ([2, 2, 302, 302], &true.into()));
        assert_eq!(entries(to, OTHER_STORE, "orders/a"), entries(from, STORE, "orders/a"));
    });
}

#[test]
fn entries_are_the_same_at_their_sequences_and_another_run_adds_what_is_new() {
    on_each_pair(|from, to| {
        produce(from, STORE, "orders/a", &records(1..=300));
        produce(from, STORE, "orders/b/c d", &records(7..=9));
        produce(from, STORE, "other/x", &records(1..=2));
        let first = copied(from, to, &[]);
        let counts = |line: &serde_json::Value| {
            ["spaces", "segments", "entries", "copied"].map(|field| line[field].as_u64().unwrap())
        };
        assert_eq!((counts(&first), &first["verified"]), ([2, 3, 305, 305], &true.into()));
        for path in ["orders/a", "orders/b/c d", "other/x"] {
            assert_eq!(entries(from, STORE, path), entries(to, OTHER_STORE, path), "{path}");
        }
        assert_eq!(counts(&copied(from, to, &[])), [2, 3, 305, 0]);
        produce(from, STORE, "orders/a", &records(301..=310));
        produce(from, STORE, "orders/new", &records(1..=1));
        assert_eq!(counts(&copied(from, to, &["orders"])), [1, 3, 314, 11]);
        assert_eq!(entries(from, STORE, "orders"), {
            let mut there = entries(to, OTHER_STORE, "orders");
            // A space has the order of commits, and a copy commits many segments at a time.
            let here = entries(from, STORE, "orders");
            let place = |entry: &serde_json::Value| here.iter().position(|other| other == entry);
            there.sort_by_key(place);
            there
        });
    });
}

#[test]
fn other_entries_at_the_same_sequences_are_a_conflict_and_stay_as_they_are() {
    on_each(|side| {
        produce(side, STORE, "s/same", &records(1..=5));
        produce(side, STORE, "s/other", &records(1..=5));
        produce(side, STORE, "s/longer", &records(1..=5));
        produce(side, OTHER_STORE, "s/other", &records(1..=2));
        produce(side, OTHER_STORE, "s/other", &records(9..=9));
        produce(side, OTHER_STORE, "s/longer", &records(1..=6));
        let before = ["s/other", "s/longer"].map(|path| entries(side, OTHER_STORE, path));
        let done = run(side, side, &["--json"]);
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
            ["s/other", "s/longer"].map(|path| entries(side, OTHER_STORE, path))
        );
        assert_eq!(entries(side, STORE, "s/same"), entries(side, OTHER_STORE, "s/same"));
    });
}

#[test]
fn a_copy_that_is_killed_goes_on() {
    on_each(|side| {
        for segment in 0..4 {
            produce(side, STORE, &format!("s/{segment}"), &records(1..=20_000));
        }
        let mut killed = copy(side, side, &[])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("something is copied", || {
            let status = side
                .served
                .command(&["status", "s"])
                .env("STREAMKIT_STORE", OTHER_STORE)
                .output()
                .unwrap();
            let entries = lines(&status.stdout)[0]["entry_count"].as_u64().unwrap();
            (entries > 0 || killed.try_wait().unwrap().is_some()).then_some(())
        });
        killed.kill().unwrap();
        killed.wait().unwrap();
        side.age_what_was_left();
        let rest = copied(side, side, &[]);
        assert_eq!((&rest["entries"], &rest["verified"]), (&80_000.into(), &true.into()));
        assert_eq!(copied(side, side, &[])["copied"], 0);
    });
}

#[test]
fn what_cannot_keep_its_sequences_is_told_and_the_rest_is_copied() {
    on_each(|side| {
        produce(side, STORE, "s/trimmed", &records(1..=5));
        produce(side, STORE, "s/whole", &records(1..=5));
        assert!(
            side.served
                .run(&["trim", "s/trimmed", "--before", "3", "--yes"])
                .status
                .success()
        );
        let done = run(side, side, &[]);
        assert_eq!(done.status.code(), Some(1));
        let said = text(&done.stderr);
        assert!(said.contains("s/trimmed: it begins at sequence 3"), "{said}");
        assert_eq!(entries(side, OTHER_STORE, "s/whole").len(), 5);
        produce(side, STORE, "other/x", &records(1..=2));
        assert!(copied(side, side, &["other"])["verified"].as_bool().unwrap());
        // What was copied before it was trimmed goes on.
        produce(side, OTHER_STORE, "s/trimmed", &records(1..=4));
        assert_eq!(copied(side, side, &["s"])["copied"], 1);
    });
}

#[test]
fn ends_that_are_missing_or_the_same_are_refused() {
    let side = &Side::server();
    let served = &side.served;
    let from = ["--from", &served.url, "--from-store", STORE, "--from-token", "x"];
    let to = ["--to", &served.url, "--to-store", STORE, "--to-token", "x"];
    for (arguments, said) in [
        (vec![], "--from, --from-context or --from-azure-account is missing"),
        (from.to_vec(), "--to, --to-context or --to-azure-account is missing"),
        (from[..4].to_vec(), "STREAMKIT_FROM_TOKEN"),
        ([from, to].concat(), "to itself"),
    ] {
        let done = streamkit().arg("copy").args(&arguments).output().unwrap();
        assert_eq!(done.status.code(), Some(2));
        assert!(text(&done.stderr).contains(said), "{said}: {}", text(&done.stderr));
    }
    let wrong = copy(side, side, &[]).env("STREAMKIT_TO_TOKEN", "x").output().unwrap();
    assert_eq!(
        wrong.status.code(),
        Some(0),
        "an empty source needs no target: {}",
        text(&wrong.stderr)
    );
    produce(side, STORE, "s/a", &records(1..=1));
    let wrong = copy(side, side, &[]).env("STREAMKIT_TO_TOKEN", "x").output().unwrap();
    assert_eq!(wrong.status.code(), Some(4));
    assert!(
        text(&wrong.stderr).contains("the target: unauthorized"),
        "{}",
        text(&wrong.stderr)
    );
}
