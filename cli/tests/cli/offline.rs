//! `verify`, `inspect` and `repair` on directories that no server is using.

use std::path::{Path, PathBuf};
use std::process::Output;

use crate::program::*;

fn extent(data: &Path, number: u64) -> PathBuf {
    data.join("stores").join(STORE).join(format!("{number:020}.extent"))
}

fn flip(path: &Path, byte: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[byte] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn on(command: &str, data: &Path, more: &[&str]) -> Output {
    streamkit().arg(command).arg(data).args(more).output().unwrap()
}

/// A directory with a store of three extents, whose server was told to end. The first two have index files, so that damage in them is met by reads, and
/// not by the open.
fn stored(dir: &Path) -> PathBuf {
    let mut served = Served::start(dir);
    for segment in ["orders/a", "orders/b", "orders/a"] {
        let lines = "a line of some length, enough for three extents\n".repeat(3000);
        assert!(served.run_with(&["produce", segment], &lines).status.success());
    }
    let index = extent(&served.data, 2).with_extension("index");
    until("extent 2 has its index file", || index.is_file().then_some(()));
    served.signal("TERM");
    served.wait();
    served.data.clone()
}

#[test]
fn verify_says_all_damage_and_what_it_costs() {
    let dir = tempfile::tempdir().unwrap();
    let data = stored(dir.path());
    flip(&extent(&data, 1), 60);
    flip(&extent(&data, 2), 9000);
    let done = verify(&data);
    assert_eq!(done.status.code(), Some(6), "{}", text(&done.stderr));
    assert!(
        text(&done.stderr).contains("streamkit repair"),
        "{}",
        text(&done.stderr)
    );
    let damage = lines(&done.stdout)[0]["damage"].clone();
    let damage = damage.as_array().unwrap();
    assert_eq!(damage.len(), 2, "{damage:?}");
    assert_eq!(
        (&damage[0]["lost"], &damage[0]["lost_is_all"]),
        (&serde_json::json!([]), &true.into())
    );
    assert_eq!(
        (&damage[1]["extent"], &damage[1]["lost"][0]["space"]),
        (&2.into(), &"orders".into())
    );
}

#[test]
fn a_repaired_directory_is_served_and_what_is_lost_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let data = stored(dir.path());
    let whole = dir.path().join("whole");
    let done = on("repair", &data, &[whole.to_str().unwrap()]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(
        (&lines(&done.stdout)[0]["entries"], &lines(&done.stdout)[0]["complete"]),
        (&9000.into(), &true.into())
    );
    assert!(verify(&whole).status.success());
    // Not over something, nor beside what is damaged, by whatever name.
    assert_eq!(on("repair", &data, &[whole.to_str().unwrap()]).status.code(), Some(1));
    let name = data.file_name().unwrap().display();
    for (within, code) in [(format!("./{name}/new"), 1), (format!("./not-there/../{name}/new"), 2)] {
        let mut repair = streamkit();
        repair
            .current_dir(data.parent().unwrap())
            .arg("repair")
            .arg(&data)
            .arg(&within);
        assert_eq!(repair.output().unwrap().status.code(), Some(code), "{within}");
        assert!(!data.join("new").exists());
    }

    flip(&extent(&data, 2), 9000);
    let mut left = Vec::new();
    for keep in ["newest", "oldest"] {
        let target = dir.path().join(keep);
        let done = on("repair", &data, &[target.to_str().unwrap(), "--keep", keep]);
        assert_eq!(done.status.code(), Some(6), "{}", text(&done.stderr));
        let line = lines(&done.stdout)[0].clone();
        assert_eq!(line["complete"], false);
        left.push((line["entries"].as_u64().unwrap(), line["left_out"].clone()));
        assert!(verify(&target).status.success());
        let served = Served::start_on(dir.path(), &target);
        let counted = lines(&served.run(&["status"]).stdout)[0]["entry_count"].clone();
        assert_eq!(counted, left.last().unwrap().0);
    }
    assert_ne!(left[0].1, left[1].1);
}

#[test]
fn inspect_shows_each_thing_and_annotated_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let data = stored(dir.path());
    let done = on("inspect", &data, &["--json"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let shown = lines(&done.stdout);
    for what in ["extent", "group", "transaction", "segment"] {
        assert!(shown.iter().any(|line| line["what"] == what), "{what}");
    }
    let last = shown
        .iter()
        .find(|line| line["segment"] == "a" && line["what"] == "segment")
        .unwrap();
    assert_eq!(last["last_sequence"], 6000);
    let of_one = lines(&on("inspect", &data, &["--store", STORE, "--extent", "2"]).stdout);
    assert!(of_one.iter().all(|line| line["extent"] == 2), "{of_one:?}");
    let hex = text(&on("inspect", &data, &["--extent", "2", "--hex"]).stdout);
    assert!(hex.starts_with("00000000  53 4b 45 58 54 45 4e 54"), "{hex}");
    for meaning in [
        "the header is whole",
        "extent: 2",
        "the body is whole",
        "space: orders",
        "payload: a line of",
    ] {
        assert!(hex.contains(meaning), "{meaning}");
    }
    flip(&extent(&data, 2), 9000);
    assert_eq!(on("inspect", &data, &["--json"]).status.code(), Some(6));
    let hex = text(&on("inspect", &data, &["--extent", "2", "--hex"]).stdout);
    assert!(hex.contains("the body is NOT whole"), "{hex}");
    assert_eq!(on("inspect", &data, &["--extent", "99"]).status.code(), Some(1));
    assert_eq!(on("inspect", &data, &["--hex"]).status.code(), Some(2));
}

#[test]
fn a_damaged_format_file_is_refused_by_serve_with_what_to_do_and_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let data = stored(dir.path());
    flip(&data.join("format"), 0);
    let mut serve = streamkit();
    serve
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(&data)
        .arg("--jwt-key-file")
        .arg(dir.path().join("key"));
    let refused = serve.output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("format") && said.contains("`streamkit repair`"), "{said}");
    let done = verify(&data);
    assert_eq!(done.status.code(), Some(6), "{}", text(&done.stderr));
    let told = lines(&done.stdout);
    assert_eq!((&told[0]["store"], told.len()), (&serde_json::Value::Null, 2));
    assert!(
        text(&done.stderr).contains("`format` is damaged"),
        "{}",
        text(&done.stderr)
    );
    assert_eq!(on("inspect", &data, &["--json"]).status.code(), Some(6));
    let target = dir.path().join("repaired");
    let done = on("repair", &data, &[target.to_str().unwrap()]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(verify(&target).status.success());
}

/// The command's own text is for whoever may read the server's log.
#[test]
fn a_store_that_does_not_open_says_in_the_log_what_is_damaged_and_how_to_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let data = stored(dir.path());
    flip(&extent(&data, 2), 60);
    let mut served = Served::start_on(dir.path(), &data);
    let refused = served.run(&["consume", "orders/a"]);
    assert_eq!(refused.status.code(), Some(5), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("store unavailable"));
    // It was not even begun.
    let refused = served.run_with(&["produce", "orders/a", "--expect", "0"], "one\n");
    assert_eq!(refused.status.code(), Some(5), "{}", text(&refused.stderr));
    let said = "streamkit: the server cannot do this now: store unavailable; nothing was stored\n";
    assert_eq!(text(&refused.stderr), said);
    served.wait_for_log("a store did not open");
    served.kill();
    let log = served.log();
    for part in [
        "a store did not open",
        &format!("damage in store {STORE}, extent 2, byte 0: the extent's header"),
        "`streamkit verify` on the data directory tells what is lost, `streamkit repair` copies what is not",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
    // What it says to do works.
    assert_eq!(verify(&data).status.code(), Some(6));
    let target = dir.path().join("repaired");
    assert!(on("repair", &data, &[target.to_str().unwrap()]).status.success());
    let served = Served::start_on(dir.path(), &target);
    assert_eq!(lines(&served.run(&["status"]).stdout)[0]["entry_count"], 9000);
}

#[test]
fn consume_names_what_damage_hits_and_prints_what_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let data = stored(dir.path());
    flip(&extent(&data, 2), 9000);
    let served = Served::start_on(dir.path(), &data);
    let done = served.run(&["consume", "orders"]);
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(6), "{said}");
    for part in [
        &format!("damage in store {STORE}, extent 2, byte "),
        "; it hits orders/",
        "`streamkit verify`",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let hit = said.split("it hits orders/").nth(1).unwrap().split(';').next().unwrap();
    let other = if hit == "a" { "b" } else { "a" };
    assert!(served.run(&["consume", &format!("orders/{other}")]).status.success());
    assert_eq!(
        served.run(&["consume", &format!("orders/{hit}")]).status.code(),
        Some(6)
    );
    assert!(served.run(&["peek", &format!("orders/{hit}")]).status.success());
    assert!(
        served
            .run_with(&["produce", &format!("orders/{hit}")], "more\n")
            .status
            .success()
    );
}

