//! `backup` and `restore`: a drill with a server under load, kills half-way, and what each refuses.

use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use streamkit_client::{Client, ConsumeSpace, NewRecord};

use crate::program::*;

const WRITERS: usize = 4;

type Acknowledged = Arc<Mutex<[u64; WRITERS]>>;

/// Writers that append until they are stopped, and remember what was acknowledged.
struct Load {
    runtime: tokio::runtime::Runtime,
    acknowledged: Acknowledged,
    stop: Arc<AtomicBool>,
    writers: Vec<tokio::task::JoinHandle<()>>,
}

fn payload(writer: usize, sequence: u64) -> String {
    format!("{writer}:{sequence}:{}", "p".repeat(3000))
}

impl Load {
    fn start(served: &Served) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let client = Client::builder(&served.url).token(&served.token).build();
        let (acknowledged, stop) = (Acknowledged::default(), Arc::new(AtomicBool::new(false)));
        let writers = (0..WRITERS).map(|writer| {
            let (store, acknowledged, stop) =
                (client.store(STORE.parse().unwrap()), acknowledged.clone(), stop.clone());
            runtime.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let next = acknowledged.lock().unwrap()[writer] + 1;
                    let records = (next..next + 5).map(|n| NewRecord::new(payload(writer, n)));
                    let status = store
                        .produce_all("load", &format!("writer-{writer}"), next, records)
                        .await;
                    acknowledged.lock().unwrap()[writer] = status.unwrap().last_sequence;
                }
            })
        });
        let writers = writers.collect();
        Self {
            runtime,
            acknowledged,
            stop,
            writers,
        }
    }

    fn acknowledged(&self) -> [u64; WRITERS] {
        *self.acknowledged.lock().unwrap()
    }

    /// Waits until each writer has this many.
    fn wait_for(&self, records: u64) {
        while self.acknowledged().iter().any(|&count| count < records) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn stop(&mut self) -> [u64; WRITERS] {
        self.stop.store(true, Ordering::Relaxed);
        for writer in self.writers.drain(..) {
            self.runtime.block_on(writer).unwrap();
        }
        self.acknowledged()
    }

    /// What a server holds of it: every entry as it was sent, without a hole. Returns the heads.
    fn read_back(&self, served: &Served) -> [u64; WRITERS] {
        let client = Client::builder(&served.url).token(&served.token).build();
        let mut heads = [0; WRITERS];
        self.runtime.block_on(async {
            let store = client.store(STORE.parse().unwrap());
            let mut entries = store.consume_space(ConsumeSpace::all("load"));
            while let Some(entry) = entries.try_next().await.unwrap() {
                let writer: usize = entry.segment.trim_start_matches("writer-").parse().unwrap();
                heads[writer] += 1;
                assert_eq!(entry.sequence, heads[writer]);
                assert_eq!(entry.payload, payload(writer, entry.sequence));
            }
        });
        heads
    }
}

/// What a command that succeeds prints.
fn result(done: &Output) -> serde_json::Value {
    assert!(done.status.success(), "{}{}", text(&done.stdout), text(&done.stderr));
    lines(&done.stdout)[0].clone()
}

fn backup(served: &Served, target: &Path) -> Output {
    served.run(&["backup", &served.url, target.to_str().unwrap(), "--json"])
}

fn backup_folder(data: &Path, target: &Path) -> Output {
    streamkit().arg("backup").args([data, target]).output().unwrap()
}

fn restore(target: &Path, dir: &Path) -> Output {
    streamkit().arg("restore").args([target, dir]).output().unwrap()
}

