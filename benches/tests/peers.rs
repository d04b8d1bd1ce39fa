//! `peers` measures whatever is installed, and names what is not.

use std::process::Command;

use serde_json::Value;
use streamkit_benches::servers::kinds::KINDS;
use streamkit_benches::side_by_side::{Work, record, table};

#[test]
fn each_server_is_measured_or_named_with_the_reason() {
    let mut peers = Command::new(env!("CARGO_BIN_EXE_peers"));
    if let Some(programs) = std::env::var_os("STREAMKIT_PEERS") {
        peers.arg("--programs").arg(programs);
    }
    let output = peers.args(["--quick", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    let subjects = run["subjects"].as_array().unwrap();
    assert_eq!(
        subjects.len(),
        KINDS.len() + 1,
        "the servers, and the engine in process"
    );
    for subject in subjects {
        let name = &subject["name"];
        if let Some(reason) = subject["absent"].as_str() {
            let expected = ["it is not installed", "its client is not built: --features servers"];
            assert!(expected.contains(&reason), "{name}: {reason}");
            println!("skipped {name}: {reason}");
            continue;
        }
        for work in Work::ALL {
            let reached = subject[work.key()][work.leader()].as_f64();
            assert!(reached.is_some_and(|reached| reached > 0.0), "{name}: {subject}");
        }
        assert_ne!(subject["sync"]["waits"], false, "{name}: {subject}");
    }
    assert_eq!(
        table::cells(&run).len(),
        subjects.len() + 4,
        "heads, three floors, subjects"
    );
}

#[test]
fn the_document_quotes_the_newest_run() {
    let document = std::fs::read_to_string(streamkit_benches::history::document()).unwrap();
    assert!(
        document == record::rendered().unwrap(),
        "run `cargo run -p streamkit-benches --bin peers -- --render`"
    );
}

#[test]
fn a_run_that_was_scaled_down_is_not_quoted() {
    let run = |quick: bool, commit: &str| serde_json::json!({"quick": quick, "commit": commit, "subjects": []});
    let quoted = record::render(&[run(false, "older"), run(false, "newer"), run(true, "quick")]);
    assert!(quoted.contains("newer") && !quoted.contains("older"), "{quoted}");
    assert_eq!(record::render(&[run(true, "quick")]), "No results are recorded yet.\n");
}
