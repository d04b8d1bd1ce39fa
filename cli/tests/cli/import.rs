//! `import` run again: what it skips is the file's own, what it stores is new, and anything else is refused before a row
//! of it is stored.

use std::path::Path;

use crate::program::*;

/// A file with these rows of `n,key`.
fn csv(dir: &Path, name: &str, rows: &[(u32, &str)]) -> String {
    let file = dir.join(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let rows = rows.iter().map(|(n, key)| format!("{n},{key}\n"));
    std::fs::write(&file, format!("n,key\n{}", rows.collect::<String>())).unwrap();
    file.to_str().unwrap().to_owned()
}

fn entries(served: &Served) -> u64 {
    lines(&served.run(&["status"]).stdout)[0]["entry_count"]
        .as_u64()
        .unwrap()
}

fn import(served: &Served, file: &str, more: &[&str]) -> std::process::Output {
    served.run(&[&["import", "s", file, "--segment-by", "key"], more].concat())
}

#[test]
fn a_second_run_stores_only_the_rows_that_the_file_has_gained() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let file = csv(dir.path(), "a.csv", &[(1, "x"), (2, "y"), (3, "x")]);
    assert!(import(&served, &file, &[]).status.success());
    csv(dir.path(), "a.csv", &[(1, "x"), (2, "y"), (3, "x"), (4, "y"), (5, "z")]);
    let again = import(&served, &file, &[]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    let result = &lines(&again.stdout)[0];
    assert_eq!((&result["stored"], &result["stored_before"]), (&2.into(), &3.into()));
    assert_eq!(entries(&served), 5);
}

#[test]
fn another_file_of_the_same_name_is_refused_before_any_row_of_it_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    for (month, rows) in [
        ("jan", &[(1, "x"), (2, "y"), (3, "x")]),
        ("feb", &[(4, "new"), (5, "y"), (6, "x")]),
    ] {
        csv(dir.path(), &format!("{month}/rows.csv"), rows);
    }
    let from = |month: &str, more: &[&str]| {
        let arguments = [&["import", "s", "rows.csv", "--segment-by", "key"], more].concat();
        let mut command = served.command(&arguments);
        command.current_dir(dir.path().join(month)).output().unwrap()
    };
    assert!(from("jan", &[]).status.success());
    let other = from("feb", &[]);
    assert_eq!(other.status.code(), Some(1), "{}", text(&other.stdout));
    let said = text(&other.stderr);
    assert!(
        said.contains("no row was stored") && said.contains("--source"),
        "{said}"
    );
    assert_eq!(entries(&served), 3);
    let named = from("feb", &["--source", "feb/rows.csv"]);
    assert!(named.status.success(), "{}", text(&named.stderr));
    assert_eq!(entries(&served), 6);
    // Both can still be resumed, under the names they have.
    for (month, name) in [("jan", "rows.csv"), ("feb", "feb/rows.csv")] {
        assert!(from(month, &["--source", name]).status.success());
    }
    assert_eq!(entries(&served), 6);
}

#[test]
fn a_file_that_ends_before_the_rows_stored_of_it_is_another_one() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let file = csv(dir.path(), "a.csv", &[(1, "x"), (2, "x"), (3, "x")]);
    assert!(import(&served, &file, &[]).status.success());
    csv(dir.path(), "a.csv", &[(1, "x")]);
    let shorter = import(&served, &file, &[]);
    assert_eq!(shorter.status.code(), Some(1));
    let said = text(&shorter.stderr);
    assert!(said.contains("row 3"), "{said}");
    csv(dir.path(), "a.csv", &[(1, "x"), (2, "new")]);
    let changed = import(&served, &file, &[]);
    assert_eq!(changed.status.code(), Some(1));
    assert_eq!(entries(&served), 3);
}

#[test]
fn a_file_named_in_another_way_is_asked_about_not_stored_twice() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let file = csv(dir.path(), "a.csv", &[(1, "x"), (2, "y")]);
    let here = |name: &str, more: &[&str]| {
        let arguments = [&["import", "s", name, "--segment-by", "key"], more].concat();
        let mut command = served.command(&arguments);
        command.current_dir(dir.path()).output().unwrap()
    };
    assert!(here("a.csv", &[]).status.success());
    for name in ["./a.csv", &file] {
        let other = here(name, &[]);
        assert_eq!(other.status.code(), Some(1));
        let said = text(&other.stderr);
        assert!(said.contains("--source a.csv"), "{said}");
        let same = here(name, &["--source", "a.csv"]);
        assert!(same.status.success(), "{}", text(&same.stderr));
    }
    assert_eq!(entries(&served), 2);
}

#[test]
fn standard_input_needs_a_name_and_goes_on_under_it() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let arguments = ["import", "s", "-", "--segment-by", "key"];
    let nameless = served.run_with(&arguments, "n,key\n1,x\n");
    assert_eq!(nameless.status.code(), Some(2));
    assert!(
        text(&nameless.stderr).contains("--source"),
        "{}",
        text(&nameless.stderr)
    );
    let named = |name: &str, input: &str| served.run_with(&[&arguments[..], &["--source", name]].concat(), input);
    assert!(named("jan", "n,key\n1,x\n2,y\n").status.success());
    assert!(named("jan", "n,key\n1,x\n2,y\n3,x\n").status.success());
    assert_eq!(entries(&served), 3);
    assert_eq!(named("jan", "n,key\n7,x\n8,x\n9,x\n").status.code(), Some(1));
    assert_eq!(entries(&served), 3);
    assert!(named("feb.ndjson", "{\"n\":7,\"key\":\"x\"}\n").status.success());
    assert_eq!(entries(&served), 4);
}

#[test]
fn a_row_that_the_server_would_refuse_is_named_and_everything_before_it_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let big = format!("{{\"k\":\"a\",\"x\":\"{}\"}}\n", "y".repeat(5 << 20));
    let long = format!("{{\"k\":\"{}\"}}\n", "y".repeat(600));
    for (name, broken) in [
        ("big", big),
        ("long", long),
        ("nul", "{\"k\":\"a\\u0000b\"}\n".to_owned()),
    ] {
        let file = dir.path().join(format!("{name}.ndjson"));
        std::fs::write(
            &file,
            format!("{{\"k\":\"a\"}}\n{{\"k\":\"b\"}}\n{broken}{{\"k\":\"c\"}}\n"),
        )
        .unwrap();
        let done = served.run(&["import", name, file.to_str().unwrap(), "--segment-by", "k"]);
        assert_eq!(done.status.code(), Some(1), "{name}");
        let said = text(&done.stderr);
        assert!(
            said.contains("line 3") && said.contains("2 rows before it are stored"),
            "{name}: {said}"
        );
        let stored = served.run(&["status", name]);
        assert_eq!(lines(&stored.stdout)[0]["entry_count"], 2, "{name}");
    }
}

#[test]
fn a_name_that_every_row_would_copy_is_short() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    for (bytes, code) in [(512, 0), (513, 2)] {
        let name = "x".repeat(bytes);
        let done = served.run_with(&["import", "s", "-", "--source", &name], "n\n1\n");
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{said}");
        assert_eq!(said.contains("512 at most"), code == 2, "{said}");
    }
    let long = "./".repeat(300) + "a.csv";
    let done = served.run(&["import", "s", &long]);
    assert!(text(&done.stderr).contains("--source NAME"), "{}", text(&done.stderr));
}
