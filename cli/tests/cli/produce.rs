//! `produce` when something goes wrong: what it says to do next neither loses nor doubles a line.

use std::io::Write as _;
use std::process::{Child, ChildStdin, Stdio};

use crate::program::*;

#[test]
fn what_the_server_can_never_store_is_in_no_doubt() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let done = served.run_with(&["produce", "s/*"], "1\n");
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(
        said.contains("not named `*`") && said.contains("nothing was stored"),
        "{said}"
    );
}

#[test]
fn a_conflict_between_chunks_tells_which_line_to_go_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let mut child = served
        .command(&["produce", "s/a", "--expect", "0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let line = |n: u32| format!("line {n}\n");
    input
        .write_all((1..=15_000).map(line).collect::<String>().as_bytes())
        .unwrap();
    let head = wait_for_head(&served, "s/a", 15_000);
    assert_eq!(head, 15_000);
    assert!(served.run_with(&["produce", "s/a"], "another's\n").status.success());
    let _ = input.write_all((15_001..=25_000).map(line).collect::<String>().as_bytes());
    drop(input);
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(3));
    let said = text(&done.stderr);
    assert!(
        said.contains("sequence conflict: expected head 15000, it is 15001")
            && said.contains("the first 15000 lines are stored")
            && said.contains("go on with line 15001 at --expect 15001"),
        "{said}"
    );
    // What it says is so, and what it says to do works.
    let rest: String = (15_001..=25_000).map(line).collect();
    let on = served.run_with(&["produce", "s/a", "--expect", "15001"], &rest);
    assert!(on.status.success(), "{}", text(&on.stderr));
    let stored = lines(&served.run(&["consume", "s/a"]).stdout);
    let own: Vec<String> = stored
        .iter()
        .map(|entry| format!("{}\n", entry["payload"].as_str().unwrap()))
        .filter(|payload| payload != "another's\n")
        .collect();
    assert!(own.into_iter().eq((1..=25_000).map(line)));
}

#[test]
fn without_expect_records_go_after_whatever_the_head_is_by_then() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let mut child = served
        .command(&["produce", "s/a"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    // Nothing ends the input: lines are stored while it is open.
    input.write_all(b"one\n").unwrap();
    wait_for_head(&served, "s/a", 1);
    assert!(served.run_with(&["produce", "s/a"], "another's\n").status.success());
    input.write_all(b"two\n").unwrap();
    wait_for_head(&served, "s/a", 3);
    drop(input);
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success());
    let result = &lines(&done.stdout)[0];
    assert_eq!((&result["produced"], &result["head"]), (&2.into(), &3.into()));
}

#[test]
fn an_expectation_is_checked_even_without_a_line_of_input() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let wrong = served.run_with(&["produce", "s/a", "--expect", "5"], "");
    assert_eq!(wrong.status.code(), Some(3), "{}", text(&wrong.stdout));
    assert!(text(&wrong.stderr).contains("expected head 5, it is 0"));
    let right = served.run_with(&["produce", "s/a", "--expect", "0"], "");
    assert!(right.status.success());
    assert_eq!(lines(&right.stdout)[0]["head"], 0);
}

#[test]
fn a_line_that_cannot_be_stored_is_named_and_the_lines_before_it_are_stored() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let large = "x".repeat((4 << 20) + 1);
    let done = served.run_with(&["produce", "s/a"], &format!("1\n2\n{large}\n4\n"));
    assert_eq!(done.status.code(), Some(1));
    let said = text(&done.stderr);
    assert!(
        said.contains("line 3: ") && said.contains("go on with line 3 at --expect 2"),
        "{said}"
    );
    let malformed = served.run_with(&["produce", "s/a", "--json"], "{\"payload\":\"3\"}\n{\"pay\":1}\n");
    assert!(text(&malformed.stderr).contains("line 2: "));
    assert_eq!(lines(&served.run(&["peek", "s/a"]).stdout)[0]["sequence"], 3);
    for name in [format!("s/{}", "x".repeat(513)), format!("{}/a", "x".repeat(513))] {
        let refused = served.run_with(&["produce", &name], "1\n");
        assert_eq!(refused.status.code(), Some(2));
        assert!(text(&refused.stderr).contains("at most 512 bytes"));
    }
}

