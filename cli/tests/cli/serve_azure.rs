//! `serve --storage azure`: what a host refuses before it serves, and what it says while it cannot.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use uuid::Uuid;

use crate::azure::OnEmulator;
use crate::piped::Piped;
use crate::program::*;

fn serve(dir: &Path, data: &Path) -> Command {
    let key = dir.join("key");
    std::fs::write(&key, "a key of thirty-two bytes or more\n").unwrap();
    let mut command = streamkit();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
    command.arg("--jwt-key-file").arg(key);
    command
}

fn on_account(mut command: Command, connection_string: &str) -> Command {
    command.args(["--storage", "azure", "--azure-allow-http"]);
    command.env("AZURE_STORAGE_CONNECTION_STRING", connection_string);
    command
}

/// A host of the account that serves.
fn host(account: &OnEmulator, dir: &Path, data: &Path) -> Served {
    let variables = [
        ("STREAMKIT_STORAGE", "azure"),
        ("STREAMKIT_AZURE_ALLOW_HTTP", "true"),
        ("STREAMKIT_AZURE_TABLE", &account.name),
        ("STREAMKIT_AZURE_CONTAINER", &account.name),
        ("STREAMKIT_AZURE_TABLE_DEADLINE", "60s"),
        ("AZURE_STORAGE_CONNECTION_STRING", &account.connection_string()),
    ];
    Served::start_in(dir, data, &variables)
}

/// What it says as it refuses to serve.
fn refused(mut command: Command, exit: i32) -> String {
    let done = command.output().unwrap();
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(exit), "{said}");
    said
}

#[test]
fn a_folder_holds_copies_or_stores_of_its_own_and_is_never_served_as_the_other() {
    let (dir, account) = (tempfile::tempdir().unwrap(), OnEmulator::new());
    let (copies, stores) = (dir.path().join("copies"), dir.path().join("stores"));
    let string = account.connection_string();
    let mut host = host(&account, dir.path(), &copies);
    let produced = host.run_with(&["produce", "orders/a"], "one\n");
    assert!(produced.status.success(), "{}", text(&produced.stderr));
    host.kill();
    let said = refused(serve(dir.path(), &copies), 1);
    assert!(said.contains("add --storage azure"), "{said}");
    let said = refused(serve(dir.path(), &copies.join("copies")), 1);
    assert!(said.contains("what is written to a copy nobody else sees"), "{said}");
    let mut dev = streamkit();
    dev.args(["dev", "--listen", "127.0.0.1:0", "--data"]).arg(&copies);
    let said = refused(dev, 1);
    assert!(said.contains("holds copies"), "{said}");

    for verb in ["verify", "inspect", "repair", "backup"] {
        let mut command = streamkit();
        command.arg(verb).arg(&copies);
        if matches!(verb, "repair" | "backup") {
            command.arg(dir.path().join("target"));
        }
        let said = refused(command, 1);
        assert!(
            said.contains("azure verify") && said.contains("copies of them in"),
            "{verb}: {said}"
        );
    }

    let mut local = Served::start_on(dir.path(), &stores);
    local.kill();
    let said = refused(on_account(serve(dir.path(), &stores), &string), 1);
    assert!(said.contains("holds stores of its own"), "{said}");
}

