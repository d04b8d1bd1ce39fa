//! What a command failed of counts, also where nobody reads its result; and a line is stored as it stands.

use std::process::Stdio;

use crate::program::*;

/// A command whose standard output nobody reads.
fn unread(command: &mut std::process::Command, input: &str) -> std::process::Output {
    use std::io::Write as _;
    let gone = std::io::pipe().unwrap().1;
    command.stdin(Stdio::piped()).stdout(gone).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[test]
fn a_produce_whose_output_is_closed_fails_with_its_own_code_and_message() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let broken = unread(
        &mut served.command(&["produce", "s/a", "--json"]),
        "{\"payload\":\"1\"}\n{}\n",
    );
    assert_eq!(broken.status.code(), Some(1));
    let said = text(&broken.stderr);
    assert!(
        said.contains("line 2: ") && said.contains("go on with line 2 at --expect 1"),
        "{said}"
    );
    let conflict = unread(&mut served.command(&["produce", "s/a", "--expect", "9"]), "x\n");
    assert_eq!(conflict.status.code(), Some(3));
    let gone = std::io::pipe().unwrap().1;
    let mut command = served.command(&["produce", "s/a"]);
    command.stdin(Stdio::piped()).stdout(gone).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"2\n").unwrap();
    wait_for_head(&served, "s/a", 2);
    signal(child.id(), "INT");
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(130));
    let said = text(&done.stderr);
    assert!(
        said.contains("the first line is stored") && said.contains("line 2 at --expect 2"),
        "{said}"
    );
}

#[test]
fn damage_is_told_by_the_exit_code_also_where_nobody_reads_what_was_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    for _ in 0..3 {
        assert!(
            served
                .run_with(&["produce", "s/a"], &"x".repeat(9_000))
                .status
                .success()
        );
    }
    served.signal("TERM");
    served.wait();
    let extent = served.data.join("stores").join(STORE).join(format!("{:020}.extent", 1));
    let mut bytes = std::fs::read(&extent).unwrap();
    let at = bytes.windows(100).position(|window| window == [b'x'; 100]).unwrap();
    bytes[at + 50] = b'y';
    std::fs::write(&extent, bytes).unwrap();
    let data = served.data.to_str().unwrap().to_owned();
    let target = dir.path().join("repaired");
    for arguments in [
        &["verify", data.as_str()][..],
        &["inspect", &data],
        &["repair", &data, target.to_str().unwrap()],
    ] {
        let done = unread(streamkit().args(arguments), "");
        assert_eq!(done.status.code(), Some(6), "{arguments:?}: {}", text(&done.stderr));
    }
}

#[test]
fn a_consume_that_breaks_off_keeps_no_offset_that_nobody_has_read() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    assert!(served.run_with(&["produce", "s/a"], "1\n").status.success());
    let file = dir.path().join("offset");
    let arguments = ["consume", "s", "--offset-file", file.to_str().unwrap()];
    let done = unread(&mut served.command(&arguments), "");
    assert_eq!((done.status.code(), text(&done.stderr).as_str()), (Some(0), ""));
    assert!(!file.exists());
    assert_eq!(lines(&served.run(&arguments).stdout).len(), 1);
}

#[test]
fn an_offset_file_of_another_store_or_space_or_a_cut_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let file = dir.path().join("offset");
    let file = file.to_str().unwrap();
    let other = "00000000-0000-0000-0000-000000000007";
    for store in [STORE, other] {
        for space in ["s/a", "t/a"] {
            let done = served.run_with(&["produce", space, "--store", store], "1\n2\n");
            assert!(done.status.success());
        }
    }
    let consume = |space: &str, store: &str| served.run(&["consume", space, "--store", store, "--offset-file", file]);
    assert_eq!(lines(&consume("s", STORE).stdout).len(), 2);
    let kept = std::fs::read(file).unwrap();
    for (space, store, said) in [("s", other, STORE), ("t", STORE, "space")] {
        let done = consume(space, store);
        assert_eq!(done.status.code(), Some(1));
        assert!(done.stdout.is_empty());
        assert!(text(&done.stderr).contains(said), "{}", text(&done.stderr));
        assert_eq!(std::fs::read(file).unwrap(), kept);
    }
    for end in [0, 1, 40, kept.len() / 2, kept.len() - 2] {
        std::fs::write(file, &kept[..end]).unwrap();
        let done = consume("s", STORE);
        assert_eq!((done.status.code(), done.stdout.len()), (Some(1), 0), "{end}");
    }
    // What a kill left of a file that was being written is not looked at.
    std::fs::write(file, &kept).unwrap();
    std::fs::write(format!("{file}.new"), &kept[..20]).unwrap();
    assert!(served.run_with(&["produce", "s/a"], "3\n").status.success());
    let done = consume("s", STORE);
    assert_eq!((done.status.code(), lines(&done.stdout).len()), (Some(0), 1));
    assert!(lines(&consume("s", STORE).stdout).is_empty());
    // An older file has the offset alone.
    let offset = text(&kept).split(' ').next().unwrap().to_owned();
    std::fs::write(file, &offset).unwrap();
    let done = consume("s", STORE);
    assert!(text(&done.stderr).contains("--after"), "{}", text(&done.stderr));
    assert!(served.run(&["consume", "s", "--after", &offset]).status.success());
}

#[test]
fn a_folder_that_is_missing_or_takes_no_offset_file_is_told_before_anything_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    assert!(served.run_with(&["produce", "s/a"], "1\n").status.success());
    let missing = dir.path().join("missing/offset");
    for file in [missing.as_path(), dir.path()] {
        let done = served.run(&["consume", "s", "--offset-file", file.to_str().unwrap()]);
        assert_eq!((done.status.code(), done.stdout.len()), (Some(1), 0), "{file:?}");
        assert!(text(&done.stderr).contains(file.to_str().unwrap()));
    }
}

#[test]
fn a_line_is_stored_with_its_carriage_return_unless_asked_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    assert!(served.run_with(&["produce", "s/a"], "1\r\n\r\n2").status.success());
    assert!(
        served
            .run_with(&["produce", "s/b", "--crlf"], "1\r\n\r\n2\r")
            .status
            .success()
    );
    for (path, stored) in [("s/a", ["1\r", "\r", "2"]), ("s/b", ["1", "", "2\r"])] {
        let entries = lines(&served.run(&["consume", path]).stdout);
        assert!(
            entries
                .iter()
                .map(|entry| entry["payload"].as_str().unwrap())
                .eq(stored),
            "{entries:?}"
        );
    }
}