#[test]
fn lines_rows_and_names_at_their_limits_are_stored_and_one_byte_more_names_its_line() {
    const LARGEST: usize = 4 << 20;
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let name = "n".repeat(512);
    let target = format!("{name}/{name}");
    let line = "x".repeat(LARGEST);
    let done = served.run_with(&["produce", &target], &format!("{line}\n"));
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(lines(&served.run(&["peek", &target]).stdout)[0]["payload"], line);
    let row = |key: &str, bytes: usize| {
        let head = format!("{{\"key\":\"{key}\",\"x\":\"");
        format!("{head}{}\"}}", "x".repeat(bytes - head.len() - 2))
    };
    let import = |space: &str, second: &str| {
        let file = dir.path().join("rows.ndjson");
        std::fs::write(&file, format!("{}\n{second}\n", row("before", 100))).unwrap();
        served.run(&[
            "import",
            space,
            file.to_str().unwrap(),
            "--segment-by",
            "key",
            "--source",
            "rows",
        ])
    };
    // A row's metadata counts, too: six lengths, `source`, `rows`, `row`, `2`, `digest` and that.
    let largest = LARGEST - (6 * 4 + 6 + 4 + 3 + 1 + 6 + 16);
    for (space, fits) in [("bytes", row("a", largest)), ("name", row(&name, 2000))] {
        let done = import(space, &fits);
        assert!(done.status.success(), "{}", text(&done.stderr));
    }
    for (n, more) in [
        row("a", largest + 1),
        row(&format!("{name}n"), 2000),
        row("", 2000),
        row("\\u0000", 2000),
    ]
    .iter()
    .enumerate()
    {
        let space = format!("refused-{n}");
        let done = import(&space, more);
        assert_eq!(done.status.code(), Some(1));
        let said = text(&done.stderr);
        assert!(
            said.contains("line 2: ") && said.contains("the row before it is stored"),
            "{said}"
        );
        let status = served.run(&["status", &space]);
        assert_eq!(lines(&status.stdout)[0]["entry_count"], 1, "{n}");
    }
}

/// `produce s/a`, and where its lines go in.
fn producing(served: &Served) -> (Child, ChildStdin) {
    let mut child = served
        .command(&["produce", "s/a"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = child.stdin.take().unwrap();
    (child, input)
}

#[test]
fn a_lost_connection_says_that_the_outcome_is_unknown_and_how_to_find_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    let (child, mut input) = producing(&served);
    input.write_all(b"one\ntwo\n").unwrap();
    wait_for_head(&served, "s/a", 2);
    // Stopped, it takes the next lines and never answers.
    served.signal("STOP");
    input.write_all(b"three\n").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    served.kill();
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(5));
    let said = text(&done.stderr);
    assert!(
        said.contains(
            "the first 2 lines are stored; whether the next line is stored is unknown: look with `streamkit peek s/a` \
             before you go on, its sequence is 2 if it is not and 3 if it is"
        ),
        "{said}"
    );
    assert!(!said.contains("try again"), "{said}");
}

/// A result that is lost must not make anybody send the lines again.
#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_printed_says_what_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let file = dir.path().join("lines");
    std::fs::write(&file, "one\ntwo\n").unwrap();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = served.command(&["produce", "s/a", file.to_str().unwrap()]);
    let done = command
        .stdout(full)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let done = done.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    let said = text(&done.stderr);
    assert!(
        said.contains("cannot write to standard output")
            && said.contains("the first 2 lines are stored, the head of s/a is 2"),
        "{said}"
    );
    assert_eq!(lines(&served.run(&["peek", "s/a"]).stdout)[0]["sequence"], 2);
    let csv = dir.path().join("a.csv");
    std::fs::write(&csv, "n\n1\n2\n").unwrap();
    for (arguments, done) in [
        (vec!["import", "t", csv.to_str().unwrap()], "2 rows were stored now"),
        (vec!["trim", "s/a", "--before", "2", "--yes"], "it is done"),
        (vec!["delete", "s", "--yes"], "it is done"),
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = served.command(&arguments);
        let child = command
            .stdout(full)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let said = text(&child.wait_with_output().unwrap().stderr);
        assert!(
            said.contains("cannot write to standard output") && said.contains(done),
            "{said}"
        );
    }
}