#[test]
fn whoever_follows_a_store_that_is_deleted_is_told_and_so_is_whoever_asks_any_host_later() {
    let (dir, account) = (tempfile::tempdir().unwrap(), OnEmulator::new());
    let hosts = ["one", "two"].map(|name| host(&account, dir.path(), &dir.path().join(name)));
    let produced = hosts[0].run_with(&["produce", "orders/a"], "one\n");
    assert!(produced.status.success(), "{}", text(&produced.stderr));
    let mut follow = hosts[1].command(&["consume", "orders/a", "--follow"]);
    let mut follow = follow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut entries = BufReader::new(follow.stdout.take().unwrap());
    let mut first = String::new();
    entries.read_line(&mut first).unwrap();

    let asked = account.run(&["delete", STORE]);
    assert_eq!(asked.status.code(), Some(2));
    assert!(
        text(&asked.stderr).contains("nothing was done"),
        "{}",
        text(&asked.stderr)
    );
    assert_eq!(account.line(&["delete", STORE, "--yes"])["extents"], 1);
    let told = |done: std::process::Output| {
        let said = text(&done.stderr);
        assert!(said.contains("was deleted") && !said.contains("try again"), "{said}");
        assert_eq!(done.status.code(), Some(1), "{said}");
    };
    told(follow.wait_with_output().unwrap());
    let fresh = host(&account, dir.path(), &dir.path().join("fresh"));
    for host in hosts.iter().chain([&fresh]) {
        let consumed = host.run(&["consume", "orders/a"]);
        // Nothing began, so nothing broke off.
        assert!(
            !text(&consumed.stderr).contains("broke off"),
            "{}",
            text(&consumed.stderr)
        );
        told(consumed);
        told(host.run_with(&["produce", "orders/a"], "two\n"));
        assert!(host.get("/readyz").contains("200 OK"));
    }
    assert_eq!(account.line(&["status"])["state"], "deleted");
}

/// Nothing that a host can read comes behind damage, and nothing says that there is something but that the host looks.
#[test]
fn whoever_follows_a_store_until_damage_is_told_of_it_though_nothing_came_before() {
    let (dir, account) = (tempfile::tempdir().unwrap(), OnEmulator::new());
    let [one, two] = ["one", "two"].map(|name| host(&account, dir.path(), &dir.path().join(name)));
    let produce = |line: &str| {
        let produced = one.run_with(&["produce", "orders/a"], line);
        assert!(produced.status.success(), "{}", text(&produced.stderr));
    };
    produce("1\n");
    let followers = [
        &["consume", "orders/a", "--follow"][..],
        &["consume", "orders", "--follow"],
        &["subscribe", "orders/a", "--json"],
    ];
    let mut followers = followers.map(|arguments| Piped::start(two.command(arguments)));
    for follower in &mut followers {
        follower.json();
    }
    two.signal("STOP");
    produce("2\n");
    produce("3\n");
    account.take_slot(STORE.parse().unwrap(), 2);
    two.signal("CONT");
    for mut follower in followers {
        until("the follower is told", || follower.child.try_wait().unwrap());
        let (rest, said, code) = follower.ended();
        assert_eq!((&*rest, code), ("", Some(6)), "{said}");
        assert!(said.contains("slot 2 of extent"), "{said}");
    }
    // What stands before it is there.
    let consumed = two.run(&["consume", "orders/a"]);
    assert_eq!((lines(&consumed.stdout).len(), consumed.status.code()), (1, Some(6)));
    let first = two.run(&["consume", "orders/a", "--limit", "1"]);
    assert!(first.status.success(), "{}", text(&first.stderr));
}

#[test]
fn a_host_that_cannot_begin_with_a_store_since_it_is_damaged_says_so() {
    let (dir, account) = (tempfile::tempdir().unwrap(), OnEmulator::new());
    let one = host(&account, dir.path(), &dir.path().join("one"));
    let produced = one.run_with(&["produce", "orders/a"], "1\n");
    assert!(produced.status.success(), "{}", text(&produced.stderr));
    account.take_root(STORE.parse().unwrap());
    let fresh = host(&account, dir.path(), &dir.path().join("fresh"));
    // As often as it is asked.
    for _ in 0..5 {
        for done in [
            fresh.run(&["consume", "orders/a"]),
            fresh.run(&["consume", "orders", "--follow"]),
            fresh.run_with(&["produce", "orders/a"], "2\n"),
        ] {
            let said = text(&done.stderr);
            assert_eq!(done.status.code(), Some(6), "{said}");
            assert!(said.contains("root") && said.contains("azure verify"), "{said}");
        }
    }
}

