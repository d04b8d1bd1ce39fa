//! `copy` from and to a storage account: what only an account can have wrong, and what is on this disk meanwhile.

use std::process::{Command, Stdio};

use crate::copy::*;
use crate::emulator::KEY;
use crate::program::*;

/// A key of another account.
const OTHER_KEY: &str = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA==";

/// What a command says that fails, without the key of the account.
fn said(command: &mut Command, code: i32) -> String {
    let done = command.output().unwrap();
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(code), "{said}");
    assert!(!said.contains(&KEY[..20]) && !said.contains(&OTHER_KEY[..20]), "{said}");
    assert!(done.stdout.is_empty(), "{}", text(&done.stdout));
    said
}

fn left(side: &Side) -> usize {
    std::fs::read_dir(side.scratch()).unwrap().count()
}

#[test]
fn a_store_goes_into_an_account_and_back_without_a_host() {
    let (from, to, on) = (Side::server(), Side::server(), Side::account());
    let account = on.account.as_ref().unwrap();
    for (segment, count) in [("a", 300), ("b/c d", 5), ("one", 1)] {
        produce(&from, STORE, &format!("orders/{segment}"), &records(1..=count));
    }
    // Behind it, nobody serves the account.
    let Side { served, .. } = &on;
    served.signal("TERM");
    assert_eq!(copied(&from, &on, &[])["copied"], 306);
    assert_eq!(account.line(&["verify", OTHER_STORE])["entries"], 306);
    let mut back = streamkit();
    back.args(["copy", "--json"]).env("TMPDIR", to.scratch());
    on.name(&mut back, "from", OTHER_STORE);
    to.name(&mut back, "to", STORE);
    let back = back.output().unwrap();
    assert!(back.status.success(), "{}", text(&back.stderr));
    assert_eq!(lines(&back.stdout)[0]["copied"], 306);
    for segment in ["a", "b/c d", "one"] {
        let path = format!("orders/{segment}");
        assert_eq!(entries(&from, STORE, &path), entries(&to, STORE, &path), "{path}");
    }
}

#[test]
fn what_is_wrong_with_an_account_is_told_and_nothing_is_left() {
    let (server, on) = (Side::server(), Side::account());
    produce(&server, STORE, "s/a", &records(1..=3));
    let connection = on.account.as_ref().unwrap().connection_string();
    let wrong = connection.replace(KEY, OTHER_KEY);
    let told = said(
        copy(&server, &on, &[]).env("STREAMKIT_TO_AZURE_CONNECTION_STRING", &wrong),
        4,
    );
    assert!(told.contains("the target: ") && told.contains("credential"), "{told}");
    let told = said(
        copy(&on, &server, &[]).env("STREAMKIT_FROM_AZURE_CONNECTION_STRING", &wrong),
        4,
    );
    assert!(told.contains("the source: "), "{told}");
    // A store that nobody made is none, where a server cannot tell.
    let told = said(&mut copy(&on, &server, &[]), 1);
    assert!(
        told.contains("the source: there is no store") && told.contains("azure status"),
        "{told}"
    );
    let mut unmade = streamkit();
    unmade
        .args(["copy", "--from-store", STORE, "--from-azure-table", "neverMade"])
        .env("TMPDIR", on.scratch());
    unmade
        .env("STREAMKIT_FROM_AZURE_CONNECTION_STRING", &connection)
        .env("STREAMKIT_AZURE_ALLOW_HTTP", "true");
    server.name(&mut unmade, "to", STORE);
    let told = said(&mut unmade, 1);
    assert!(told.contains("azure init"), "{told}");
    assert_eq!(left(&server) + left(&on), 0);
    let nobody = "AccountName=a;AccountKey=c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA==;BlobEndpoint=http://127.0.0.1:9/a;\
                  TableEndpoint=http://127.0.0.1:9/a";
    let told = said(
        copy(&server, &on, &[]).env("STREAMKIT_TO_AZURE_CONNECTION_STRING", nobody),
        5,
    );
    assert!(told.contains("try again"), "{told}");
}

#[test]
fn a_store_that_was_deleted_is_neither_read_nor_made_again() {
    let (server, on) = (Side::server(), Side::account());
    produce(&server, STORE, "s/a", &records(1..=3));
    produce(&on, STORE, "s/a", &records(1..=3));
    on.account.as_ref().unwrap().line(&["delete", STORE, "--yes"]);
    let told = said(&mut copy(&on, &server, &[]), 1);
    assert!(told.contains("the source: ") && told.contains("was deleted"), "{told}");
    let mut into = streamkit();
    into.arg("copy").env("TMPDIR", on.scratch());
    server.name(&mut into, "from", STORE);
    on.name(&mut into, "to", STORE);
    let told = said(&mut into, 1);
    assert!(told.contains("the target: ") && told.contains("was deleted"), "{told}");
}

#[test]
fn ends_that_contradict_themselves_or_each_other_are_refused() {
    let (server, on) = (Side::server(), Side::account());
    let mut itself = streamkit();
    itself.arg("copy");
    on.name(&mut itself, "from", STORE);
    on.name(&mut itself, "to", STORE);
    assert!(said(&mut itself, 2).contains("to itself"));
    let told = said(copy(&server, &on, &[]).args(["--to", "ws://127.0.0.1:1"]), 2);
    assert!(told.contains("--to is for a server"), "{told}");
    let told = said(copy(&server, &on, &[]).args(["--to-token", "x"]), 2);
    assert!(told.contains("--to-token is for a server"), "{told}");
    let told = said(streamkit().args(["copy", "--from", "azure://orders1"]), 2);
    assert!(told.contains("--from-azure-account"), "{told}");
    let mut no_store = streamkit();
    no_store.args([
        "copy",
        "--from-azure-account",
        "orders1",
        "--from-azure-credential",
        "cli",
    ]);
    assert!(said(&mut no_store, 2).contains("--from-store is missing"));
}

#[test]
fn a_copy_that_is_interrupted_leaves_nothing_on_this_disk_and_goes_on() {
    let (server, on) = (Side::server(), Side::account());
    for segment in 0..4 {
        produce(&server, STORE, &format!("s/{segment}"), &records(1..=20_000));
    }
    let command = &mut copy(&server, &on, &[]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    until("a folder is there", || (left(&on) > 0).then_some(()));
    signal(child.id(), "INT");
    let done = child.wait_with_output().unwrap();
    let told = text(&done.stderr);
    assert_eq!(done.status.code(), Some(130), "{told}");
    assert!(told.contains("run the same command again"), "{told}");
    assert_eq!(left(&on), 0);
    assert_eq!(copied(&server, &on, &[])["verified"], true);
}

#[test]
fn hosts_write_to_the_store_meanwhile() {
    let (server, on) = (Side::server(), Side::account());
    produce(&server, STORE, "s/a", &records(1..=20_000));
    produce(&server, STORE, "s/b", &records(1..=20_000));
    let mut copying = copy(&server, &on, &[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut round = 0;
    while copying.try_wait().unwrap().is_none() {
        round += 1;
        produce(&on, OTHER_STORE, "other/x", &records(1..=3));
    }
    let done = copying.wait_with_output().unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    for path in ["s/a", "s/b"] {
        assert_eq!(entries(&server, STORE, path), entries(&on, OTHER_STORE, path));
    }
    assert_eq!(entries(&on, OTHER_STORE, "other/x").len(), round * 3);
}