/// Whatever else is said of a refused chunk, nothing of it was written.
#[test]
fn lines_refused_on_a_full_disk_are_said_not_to_be_stored_and_can_be_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    assert!(served.run_with(&["produce", "s/a"], "one\n").status.success());
    served.signal("TERM");
    served.wait();
    // No disk has so much: from here on it is full, but for the room in the open extent.
    served.restart_with(&["--keep-free-bytes", "4000000000000000000"]);
    let (child, mut input) = producing(&served);
    input.write_all(b"two\nthree\n").unwrap();
    wait_for_head(&served, "s/a", 3);
    let large = format!("{}\n", "x".repeat(200_000));
    let _ = input.write_all(large.as_bytes());
    drop(input);
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(5));
    let said = text(&done.stderr);
    assert!(
        said.contains("the disk is full")
            && said.contains("the first 2 lines are stored; go on with line 3 at --expect 3"),
        "{said}"
    );
    assert!(!said.contains("unknown") && !said.contains("peek"), "{said}");
    // Of nothing, nothing is stored.
    let said = text(&served.run_with(&["produce", "s/a"], &large).stderr);
    assert!(
        said.contains("the disk is full") && said.contains("nothing was stored"),
        "{said}"
    );
    assert_eq!(lines(&served.run(&["peek", "s/a"]).stdout)[0]["payload"], "three");
    // Once there is room, what it says to do works.
    served.kill();
    served.restart();
    let on = served.run_with(&["produce", "s/a", "--expect", "3"], &large);
    assert!(on.status.success(), "{}", text(&on.stderr));
}

#[test]
fn ctrl_c_stores_what_was_read_and_tells_how_far_that_is() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let (child, mut input) = producing(&served);
    input.write_all(b"one\ntwo\n").unwrap();
    wait_for_head(&served, "s/a", 2);
    signal(child.id(), "INT");
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(130));
    let said = text(&done.stderr);
    assert!(
        said.contains("interrupted") && said.contains("go on with line 3"),
        "{said}"
    );
}

#[test]
fn a_second_ctrl_c_ends_it_at_once_and_tells_what_is_stored_and_what_may_be() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    let (child, mut input) = producing(&served);
    input.write_all(b"one\ntwo\n").unwrap();
    wait_for_head(&served, "s/a", 2);
    // Stopped, it takes the next line and never answers.
    served.signal("STOP");
    input.write_all(b"three\n").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    signal(child.id(), "INT");
    std::thread::sleep(std::time::Duration::from_millis(500));
    signal(child.id(), "INT");
    let done = child.wait_with_output().unwrap();
    served.kill();
    assert_eq!(done.status.code(), Some(130));
    let said = text(&done.stderr);
    assert!(
        said.contains("interrupted; the first 2 lines are stored; whether the next line is stored is unknown"),
        "{said}"
    );
}

#[test]
fn metadata_given_once_goes_with_every_record() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let given = ["-H", "by=me", "--metadata", "x=a=b", "-H", "empty="];
    let with = |more: &[&str], input: &str| served.run_with(&[&["produce", "s/a"], more, &given].concat(), input);
    assert!(with(&[], "1\n2\n").status.success());
    assert!(
        with(&["--json"], "{\"payload\":\"3\",\"metadata\":{\"own\":\"o\"}}\n")
            .status
            .success()
    );
    let entries = lines(&served.run(&["consume", "s/a"]).stdout);
    for entry in &entries {
        let metadata = &entry["metadata"];
        assert_eq!(
            (&metadata["by"], &metadata["x"], &metadata["empty"]),
            (&"me".into(), &"a=b".into(), &"".into())
        );
    }
    assert_eq!((entries.len(), &entries[2]["metadata"]["own"]), (3, &"o".into()));
    let clash = with(&["--json"], "{\"payload\":\"4\",\"metadata\":{\"by\":\"o\"}}\n");
    assert_eq!(clash.status.code(), Some(1));
    assert!(text(&clash.stderr).contains("line 1: "), "{}", text(&clash.stderr));
    for wrong in [&["-H", "by=you"][..], &["-H", "none"]] {
        assert_eq!(with(wrong, "5\n").status.code(), Some(2));
    }
}