#[test]
fn a_worker_at_one_host_is_there_for_whoever_looks_at_another_until_it_leaves_or_its_host_dies() {
    let (dir, account) = (tempfile::tempdir().unwrap(), OnEmulator::new());
    let [mut one, other] = ["one", "two"].map(|name| host(&account, dir.path(), &dir.path().join(name)));
    let mut followed = Piped::start(other.command(&["workers", "--follow"]));
    assert_eq!(followed.json()["workers"], serde_json::json!([]));
    let mut there = |ids: &[&str]| {
        let is_so = |told: &serde_json::Value| {
            let told = told["workers"].as_array().unwrap().iter();
            told.map(|worker| worker["worker"].as_str().unwrap())
                .eq(ids.iter().copied())
        };
        while !is_so(&followed.json()) {}
    };
    let (a, b) = (Uuid::from_u128(1).to_string(), Uuid::from_u128(2).to_string());
    let join = |host: &Served, id: &str| Piped::start(host.command(&["workers", "--join", "--id", id, "-H", "role=x"]));
    let first = join(&one, &a);
    there(&[&a]);
    let own = join(&other, &b);
    there(&[&a, &b]);
    // Whoever only asks once is told of all, by both, a second later at the latest.
    let listed = |host: &Served| {
        let listed = host.run(&["workers", "--json"]);
        lines(&listed.stdout)
    };
    for host in [&one, &other] {
        until("both are listed", || (listed(host).len() == 2).then_some(()));
        assert_eq!(listed(host)[0]["metadata"]["role"], "x");
    }
    // It comes to the other host, and is there once.
    let moved = join(&other, &a);
    let said = first.ended().1;
    assert!(said.contains("another worker of this id came"), "{said}");
    assert_eq!(listed(&other).len(), 2);
    drop(moved);
    there(&[&b]);
    let _lost = join(&one, &a);
    there(&[&a, &b]);
    one.kill();
    there(&[&b]);
    drop(own);
    there(&[]);
}

#[test]
fn whoever_starts_a_host_is_told_at_once_that_the_account_does_not_answer() {
    let (dir, port) = (tempfile::tempdir().unwrap(), nobody_listens());
    let mut command = on_account(serve(dir.path(), &dir.path().join("data")), &elsewhere(port));
    let mut host = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(host.stderr.take().unwrap());
    let mut first = String::new();
    said.read_line(&mut first).unwrap();
    assert!(first.contains("does not answer yet"), "{first}");
    // Why is in the log. Whoever gives up may stop it.
    let mut lines = said.by_ref().lines().map_while(Result::ok);
    let why = lines.find(|line| line.contains("nobody knows whether the storage did it"));
    signal(host.id(), "TERM");
    host.wait().unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert!(why.is_some() && !rest.contains("serving on"), "{rest}");
}

#[test]
fn what_no_wait_mends_ends_the_start_at_once() {
    let (dir, account) = (tempfile::tempdir().unwrap(), OnEmulator::new());
    let data = dir.path().join("data");
    let (start, end) = account.connection_string().split_once("AccountKey=").map_or_else(
        || panic!("no key"),
        |(start, rest)| (start.to_owned(), rest.split_once(';').unwrap().1.to_owned()),
    );
    let wrong = format!("{start}AccountKey=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=;{end}");
    let mut command = on_account(serve(dir.path(), &data), &wrong);
    command.args(["--azure-table-deadline", "60s"]);
    let said = refused(command, 4);
    assert!(said.contains("refuses the credential"), "{said}");

    let mut command = on_account(serve(dir.path(), &data), &elsewhere(nobody_listens()));
    command.args(["--host-listen", "127.0.0.1:0", "--host-secret-file", "/nowhere"]);
    let said = refused(command, 2);
    assert!(said.contains("--host-secret-file /nowhere"), "{said}");
}

/// A port that refuses.
fn nobody_listens() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn elsewhere(port: u16) -> String {
    format!(
        "AccountName=nobody;AccountKey=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=;\
         BlobEndpoint=http://127.0.0.1:{port}/nobody;TableEndpoint=http://127.0.0.1:{port}/nobody;"
    )
}
