//! What a command that failed says, and its exit code.

use crate::program::*;

#[test]
fn damage_that_the_server_met_is_told_by_the_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    let line = "a line of some length\n";
    for _ in 0..2 {
        assert!(
            served
                .run_with(&["produce", "o/a"], &line.repeat(30_000))
                .status
                .success()
        );
    }
    served.signal("TERM");
    served.wait();
    let store = served.data.join("stores").join(STORE);
    let extent = store.join(format!("{:020}.extent", 2));
    let mut bytes = std::fs::read(&extent).unwrap();
    let at = bytes
        .windows(20)
        .position(|window| window == &line.as_bytes()[..20])
        .unwrap();
    bytes[at + 5] ^= 1;
    std::fs::write(&extent, bytes).unwrap();
    served.restart();
    for arguments in [&["consume", "o"][..], &["consume", "o/a"], &["bench", "--read", "o"]] {
        let done = served.run(arguments);
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(6), "{arguments:?}: {said}");
        assert!(said.contains("damage in store"), "{said}");
    }
}

#[test]
fn a_token_that_may_not_read_is_told_what_reading_is_for() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let mut mint = streamkit();
    mint.args(["token", "--store", "*", "--write-only", "--jwt-key-file"])
        .arg(dir.path().join("key"));
    let token = text(&mint.output().unwrap().stdout).trim().to_owned();
    let rows = dir.path().join("rows.csv");
    std::fs::write(&rows, "k\nx\n").unwrap();
    let produced = served.run_with(&["produce", "s/a", "--token", &token], "1\n");
    let said = text(&produced.stderr);
    assert_eq!(produced.status.code(), Some(4), "{said}");
    assert!(said.contains("reading") && said.contains("--expect HEAD"), "{said}");
    let expected = served.run_with(&["produce", "s/a", "--expect", "0", "--token", &token], "1\n");
    assert!(expected.status.success(), "{}", text(&expected.stderr));
    let imported = served.run(&["import", "s", rows.to_str().unwrap(), "--token", &token]);
    let said = text(&imported.stderr);
    assert_eq!(imported.status.code(), Some(4), "{said}");
    assert!(said.contains("may read and write"), "{said}");
}

#[test]
fn a_folder_in_the_place_of_a_file_is_named_and_nothing_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let folder = dir.path().to_str().unwrap();
    let done = served.run(&["produce", "s/a", folder]);
    assert_eq!((done.status.code(), done.stdout.len()), (Some(1), 0));
    let said = text(&done.stderr);
    assert!(said.contains(&format!("{folder} is a folder")), "{said}");
}

#[test]
fn a_backup_of_another_server_says_so_without_its_page() {
    use std::io::{Read as _, Write as _};
    let dir = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let page = "<!DOCTYPE html>\n<title>Not here</title>\n";
    let answering = std::thread::spawn(move || {
        for status in ["404 Not Found", "200 OK"] {
            let (mut peer, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _ = peer.read(&mut request).unwrap();
            let length = page.len();
            write!(
                peer,
                "HTTP/1.1 {status}\r\ncontent-type: text/html\r\ncontent-length: {length}\r\n\r\n{page}"
            )
            .unwrap();
        }
    });
    for _ in 0..2 {
        let mut backup = streamkit();
        backup.args(["backup", &url, "--token", "x"]).arg(dir.path().join("b"));
        let done = backup.output().unwrap();
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{said}");
        assert!(said.contains("is no Streamkit server") && !said.contains('<'), "{said}");
    }
    answering.join().unwrap();
}

#[test]
fn arguments_that_can_mean_nothing_are_refused_with_what_would_do() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let empty = served.run(&["consume", "s", "--since", "15m", "--until", "1h"]);
    assert_eq!(empty.status.code(), Some(2));
    assert!(text(&empty.stderr).contains("--until"), "{}", text(&empty.stderr));
    let data = dir.path().join("data");
    for arguments in [
        &["spaces", "--store", "abc"][..],
        &["inspect", data.to_str().unwrap(), "--store", "abc"],
        &["verify", data.to_str().unwrap(), "--store", "abc"],
    ] {
        let done = served.run(arguments);
        assert_eq!(done.status.code(), Some(2));
        let said = text(&done.stderr);
        assert!(said.contains("a store's id is a UUID"), "{said}");
    }
}