#[test]
fn a_drill_under_load_brings_back_all_that_was_acknowledged_before_the_backup_began() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    let target = dir.path().join("backup");
    let mut load = Load::start(&served);
    load.wait_for(200);
    let before_first = load.acknowledged();
    let first = result(&backup(&served, &target));
    assert_eq!(first["copied_extents"], first["extents"]);
    assert!(load.acknowledged() != before_first, "there was no load meanwhile");
    load.wait_for(before_first.iter().max().unwrap() + 200);
    let before_second = load.acknowledged();
    let second = result(&backup(&served, &target));
    // What was sealed by the first is not copied again.
    let (all, copied) = (
        second["extents"].as_u64().unwrap(),
        second["copied_extents"].as_u64().unwrap(),
    );
    let sealed = first["extents"].as_u64().unwrap() - 1;
    assert!(all > sealed && copied <= all - sealed, "{first} {second}");
    assert!(verify(&target).status.success());
    let acknowledged = load.stop();
    served.kill();
    std::fs::remove_dir_all(&served.data).unwrap();
    let restored = result(&restore(&target, &served.data));
    assert_eq!(restored["bytes"], second["bytes"]);
    served.restart();
    let found = load.read_back(&served);
    for writer in 0..WRITERS {
        let wanted = before_second[writer]..=acknowledged[writer];
        assert!(wanted.contains(&found[writer]), "{found:?} of {wanted:?}");
    }
    assert_eq!(restored["entries"], found.iter().sum::<u64>());
    println!(
        "acknowledged {before_second:?} before, {found:?} restored, {acknowledged:?} at the end; {first} {second}"
    );
    // It is written to, and what is new goes to the same backup.
    assert!(served.run_with(&["produce", "load/again"], "one\n").status.success());
    let third = result(&backup(&served, &target));
    assert!(third["copied_extents"].as_u64().unwrap() <= 2, "{third}");
    let quiet = result(&backup(&served, &target));
    assert_eq!(quiet["copied_extents"], 1, "only the open extent");
    served.kill();
    assert!(verify(&served.data).status.success());
    assert!(verify(&target).status.success());
}

/// Runs a command and kills it after a while; `true` if it was done by then.
fn killed(mut command: std::process::Command, after: Duration) -> bool {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(after);
    let _ = child.kill();
    child.wait().unwrap().success()
}

#[test]
fn backup_and_restore_killed_again_and_again_end_whole_and_nothing_half_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let mut load = Load::start(&served);
    load.wait_for(1500);
    let acknowledged = load.stop();
    let (target, back) = (dir.path().join("backup"), dir.path().join("back"));
    let (mut half_backups, mut half_restores) = (0, 0);
    for cycle in 0..12 {
        let command = served.command(&["backup", &served.url, target.to_str().unwrap()]);
        if !killed(command, Duration::from_millis(10 + 12 * cycle)) {
            half_backups += 1;
        }
        if !target.join("backup.json").exists() {
            assert!(!verify(&target).status.success() && !restore(&target, &back).status.success());
        }
    }
    result(&backup(&served, &target));
    let entries = |folder: &Path| result(&verify(folder))["entries"].as_u64().unwrap();
    assert_eq!(entries(&target), acknowledged.iter().sum::<u64>());
    for cycle in 0..12 {
        let mut command = streamkit();
        command.arg("restore").args([&target, &back]);
        if !killed(command, Duration::from_millis(10 + 12 * cycle)) {
            half_restores += 1;
        }
        let format = std::fs::read_to_string(back.join("format")).unwrap_or_default();
        if format.starts_with("unfinished") {
            let serve = streamkit()
                .args(["serve", "--listen", "127.0.0.1:0", "--data"])
                .arg(&back)
                .arg("--jwt-key-file")
                .arg(dir.path().join("key"))
                .output()
                .unwrap();
            assert_eq!(serve.status.code(), Some(1));
            assert!(
                text(&serve.stderr).contains("unfinished restore"),
                "{}",
                text(&serve.stderr)
            );
        } else if !format.is_empty() {
            break;
        }
    }
    let finished = std::fs::read_to_string(back.join("format")).is_ok_and(|said| said.starts_with("streamkit"));
    if !finished {
        result(&restore(&target, &back));
    }
    assert_eq!(entries(&back), acknowledged.iter().sum::<u64>());
    // What a running server's disk has lost is noticed on the way.
    let extent = served.data.join(format!("stores/{STORE}/00000000000000000002.extent"));
    let mut bytes = std::fs::read(&extent).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&extent, &bytes).unwrap();
    let damaged = backup(&served, &dir.path().join("damaged"));
    assert_eq!(damaged.status.code(), Some(6), "{}", text(&damaged.stderr));
    assert!(!verify(&dir.path().join("damaged")).status.success());
    println!("{half_backups} backups and {half_restores} restores were killed");
    assert!(half_backups > 0 && half_restores > 0);
}

