//! `workers`: who is there, also of those that it is itself.

use crate::piped::Piped;
use crate::program::*;
use crate::tmux::Terminal;

const ID: &str = "0c9b6c52-1f5b-4c39-8c8e-5e3c4b7a9d11";

/// Reads inventories until one has so many workers.
fn count(inventories: &mut Piped, workers: usize) -> serde_json::Value {
    loop {
        let mut inventory = inventories.json();
        let told = inventory["workers"].take();
        if told.as_array().unwrap().len() == workers {
            return told;
        }
    }
}

#[test]
fn who_is_there_is_listed_and_each_change_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    let none = served.run(&["workers"]);
    assert!(
        none.status.success() && none.stdout.is_empty(),
        "{}",
        text(&none.stderr)
    );
    let mut followed = Piped::start(served.command(&["workers", "--follow"]));
    count(&mut followed, 0);
    let joins = [
        "workers",
        "--join",
        "--id",
        ID,
        "-H",
        "role=projector",
        "-H",
        "host=a=b",
    ];
    let mut one = Piped::start(served.command(&joins));
    let told = count(&mut one, 1);
    assert_eq!(told[0]["worker"], ID);
    assert_eq!(
        told[0]["metadata"],
        serde_json::json!({ "host": "a=b", "role": "projector" })
    );
    assert!(told[0]["last_seen"].as_i64().unwrap() > 1_600_000_000_000);
    assert_eq!(count(&mut followed, 1)[0]["worker"], ID);
    let listed = served.run(&["workers", "--json"]);
    assert_eq!(lines(&listed.stdout)[0]["metadata"]["role"], "projector");
    let mut other = Piped::start(served.command(&["workers", "--join"]));
    count(&mut other, 2);
    count(&mut followed, 2);
    // It comes again after the server did.
    assert_eq!(other.stop().2, Some(0));
    count(&mut followed, 1);
    served.kill();
    served.restart();
    loop {
        if count(&mut followed, 1)[0]["worker"] == ID {
            break;
        }
    }
    assert_eq!(one.stop().2, Some(0));
    count(&mut followed, 0);
    assert_eq!(followed.stop().2, Some(0));
}

#[test]
fn one_whose_place_another_takes_says_so_and_fails() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let joins = ["workers", "--join", "--id", ID];
    let mut first = Piped::start(served.command(&joins));
    count(&mut first, 1);
    let mut second = Piped::start(served.command(&joins));
    count(&mut second, 1);
    let (_, said, code) = first.ended();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("streamkit: ") && said.contains("another"), "{said}");
    assert_eq!(second.stop().2, Some(0));
}

#[test]
fn it_fails_as_other_commands_do() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let nil = "00000000-0000-0000-0000-000000000000";
    for wrong in [
        &["--id", ID][..],
        &["-H", "k=v"],
        &["--join", "--id", nil],
        &["--join", "--id", "one"],
        &["--join", "-H", "k"],
    ] {
        let done = served.run(&[&["workers"], wrong].concat());
        assert_eq!(done.status.code(), Some(2), "{wrong:?}: {}", text(&done.stderr));
    }
    for asked in [&["workers"][..], &["workers", "--follow"], &["workers", "--join"]] {
        let refused = served.command(asked).env("STREAMKIT_TOKEN", "no.such.token").output();
        assert_eq!(refused.unwrap().status.code(), Some(4), "{asked:?}");
        let mut nobody = served.command(&[asked, &["--timeout", "1s"]].concat());
        let nobody = nobody.env("STREAMKIT_URL", "ws://127.0.0.1:1").output();
        assert_eq!(nobody.unwrap().status.code(), Some(5), "{asked:?}");
    }
}

#[test]
fn a_person_sees_a_table_at_each_change_and_no_metadata_steers_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let Some(terminal) = Terminal::run(&served.command(&["workers", "--follow"]), 100, 24) else {
        return;
    };
    terminal.until_shows("0 workers");
    let mut joined = Piped::start(served.command(&["workers", "--join", "--id", ID, "-H", "名=\u{1b}[2J"]));
    count(&mut joined, 1);
    let shown = terminal.until_shows("名=\\u{1b}[2J");
    assert!(shown.contains("1 worker:") && shown.contains(ID), "{shown}");
    terminal.press("C-c");
    terminal.until_shows("exit=0");
}
