//! SIGKILL at random moments. `STREAMKIT_KILL_CYCLES` sets how often; a few times unless set.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use streamkit_client::{Client, ConsumeSpace, Error, NewRecord, RetryPolicy};

use crate::program::*;

fn cycles() -> usize {
    std::env::var("STREAMKIT_KILL_CYCLES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(5)
}

/// What to import, and by which column: `STREAMKIT_KILL_FILE` (a CSV file, `.gz` too) and `STREAMKIT_KILL_COLUMN`, or rows
/// made up here.
fn rows_to_import(dir: &Path) -> (PathBuf, String) {
    if let Some(file) = std::env::var_os("STREAMKIT_KILL_FILE") {
        let column = std::env::var("STREAMKIT_KILL_COLUMN").expect("STREAMKIT_KILL_COLUMN names the column");
        return (file.into(), column);
    }
    let file = dir.join("rows.csv");
    let mut rows = String::from("n,key\n");
    for n in 0..150_000 {
        rows.push_str(&format!("{n},key-{}\n", n * 7919 % 500));
    }
    std::fs::write(&file, rows).unwrap();
    (file, "key".to_owned())
}

/// The numbers of each segment's rows, in the order of the file.
fn rows_by_segment(file: &Path, column: &str) -> HashMap<String, Vec<String>> {
    let plain: Box<dyn std::io::Read> = match std::fs::File::open(file).unwrap() {
        zipped if file.extension().is_some_and(|e| e == "gz") => Box::new(flate2::read::GzDecoder::new(zipped)),
        plain => Box::new(plain),
    };
    let mut rows = csv::Reader::from_reader(plain);
    let column = rows.headers().unwrap().iter().position(|name| name == column).unwrap();
    let mut expected = HashMap::<String, Vec<String>>::new();
    for (row, number) in rows.records().zip(1..) {
        let segment = row.unwrap()[column].to_owned();
        expected.entry(segment).or_default().push(format!("{number}"));
    }
    expected
}

#[test]
fn an_import_killed_again_and_again_ends_with_every_row_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    let (file, column) = rows_to_import(dir.path());
    let expected = rows_by_segment(&file, &column);
    let arguments = ["import", "rows", file.to_str().unwrap(), "--segment-by", &column];
    for cycle in 0..cycles() {
        let mut import = served
            .command(&arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(rand::random_range(20..600)));
        if cycle % 2 == 0 {
            import.kill().unwrap();
        } else {
            served.kill();
            served.restart();
            import.kill().unwrap();
        }
        import.wait().unwrap();
        let stored = served.run(&["status", "--json"]);
        println!("after kill {}: {}", cycle + 1, text(&stored.stdout).trim());
    }
    let done = served.run(&arguments);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let mut found = HashMap::<String, Vec<String>>::new();
    for line in text(&served.run(&["consume", "rows"]).stdout).lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        let segment = entry["segment"].as_str().unwrap().to_owned();
        let row = entry["metadata"]["row"].as_str().unwrap().to_owned();
        found.entry(segment).or_default().push(row);
    }
    assert!(found == expected, "the rows differ");
    let entries: usize = found.values().map(Vec::len).sum();
    println!("{entries} rows in {} segments", found.len());
    served.kill();
    assert!(verify(&served.data).status.success());
}

/// What one writer knows of its segment.
#[derive(Default, Clone, Copy)]
struct Known {
    acknowledged: u64,
    tried: u64,
}

const WRITERS: usize = 16;

#[test]
fn a_server_killed_under_load_keeps_all_it_acknowledged_and_nothing_half() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let known = Arc::new(Mutex::new([Known::default(); WRITERS]));
    for cycle in 0..cycles() {
        let client = Client::builder(&served.url)
            .token(&served.token)
            .retry(RetryPolicy::AGGRESSIVE)
            .timeout(Duration::from_secs(3))
            .build();
        let load: Vec<_> = (0..WRITERS)
            .map(|writer| runtime.spawn(write(client.clone(), writer, known.clone())))
            .collect();
        std::thread::sleep(Duration::from_millis(rand::random_range(50..400)));
        served.kill();
        for writer in load {
            runtime.block_on(writer).unwrap();
        }
        let clean = verify(&served.data);
        assert!(
            clean.status.success(),
            "cycle {cycle}: {}{}",
            text(&clean.stdout),
            text(&clean.stderr)
        );
        served.restart();
        let client = Client::builder(&served.url).token(&served.token).build();
        runtime.block_on(check(&client, &known));
    }
    let acknowledged: u64 = known.lock().unwrap().iter().map(|k| k.acknowledged).sum();
    assert!(acknowledged > 0);
    println!("{acknowledged} records acknowledged");
}

/// Appends transactions of three records until the connection breaks.
async fn write(client: Client, writer: usize, known: Arc<Mutex<[Known; WRITERS]>>) {
    let store = client.store(STORE.parse().unwrap());
    loop {
        let next = known.lock().unwrap()[writer].acknowledged + 1;
        known.lock().unwrap()[writer].tried = next + 2;
        let records = (next..next + 3).map(|n| NewRecord::new(format!("{writer}:{n}")));
        match store
            .produce_all("load", &format!("writer-{writer}"), next, records)
            .await
        {
            Ok(status) => known.lock().unwrap()[writer].acknowledged = status.last_sequence,
            Err(Error::ConnectionLost(_) | Error::Timeout(_) | Error::Unknown(_) | Error::Connect { .. }) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Everything acknowledged is there and equal; what was in flight is there whole or not at all.
async fn check(client: &Client, known: &Mutex<[Known; WRITERS]>) {
    let store = client.store(STORE.parse().unwrap());
    let mut heads = [0; WRITERS];
    let mut entries = store.consume_space(ConsumeSpace::all("load"));
    while let Some(entry) = entries.try_next().await.unwrap() {
        let writer: usize = entry.segment.trim_start_matches("writer-").parse().unwrap();
        heads[writer] += 1;
        assert_eq!(entry.sequence, heads[writer]);
        assert_eq!(entry.payload, format!("{writer}:{}", entry.sequence));
    }
    for (writer, known) in known.lock().unwrap().iter_mut().enumerate() {
        let head = heads[writer];
        assert!(
            head == known.acknowledged || head == known.tried,
            "{head} of {}..{}",
            known.acknowledged,
            known.tried
        );
        known.acknowledged = head;
    }
}