#[test]
fn what_is_refused_has_its_exit_code_and_says_what_next() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    assert!(served.run_with(&["produce", "o/a"], "1\n2\n3\n").status.success());
    let target = dir.path().join("backup");
    let at = |name: &str| dir.path().join(name);
    let fails = |done: Output, code: i32, why: &str| {
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{said}");
        assert!(said.contains(why), "{said}");
    };
    let target_name = target.to_str().unwrap();
    fails(
        streamkit().args(["backup", &served.url, target_name]).output().unwrap(),
        2,
        "token",
    );
    fails(served.run(&["backup", "ftp://h", target_name]), 2, "ws://host:8080");
    fails(served.run(&["backup", "ws://127.0.0.1:1", target_name]), 5, "no answer");
    fails(
        served.run(&["backup", &served.url, target_name, "--token", "forged"]),
        4,
        "refused the token",
    );
    let one = streamkit()
        .args(["token", "--store", STORE, "--jwt-key-file"])
        .arg(at("key"))
        .output()
        .unwrap();
    let one = text(&one.stdout);
    fails(
        served.run(&["backup", &served.url, target_name, "--token", one.trim()]),
        4,
        "--store '*'",
    );
    fails(backup_folder(&served.data, &at("offline")), 1, "in use by process ");
    fails(backup_folder(&at("nothing"), &at("offline")), 1, "no data directory");
    assert!(!at("offline").join("backup.json").exists());
    result(&backup(&served, &target));
    served.kill();
    // Offline, into the same.
    let again = result(&backup_folder(&served.data, &target));
    assert_eq!(again["copied_extents"], 1);
    fails(restore(&target, &served.data), 1, "not empty");
    fails(restore(&served.data, &at("new")), 1, "no finished backup");
    fails(backup_folder(&target, &served.data), 1, "not empty");
    // Damage, on either side.
    let extent = format!("stores/{STORE}/00000000000000000001.extent");
    for (folder, mend) in [(&served.data, true), (&target, false)] {
        let whole = std::fs::read(folder.join(&extent)).unwrap();
        let mut bytes = whole.clone();
        bytes[4096 + 100] ^= 1;
        std::fs::write(folder.join(&extent), &bytes).unwrap();
        match mend {
            true => fails(backup_folder(folder, &target), 6, "damage"),
            false => fails(restore(folder, &at("new")), 6, "damage"),
        }
        if mend {
            std::fs::write(folder.join(&extent), &whole).unwrap();
        }
    }
    fails(verify(&at("new")), 1, "unfinished restore");
    // A backup that copies the open extent again mends it.
    result(&backup_folder(&served.data, &target));
    std::fs::remove_dir_all(at("new")).unwrap();
    assert_eq!(result(&restore(&target, &at("new")))["entries"], 3);
}

/// As a nightly job sees it: one store of several is damaged on the server's disk.
#[test]
fn a_damaged_store_is_named_and_the_others_are_backed_up_and_restored() {
    const OTHER: &str = "00000000-0000-0000-0000-000000000001";
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    let (target, back) = (dir.path().join("backup"), dir.path().join("back"));
    let produce = |store, lines| {
        let args = ["produce", "o/a", "--store", store];
        assert!(served.run_with(&args, lines).status.success());
    };
    produce(STORE, "1\n");
    produce(OTHER, "1\n");
    assert_eq!(result(&backup(&served, &target))["failed"], serde_json::json!([]));
    produce(STORE, "2\n");
    produce(OTHER, "2\n");
    let extent = served.data.join(format!("stores/{OTHER}/00000000000000000001.extent"));
    let mut bytes = std::fs::read(&extent).unwrap();
    bytes[4096 + 20] ^= 1;
    std::fs::write(&extent, &bytes).unwrap();
    for online in [true, false] {
        if !online {
            served.kill();
        }
        let done = match online {
            true => backup(&served, &target),
            false => backup_folder(&served.data, &target),
        };
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(6), "{said}");
        let named = format!("1 store could not be backed up: store {OTHER}: ");
        assert!(said.contains(&named), "{said}");
        let failed = &lines(&done.stdout)[0]["failed"];
        assert_eq!(
            (failed[0]["store"].as_str(), failed[0]["damage"].as_bool()),
            (Some(OTHER), Some(true)),
            "{failed}"
        );
        assert_eq!(lines(&done.stdout)[0]["stores"], 2);
    }
    let restored = result(&restore(&target, &back));
    assert_eq!(restored["unreadable"], serde_json::json!([OTHER]));
    assert_eq!(restored["entries"], 3, "both of one, the first of the other");
}
