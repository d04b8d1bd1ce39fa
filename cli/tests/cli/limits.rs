//! A served process with limits of the system (`ulimit`): what they refuse is refused, and nothing else.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Instant;

use streamkit_client::{Client, Error, NewRecord};

use crate::program::*;

/// Sets a limit of a running process; `false` where there is no such command.
fn limit(served: &Served, what: &str) -> bool {
    let process = served.process().to_string();
    let set = Command::new("prlimit").args(["--pid", &process, what]).status();
    set.is_ok_and(|set| set.success())
}

/// Lines enough for several extents.
fn many_lines() -> String {
    let line = "x".repeat(1000);
    format!("{line}\n").repeat(3000)
}

#[test]
fn a_file_larger_than_the_process_may_write_refuses_that_append_and_the_server_lives_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    assert!(served.run_with(&["produce", "s/a"], "one\n").status.success());
    // Soft alone, so that it can be lifted again. No extent is that small.
    if !limit(&served, "--fsize=16384:") {
        return eprintln!("skipped: no prlimit here");
    }
    let refused = served.run_with(&["produce", "s/a", "--expect", "1"], &many_lines());
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(5), "{said}");
    assert!(
        said.contains("nothing was written") && said.contains("File too large"),
        "{said}"
    );
    // What fits in what is open is taken, others are served.
    assert!(served.run(&["status", "s/a"]).status.success());
    assert!(limit(&served, "--fsize=unlimited:"));
    let head = lines(&served.run(&["status", "s/a"]).stdout)[0]["last_sequence"]
        .as_u64()
        .unwrap();
    let next = head.to_string();
    let later = served.run_with(&["produce", "s/a", "--expect", &next], &many_lines());
    assert!(later.status.success(), "it goes on by itself: {}", text(&later.stderr));
    wait_for_head(&served, "s/a", head + 3000);
    served.signal("TERM");
    served.wait();
    let log = served.log();
    let told = log.lines().filter(|line| line.contains("cannot be made ready")).count();
    assert_eq!(told, 1, "once: {log}");
}

#[test]
fn too_many_open_files_refuse_an_append_that_needs_one_and_say_that_nothing_of_it_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let mut producing = served.command(&["produce", "s/a"]);
    producing
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut producing = producing.spawn().unwrap();
    let mut input = producing.stdin.take().unwrap();
    input.write_all(b"one\n").unwrap();
    wait_for_head(&served, "s/a", 1);
    // What is open stays so, and nothing more is opened.
    if !limit(&served, "--nofile=5:") {
        producing.kill().unwrap();
        producing.wait().unwrap();
        return eprintln!("skipped: no prlimit here");
    }
    // Refused with its first lines, it ends before it has read the last.
    let _ = input.write_all(many_lines().as_bytes());
    drop(input);
    let refused = producing.wait_with_output().unwrap();
    assert!(limit(&served, "--nofile=1024:"));
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(5), "{said}");
    for part in [
        "nothing was written",
        "Too many open files",
        "the first line is stored; go on with line 2 at --expect 1",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let on = served.run_with(&["produce", "s/a", "--expect", "1"], &many_lines());
    assert!(on.status.success(), "it goes on by itself: {}", text(&on.stderr));
}

/// A server that may have so many files open.
struct Few {
    child: Child,
    log: BufReader<ChildStderr>,
    url: String,
    token: String,
}

impl Few {
    fn serve(dir: &Path, files: u32) -> Self {
        let key = dir.join("key");
        std::fs::write(&key, "a key of thirty-two bytes or more\n").unwrap();
        let mut command = Command::new("sh");
        let set = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
        command.args(["-c", &set, env!("CARGO_BIN_EXE_streamkit")]);
        command.args(["serve", "--listen", "127.0.0.1:0", "--jwt-key-file"]);
        command.arg(&key).arg("--data").arg(dir.join("data"));
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut first = String::new();
        log.read_line(&mut first).unwrap();
        let token = streamkit()
            .args(["token", "--store", "*", "--jwt-key-file"])
            .arg(&key)
            .output();
        Self {
            child,
            log,
            url: first.trim().rsplit(' ').next().unwrap().to_owned(),
            token: text(&token.unwrap().stdout).trim().to_owned(),
        }
    }

    /// Its log, once it has ended.
    fn stop(mut self) -> String {
        signal(self.child.id(), "TERM");
        let mut log = String::new();
        self.log.read_to_string(&mut log).unwrap();
        assert!(self.child.wait().unwrap().success(), "{log}");
        log
    }
}

/// Appends so many bytes to each of these stores, all at the same time; the errors.
async fn append(
    client: &Client,
    stores: impl Iterator<Item = u128>,
    sequence: u64,
    bytes: usize,
) -> Vec<(u128, Error)> {
    let mut appending = tokio::task::JoinSet::new();
    for number in stores {
        let store = client.store(uuid::Uuid::from_u128(number));
        appending.spawn(async move {
            let record = NewRecord::new(vec![7; bytes]);
            (number, store.produce_all("s", "a", sequence, [record]).await.err())
        });
    }
    let done = appending.join_all().await;
    let failed = done.into_iter();
    failed.filter_map(|(number, error)| Some((number, error?))).collect()
}

/// The log of a server of so many files after its stores were written to one by one, and many of them at the same time.
async fn written_with(files: u32, stores: u128, at_once: u128) -> String {
    let dir = tempfile::tempdir().unwrap();
    let few = Few::serve(dir.path(), files);
    let client = Client::builder(&few.url).token(&few.token).build();
    for number in 0..stores {
        let errors = append(&client, number..=number, 1, 1).await;
        assert!(errors.is_empty(), "{files} files, store {number}: {errors:?}");
    }
    // Large enough for several extents, each of which takes some files while it is made.
    for sequence in 2..=4 {
        let mut left: Vec<u128> = (0..at_once).collect();
        let begun = Instant::now();
        while !left.is_empty() {
            assert!(
                begun.elapsed() < PATIENCE,
                "{files} files: {} stores are refused for ever",
                left.len()
            );
            let errors = append(&client, left.into_iter(), sequence, 100_000).await;
            for (number, error) in &errors {
                let told = error.is_transient() && error.is_not_stored();
                assert!(told, "{files} files, store {number}: {error:?}");
            }
            left = errors.into_iter().map(|(number, _)| number).collect();
        }
    }
    client.close().await;
    let log = few.stop();
    assert!(verify(&dir.path().join("data")).status.success());
    log
}

const SHORT: &str = "stores at rest are closed although more may be open";

#[tokio::test]
async fn few_files_are_enough_for_many_stores_and_refuse_at_most_for_a_while() {
    let log = written_with(64, 100, 40).await;
    assert_eq!(log.matches(SHORT).count(), 1, "{log}");
    let log = written_with(256, 150, 100).await;
    assert_eq!(log.matches(SHORT).count(), 1, "{log}");
    assert!(!log.contains("could not prepare"), "what may wait does: {log}");
    let log = written_with(1024, 150, 100).await;
    assert!(!log.contains("ulimit"), "nothing is less than was asked for: {log}");
    assert!(!log.contains("could not prepare"), "{log}");
}
