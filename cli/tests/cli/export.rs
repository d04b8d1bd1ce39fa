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
fn where_one_segment_conflicts_all_that_is_stored_of_the_others_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    assert!(served.run_with(&["produce", "s/n7"], "other\n").status.success());
    let mut input = String::new();
    for sequence in 1..=500 {
        for segment in 0..40 {
            let payload = "x".repeat(200);
            input += &format!(
                "{{\"segment\":\"n{segment}\",\"sequence\":{sequence},\"timestamp\":0,\"payload\":\"{payload}\"}}\n"
            );
        }
    }
    let done = served.run_with(&["import", "s", "-", "--entries"], &input);
    let told = text(&done.stderr);
    assert_eq!(done.status.code(), Some(3), "{told}");
    let status = lines(&served.run(&["status", "s"]).stdout).remove(0);
    let stored = status["entry_count"].as_u64().unwrap() - 1;
    let counted = match stored {
        0 => "no row was stored now".to_owned(),
        stored => format!("{stored} rows were stored now"),
    };
    assert!(told.contains(&counted), "{counted}: {told}");
}

#[test]
fn an_export_that_breaks_off_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = produced(dir.path());
    served.kill();
    let file = dir.path().join("s.ndjson");
    let done = served.run(&["export", "s", file.to_str().unwrap(), "--timeout", "1s"]);
    assert_eq!(done.status.code(), Some(5), "{}", text(&done.stderr));
    let left = left_of(dir.path());
    assert!(left.is_empty(), "{left:?}");
}

/// Files of an export to `s.ndjson`.
fn left_of(dir: &std::path::Path) -> Vec<std::ffi::OsString> {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    names
        .filter(|name| name.to_string_lossy().contains("s.ndjson"))
        .collect()
}

#[test]
fn an_export_that_is_interrupted_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let line = "x".repeat(20);
    let produced = served.run_with(&["produce", "s/a"], &format!("{line}\n").repeat(100_000));
    assert!(produced.status.success(), "{}", text(&produced.stderr));
    let file = dir.path().join("s.ndjson");
    let mut export = served.command(&["export", "s", file.to_str().unwrap()]);
    let child = export.stderr(std::process::Stdio::piped()).spawn().unwrap();
    until("a file", || {
        let grows =
            |name: &std::ffi::OsString| std::fs::metadata(dir.path().join(name)).is_ok_and(|about| about.len() > 0);
        left_of(dir.path()).iter().any(grows).then_some(())
    });
    signal(child.id(), "INT");
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(130), "{}", text(&done.stderr));
    assert!(left_of(dir.path()).is_empty(), "{:?}", left_of(dir.path()));
}

#[test]
fn what_is_not_there_is_neither_exported_nor_copied() {
    let dir = tempfile::tempdir().unwrap();
    let served = produced(dir.path());
    let file = dir.path().join("s.ndjson");
    let file = file.to_str().unwrap();
    for (arguments, said) in [
        (["export", "none", file], "there is no space none"),
        (["export", "s/none", file], "there is no segment s/none"),
        (["export", "none", "-"], "there is no space none"),
    ] {
        let done = served.run(&arguments);
        assert_eq!(done.status.code(), Some(1), "{arguments:?}");
        assert!(text(&done.stderr).contains(said), "{}", text(&done.stderr));
        assert!(done.stdout.is_empty() && left_of(dir.path()).is_empty());
    }
    let (from, to) = (["--from", &served.url], ["--to", &served.url]);
    let stores = [
        "--from-store",
        STORE,
        "--to-store",
        "00000000-0000-4000-8000-000000000003",
    ];
    let tokens = ["--from-token", &served.token, "--to-token", &served.token];
    for spaces in [&["none"][..], &["s", "none"]] {
        let arguments = [&["copy"], spaces, &from, &to, &stores, &tokens].concat();
        let done = streamkit().args(arguments).output().unwrap();
        assert_eq!(done.status.code(), Some(1), "{spaces:?}");
        assert!(
            text(&done.stderr).contains("there is no space none in the source"),
            "{}",
            text(&done.stderr)
        );
        assert!(done.stdout.is_empty(), "{}", text(&done.stdout));
    }
}
