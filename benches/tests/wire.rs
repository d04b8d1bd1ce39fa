//! `wire` measures both versions of the protocol, followers and idle connections, and the document quotes what is recorded.

use std::process::Command;

use serde_json::{Value, json};
use streamkit_benches::wire::{record, rows};

#[test]
fn all_is_measured_over_both_versions_and_read_back() {
    let mut wire = Command::new(env!("CARGO_BIN_EXE_wire"));
    let output = wire.args(["--quick", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    for subject in run["subjects"].as_array().unwrap() {
        for (work, leader) in [
            ("one", "p50_us"),
            ("many", "records_per_s"),
            ("bulk", "records_per_s"),
            ("read", "entries_per_s"),
        ] {
            let reached = subject[work][leader].as_f64();
            assert!(reached.is_some_and(|reached| reached > 0.0), "{subject}");
        }
    }
    assert!(run["follow"]["p99_us"].is_f64(), "{run}");
    assert_eq!(run["memory"].as_array().map(Vec::len), Some(4), "{run}");
    assert_eq!(
        rows(&run).len(),
        10,
        "four works, many segments, followers, two versions at two numbers"
    );
}

#[test]
fn the_document_quotes_the_newest_runs() {
    let document = std::fs::read_to_string(streamkit_benches::history::document()).unwrap();
    assert!(
        document == record::rendered().unwrap(),
        "run `cargo run -p streamkit-benches --bin wire -- --render`"
    );
}

#[test]
fn the_newest_row_of_each_work_is_quoted_and_none_that_was_scaled_down() {
    let follow = |of: &str, quick: bool, commit: &str| json!({"quick": quick, "commit": commit, "date": "2026-11-28T00:00:00Z", "follow": {"of": of, "p99_us": 1.0}});
    let made = record::render(&[
        follow("few", false, "first"),
        follow("many", false, "second"),
        follow("many", false, "third"),
        follow("many", true, "quick"),
    ]);
    assert!(made.contains("first") && made.contains("third"), "{made}");
    assert!(!made.contains("second") && !made.contains("quick"), "{made}");
    assert_eq!(
        record::render(&[follow("few", true, "quick")]),
        "No results are recorded yet.\n"
    );
}
