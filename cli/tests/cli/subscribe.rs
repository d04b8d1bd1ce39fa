//! `subscribe`: what is there, then what changes, until Ctrl-C.

use crate::piped::Piped;
use crate::program::*;
use crate::tmux::Terminal;

fn produce(served: &Served, path: &str, input: &str) {
    let done = served.run_with(&["produce", path], input);
    assert!(done.status.success(), "{}", text(&done.stderr));
}

/// Reads statuses until one of a segment has this head: those in between may be left out.
fn head(statuses: &mut Piped, segment: &str, head: u64) -> serde_json::Value {
    loop {
        let status = statuses.json();
        if status["segment"] == segment {
            assert!(status["last_sequence"].as_u64().unwrap() <= head, "{status}");
            if status["last_sequence"] == head {
                return status;
            }
        }
    }
}

#[test]
fn statuses_come_as_they_are_and_as_they_change_and_ctrl_c_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    produce(&served, "s/a", "1\n2\n");
    let mut space = Piped::start(served.command(&["subscribe", "s"]));
    let mut segment = Piped::start(served.command(&["subscribe", "s/b", "--json"]));
    let status = head(&mut space, "a", 2);
    assert_eq!((&status["space"], &status["first_sequence"]), (&"s".into(), &1.into()));
    assert!(status["first_timestamp"].as_i64() <= status["last_timestamp"].as_i64());
    assert_eq!(segment.said(), "streamkit: there is no segment s/b in this store");
    produce(&served, "s/a", "3\n");
    produce(&served, "s/b", "1\n");
    head(&mut space, "b", 1);
    assert_eq!(segment.json()["segment"], "b");
    // The server goes away and comes back.
    served.kill();
    served.restart();
    produce(&served, "s/b", "2\n");
    produce(&served, "s/a", "4\n");
    head(&mut segment, "b", 2);
    head(&mut space, "a", 4);
    for statuses in [space, segment] {
        // Statuses of other segments may still come, in any order; whole lines alone.
        let (rest, said, code) = statuses.stop();
        assert_eq!(code, Some(0), "{said}");
        assert!(
            lines(rest.as_bytes()).iter().all(|status| status["space"] == "s"),
            "{rest}"
        );
        assert!(said.contains("broke off"), "{said}");
    }
}

#[test]
fn it_fails_as_other_commands_do() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    let code = |command: &mut std::process::Command| {
        let done = command.output().unwrap();
        assert!(done.stdout.is_empty() && text(&done.stderr).starts_with(['s', 'e']));
        done.status.code()
    };
    let command = || served.command(&["subscribe", "s", "--timeout", "1s"]);
    assert_eq!(code(command().env("STREAMKIT_TOKEN", "no.such.token")), Some(4));
    assert_eq!(code(&mut served.command(&["subscribe", "s/"])), Some(2));
    assert_eq!(code(&mut served.command(&["subscribe"])), Some(2));
    assert_eq!(code(&mut served.command(&["subscribe", "s/*"])), Some(2));
    let mut command = command();
    let mut following = Piped::start(served.command(&["subscribe", "s/a", "--timeout", "1s"]));
    produce(&served, "s/a", "1\n");
    head(&mut following, "a", 1);
    served.kill();
    assert_eq!(code(&mut command), Some(5));
    // It is not there again within its timeout.
    let (rest, said, code) = following.ended();
    assert_eq!((rest.as_str(), code), ("", Some(5)), "{said}");
}

#[test]
fn a_reader_that_goes_away_ends_it_at_the_next_status() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    produce(&served, "s/a", "1\n");
    let mut following = Piped::start(served.command(&["subscribe", "s"]));
    head(&mut following, "a", 1);
    following.close();
    produce(&served, "s/a", "2\n");
    assert_eq!(following.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_person_sees_a_line_for_each_status_and_no_name_steers_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    produce(&served, "s/wide-日本", "1\n2\n");
    produce(&served, "s/\u{1b}[2Jx", "1\n");
    let Some(terminal) = Terminal::run(&served.command(&["subscribe", "s"]), 80, 24) else {
        return;
    };
    let shown = terminal.until_shows("s/wide-日本  1 to 2");
    assert!(shown.contains("Z  s/wide-日本"), "{shown}");
    terminal.until_shows("s/\\u{1b}[2Jx  1 to 1");
    produce(&served, "s/wide-日本", "3\n");
    terminal.until_shows("s/wide-日本  1 to 3");
    terminal.press("C-c");
    terminal.until_shows("exit=0");
}