#[test]
fn verify_tells_an_older_copy_by_what_it_must_hold_at_least() {
    let dir = tempfile::tempdir().unwrap();
    let data = stored(dir.path());
    let backup = dir.path().join("backup");
    let backup = backup.to_str().unwrap();
    assert!(on("backup", &data, &[backup]).status.success());
    let at_least = |wanted: &str| on("verify", &data, &["--at-least", wanted, "--json"]);
    for held in ["orders/a=6000", "orders/b=1", backup, &format!("{backup}/backup.json")] {
        let done = at_least(held);
        assert!(done.status.success(), "{held}: {}", text(&done.stderr));
    }
    // The last `=` separates, whatever names hold.
    for (wanted, said) in [
        ("orders/a=6001", "orders/a ends at 6000; it had 6001"),
        ("orders/a/b=c=1", "orders/a/b=c is not there; it had 1"),
    ] {
        let done = at_least(wanted);
        assert_eq!(done.status.code(), Some(6), "{wanted}");
        let missing = lines(&done.stdout).pop().unwrap();
        assert_eq!((&missing["store"], &missing["missing"]), (&STORE.into(), &said.into()));
    }
    let other = "aaaaaaaa-0000-4000-8000-000000000000";
    let done = on("verify", &data, &["--at-least", "orders/a=1", "--store", other]);
    assert_eq!(done.status.code(), Some(6), "{}", text(&done.stderr));
    for wrong in ["orders=1", "orders/a", "/=1", "orders/a=99999999999999999999"] {
        assert_eq!(at_least(wrong).status.code(), Some(2), "{wrong}");
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_a_folder_or_a_terabyte_in_the_place_of_a_file_is_damage_and_waited_for_by_nobody() {
    for name in [
        "00000000000000000001.extent",
        "00000000000000000001.index",
        "checkpoint",
    ] {
        for what in ["pipe", "folder", "terabyte"] {
            let dir = tempfile::tempdir().unwrap();
            let data = stored(dir.path());
            let path = data.join("stores").join(STORE).join(name);
            if what == "terabyte" {
                let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
                file.set_len(1 << 40).unwrap();
            } else {
                std::fs::remove_file(&path).unwrap();
                match what {
                    "pipe" => assert!(
                        std::process::Command::new("mkfifo")
                            .arg(&path)
                            .status()
                            .unwrap()
                            .success()
                    ),
                    _ => std::fs::create_dir(&path).unwrap(),
                }
            }
            let done = verify(&data);
            assert_eq!(done.status.code(), Some(6), "{name} {what}: {}", text(&done.stderr));
            let target = dir.path().join("target");
            let repaired = on("repair", &data, &[target.to_str().unwrap()]);
            assert_ne!(
                repaired.status.code(),
                Some(1),
                "{name} {what}: {}",
                text(&repaired.stderr)
            );
            assert!(verify(&target).status.success(), "{name} {what}");
        }
    }
}
