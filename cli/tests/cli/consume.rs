//! `consume` of a space in parts, and what a reader that goes away does to a command.

use std::process::Stdio;

use crate::follow::numbers;
use crate::program::*;

#[test]
fn a_time_up_to_which_nothing_was_committed_is_not_taken_for_none() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    assert!(served.run_with(&["produce", "s/a"], "1\n").status.success());
    for until in ["1970-01-01", "@0", "0", "@-5"] {
        let read = served.run(&["consume", "s/a", &format!("--until={until}")]);
        assert_eq!(text(&read.stdout), "", "{until}");
        assert_eq!(read.status.code(), Some(2), "{until}");
        assert!(
            text(&read.stderr).contains("nothing was committed up to --until"),
            "{}",
            text(&read.stderr)
        );
    }
}

#[test]
fn an_offset_of_a_segment_that_was_deleted_since_is_refused_and_of_one_that_was_trimmed_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let file = dir.path().join("offset");
    let of_file = ["s/a", "--offset-file", file.to_str().unwrap(), "--output", "raw"];
    let consume = |more: &[&str]| served.run(&[&["consume"], &of_file[..], more].concat());
    let read = || {
        let done = consume(&[]);
        assert!(done.status.success(), "{}", text(&done.stderr));
        text(&done.stdout)
    };
    let produce = |lines: &str| assert!(served.run_with(&["produce", "s/a"], lines).status.success());
    produce(&numbers(1..=10));
    assert_eq!(read(), numbers(1..=10));
    produce(&numbers(11..=15));
    assert!(served.run(&["trim", "s/a", "--before", "12", "--yes"]).status.success());
    assert_eq!(read(), numbers(12..=15));
    assert_eq!(read(), "");
    produce(&numbers(16..=17));
    assert_eq!(read(), numbers(16..=17));
    for grown_again in [30, 17, 5, 0] {
        assert!(served.run(&["delete", "s/a", "--yes"]).status.success());
        if grown_again > 0 {
            produce(&numbers(101..=100 + grown_again));
        }
        for more in [&[][..], &["--follow"]] {
            let refused = consume(more);
            assert_eq!((text(&refused.stdout), refused.status.code()), (String::new(), Some(1)));
            let said = text(&refused.stderr);
            assert!(said.contains("s/a was deleted since 17 was read"), "{said}");
        }
    }
    produce(&numbers(101..=103));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(read(), numbers(101..=103));
}

#[test]
fn an_offset_file_lets_the_next_consume_go_on_where_the_last_ended() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    assert!(served.run_with(&["produce", "s/a"], "1\n2\n").status.success());
    assert!(served.run_with(&["produce", "s/b"], "3\n").status.success());
    let file = dir.path().join("offset");
    let file = file.to_str().unwrap();
    let next = |more: &[&str]| {
        let done = served.run(&[&["consume", "s", "--offset-file", file], more].concat());
        assert!(done.status.success(), "{}", text(&done.stderr));
        let entries = lines(&done.stdout);
        entries
            .into_iter()
            .map(|e| e["payload"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(next(&["--limit", "2"]), ["1", "2"]);
    assert_eq!(next(&[]), ["3"]);
    assert!(next(&[]).is_empty());
    assert!(served.run_with(&["produce", "s/a"], "4\n").status.success());
    let offset = std::fs::read_to_string(file).unwrap();
    let after = served.run(&["consume", "s", "--after", offset.trim()]);
    assert_eq!(lines(&after.stdout)[0]["payload"], "4");
    assert_eq!(next(&[]), ["4"]);
    std::fs::write(file, "").unwrap();
    let empty = served.run(&["consume", "s", "--offset-file", file]);
    assert_eq!(empty.status.code(), Some(1));
    for wrong in [
        &["s/a", "--after", "00"][..],
        &["s", "--from", "1"],
        &["s", "--after", "0x"],
    ] {
        let done = served.run(&[&["consume"], wrong].concat());
        assert_eq!(done.status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_a_command_in_silence_and_a_full_output_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    assert!(served.run_with(&["produce", "s/a"], "1\n").status.success());
    for command in [
        &["consume", "s"][..],
        &["peek", "s/a"],
        &["spaces"],
        &["segments", "s"],
        &["status"],
        &["produce", "s/b"],
        &["bench", "--calls", "1"],
        &["bench", "--read", "s"],
    ] {
        let gone = std::io::pipe().unwrap().1;
        let mut gone_command = served.command(command);
        gone_command.stdin(Stdio::null()).stdout(gone).stderr(Stdio::piped());
        let done = gone_command.spawn().unwrap().wait_with_output().unwrap();
        assert_eq!(
            (done.status.code(), text(&done.stderr).as_str()),
            (Some(0), ""),
            "{command:?}"
        );
        #[cfg(target_os = "linux")]
        {
            let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
            let mut full_command = served.command(command);
            let done = full_command.stdin(Stdio::null()).stdout(full).output().unwrap();
            assert_eq!(done.status.code(), Some(1), "{command:?}");
            assert!(text(&done.stderr).contains("standard output"), "{command:?}");
        }
    }
}
