//! `export`, and `import --entries` of what it wrote: the same entries at the same sequences.

use crate::program::*;

fn produced(dir: &std::path::Path) -> Served {
    let served = Served::start(dir);
    for (path, input) in [
        (
            "s/a",
            "{\"payload\":\"1\",\"metadata\":{\"k\":\"v\"}}\n{\"payload_base64\":\"/w==\"}\n",
        ),
        ("s/b", "{\"payload\":\"é\\n\"}\n"),
        ("s/a", "{\"payload\":\"\"}\n"),
    ] {
        let done = served.run_with(&["produce", path, "--json"], input);
        assert!(done.status.success(), "{}", text(&done.stderr));
    }
    served
}

/// Entries but for what a server stamps, and the original time apart.
fn entries(served: &Served, path: &str) -> Vec<(serde_json::Value, i64)> {
    let mut entries = lines(&served.run(&["consume", path]).stdout);
    let times = entries.iter_mut().map(|entry| {
        let entry = entry.as_object_mut().unwrap();
        entry.remove("space");
        entry.remove("trx");
        let committed = entry.remove("timestamp").unwrap().as_i64().unwrap();
        let kept = entry["metadata"].as_object_mut().unwrap().remove("original-timestamp");
        kept.map_or(committed, |kept| kept.as_str().unwrap().parse().unwrap())
    });
    let times: Vec<i64> = times.collect();
    entries.into_iter().zip(times).collect()
}

#[test]
fn what_is_exported_is_imported_at_the_same_sequences_with_its_times() {
    let dir = tempfile::tempdir().unwrap();
    let served = produced(dir.path());
    let file = dir.path().join("s.ndjson");
    let file = file.to_str().unwrap();
    let done = served.run(&["export", "s", file]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(lines(&done.stdout)[0]["entries"], 4);
    assert_eq!(std::fs::read(file).unwrap(), served.run(&["export", "s", "-"]).stdout);
    assert_eq!(served.run(&["export", "s", file]).status.code(), Some(2), "it is there");
    let import = |space: &str, file: &str| {
        let done = served.run(&["import", space, file, "--entries"]);
        assert!(done.status.success(), "{}", text(&done.stderr));
        let line = lines(&done.stdout).remove(0);
        ["rows", "stored", "stored_before", "segments"].map(|field| line[field].as_u64().unwrap())
    };
    assert_eq!(import("t", file), [4, 4, 0, 2]);
    for segment in ["a", "b"] {
        let (one, other) = (
            entries(&served, &format!("s/{segment}")),
            entries(&served, &format!("t/{segment}")),
        );
        assert_eq!(one, other);
    }
    assert_eq!(import("t", file), [4, 0, 4, 2]);
    // Exported again and imported elsewhere, the times are still those of the first.
    let again = dir.path().join("t.ndjson");
    assert!(served.run(&["export", "t", again.to_str().unwrap()]).status.success());
    assert_eq!(import("u", again.to_str().unwrap()), [4, 4, 0, 2]);
    assert_eq!(entries(&served, "s/a"), entries(&served, "u/a"));
    // From a pipe, and only what is new.
    assert!(served.run_with(&["produce", "s/a"], "new\n").status.success());
    let exported = text(&served.run(&["export", "s/a", "-"]).stdout);
    let piped = served.run_with(&["import", "t", "-", "--entries"], &exported);
    assert_eq!(lines(&piped.stdout)[0]["stored"], 1, "{}", text(&piped.stderr));
}

#[test]
fn what_does_not_fit_behind_what_is_there_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let served = produced(dir.path());
    let line = |sequence: u64, payload: &str| {
        format!("{{\"segment\":\"a\",\"sequence\":{sequence},\"timestamp\":0,\"payload\":\"{payload}\"}}\n")
    };
    let import = |space: &str, input: &str| served.run_with(&["import", space, "-", "--entries"], input);
    for (space, input, code, said) in [
        ("s", line(1, "other"), 3, "s/a holds another entry at sequence 1"),
        ("s", line(9, "x"), 3, "s/a ends at sequence 3"),
        ("t", line(2, "x"), 3, "t/a ends at sequence 0"),
        (
            "t",
            line(1, "x") + &line(3, "y"),
            1,
            "line 2: sequence 3, where 2 comes next",
        ),
        ("u", line(0, "x"), 1, "line 1: sequence 0"),
        ("u", line(u64::MAX, "x"), 3, "u/a ends at sequence 0"),
        ("u", "{\"payload\":\"x\"}\n".to_owned(), 1, "line 1: missing field"),
    ] {
        let before = served.run(&["consume", space]).stdout;
        let done = import(space, &input);
        let told = text(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{input}: {told}");
        assert!(told.contains(said), "{said}: {told}");
        if !input.contains("\"y\"") {
            assert_eq!(before, served.run(&["consume", space]).stdout, "{input}");
        }
    }
    // What stood before the broken line is stored.
    assert_eq!(lines(&served.run(&["status", "t/a"]).stdout)[0]["last_sequence"], 1);
    let wrong = served.run(&["import", "s", "-", "--entries", "--segment-by", "k"]);
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn an_export_that_breaks_off_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = produced(dir.path());
    served.kill();
    let file = dir.path().join("s.ndjson");
    let done = served.run(&["export", "s", file.to_str().unwrap(), "--timeout", "1s"]);
    assert_eq!(done.status.code(), Some(5), "{}", text(&done.stderr));
    let left = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left
        .filter(|name| name.to_string_lossy().starts_with("s.ndjson"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
