//! `lease`: a command that runs while a lease is held, and no longer.

use std::process::Command;

use crate::piped::Piped;
use crate::program::*;
use crate::tmux::Terminal;

/// A lease with a command that a shell reads.
fn held(served: &Served, options: &[&str], shell: &str) -> Command {
    served.command(&[&["lease", "job"], options, &["--", "sh", "-c", shell]].concat())
}

/// Whether a process is there. One that has ended and that nobody asked for yet is not.
fn is_there(process: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat"));
    status.is_ok_and(|status| !status.rsplit_once(") ").unwrap().1.starts_with(['Z', 'X']))
}

fn gone(process: &str) {
    until("a process of the group is gone", || (!is_there(process)).then_some(()));
}

#[test]
fn the_command_runs_under_a_token_that_grows_and_its_exit_code_is_passed_on() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let mut tokens = Vec::new();
    for code in [0, 7, 130] {
        let shell = format!("cat; echo \"$STREAMKIT_FENCING_TOKEN\"; exit {code}");
        let mut lease = held(&served, &[], &shell);
        lease.stdin(std::fs::File::open("/dev/null").unwrap());
        let done = lease.env("STREAMKIT_FENCING_TOKEN", "another's").output().unwrap();
        assert_eq!(done.status.code(), Some(code), "{}", text(&done.stderr));
        assert_eq!(text(&done.stderr), "");
        tokens.push(text(&done.stdout).trim().parse::<u64>().unwrap());
    }
    // Each was given back, and granted anew.
    assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
    let done = held(&served, &[], "kill -KILL $$").output().unwrap();
    assert_eq!(done.status.code(), Some(128 + 9));
    // Its arguments reach it as they are.
    let args = [
        "lease", "job", "--ttl", "5s", "--", "printf", "%s|", "a b", "--ttl", "$HOME",
    ];
    assert_eq!(text(&served.run(&args).stdout), "a b|--ttl|$HOME|");
}

#[test]
fn one_alone_holds_it_and_others_fail_or_wait() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let mut first = held(&served, &[], "echo held; read end; echo first >>\"$0\"");
    let log = dir.path().join("log");
    first.arg(&log).stdin(std::process::Stdio::piped());
    let mut first = Piped::start(first);
    assert_eq!(first.line(), "held");
    let other = held(&served, &[], "echo second >>\"$0\"").arg(&log).output().unwrap();
    assert_eq!(other.status.code(), Some(120), "{}", text(&other.stderr));
    assert!(
        text(&other.stderr).contains("another holds the lease job"),
        "{}",
        text(&other.stderr)
    );
    let in_vain = held(&served, &["--wait", "200ms"], "echo third >>\"$0\"")
        .arg(&log)
        .output()
        .unwrap();
    assert_eq!(in_vain.status.code(), Some(120), "{}", text(&in_vain.stderr));
    // Another key is another lease.
    assert!(served.run(&["lease", "other", "--", "true"]).status.success());
    let mut waits = held(&served, &["--wait", "1h"], "echo fourth >>\"$0\"");
    let waits = Piped::start({
        waits.arg(&log);
        waits
    });
    drop(first.child.stdin.take());
    assert_eq!(first.ended().2, Some(0));
    assert_eq!(waits.ended().2, Some(0));
    assert_eq!(std::fs::read_to_string(log).unwrap(), "first\nfourth\n");
}

#[test]
fn signals_reach_all_that_the_command_started() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    // SIGHUP is not among them: under `nohup` it goes nowhere.
    for (signal_name, code) in [("TERM", 5), ("INT", 5), ("USR1", 5), ("USR2", 5)] {
        let shell = "sleep 1000 & trap 'exit 5' TERM INT USR1 USR2; echo $!; wait";
        let mut lease = Piped::start(held(&served, &[], shell));
        let child = lease.line();
        assert!(is_there(&child));
        signal(lease.child.id(), signal_name);
        if signal_name == "INT" {
            // A shell without a terminal has what is behind it ignore that.
            until("the command has ended", || lease.child.try_wait().unwrap());
            signal(child.parse().unwrap(), "KILL");
        }
        let (_, said, ended) = lease.ended();
        assert_eq!(ended, Some(code), "{signal_name}: {said}");
        gone(&child);
    }
    let mut lease = Piped::start(held(&served, &[], "echo $$; exec sleep 1000"));
    lease.line();
    signal(lease.child.id(), "TERM");
    assert_eq!(lease.ended().2, Some(128 + 15));
}

#[test]
fn when_the_lease_is_lost_the_whole_group_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    let ends = "sleep 1000 & echo $!; wait";
    let heeds_nothing = "trap '' TERM; sleep 1000 & echo $!; wait; sleep 1000";
    let options = ["--ttl", "2s", "--grace", "5s"];
    let mut ended =
        Piped::start(served.command(&[&["lease", "one"], &options[..], &["--", "sh", "-c", ends]].concat()));
    let killed = [
        "lease",
        "two",
        "--ttl",
        "2s",
        "--grace",
        "300ms",
        "--",
        "sh",
        "-c",
        heeds_nothing,
    ];
    let mut killed = Piped::start(served.command(&killed));
    let (one, two) = (ended.line(), killed.line());
    assert!(is_there(&one) && is_there(&two));
    served.kill();
    for (lease, child, how) in [(ended, one, "was ended"), (killed, two, "was killed")] {
        let (_, said, code) = lease.ended();
        assert_eq!(code, Some(121), "{said}");
        assert!(
            said.contains("was lost: it was not renewed in time") && said.contains(how),
            "{said}"
        );
        gone(&child);
    }
}

#[test]
fn a_server_that_comes_back_in_time_ends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    let mut lease = held(&served, &["--ttl", "1h"], "echo held; read end; exit 3");
    lease.stdin(std::process::Stdio::piped());
    let mut lease = Piped::start(lease);
    assert_eq!(lease.line(), "held");
    served.kill();
    served.restart();
    assert_eq!(held(&served, &[], "true").output().unwrap().status.code(), Some(120));
    drop(lease.child.stdin.take());
    assert_eq!(lease.ended().2, Some(3));
    // It was given back over the new connection.
    assert!(held(&served, &[], "true").output().unwrap().status.success());
}

#[test]
fn it_fails_as_other_commands_do_and_runs_nothing_then() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let made = dir.path().join("made");
    let touch = ["--", "touch", made.to_str().unwrap()];
    let code = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = served.command(&[&["lease"], arguments].concat());
        let done = command.envs(variables.iter().copied()).output().unwrap();
        assert!(done.stdout.is_empty() && !made.exists(), "{}", text(&done.stderr));
        done.status.code()
    };
    let and = |arguments: &[&'static str]| [arguments, &touch].concat();
    assert_eq!(code(&["job"], &[]), Some(2));
    assert_eq!(code(&and(&[""]), &[]), Some(2));
    assert_eq!(code(&and(&["job", "--ttl", "0s"]), &[]), Some(2));
    assert_eq!(code(&and(&["job", "--ttl", "2days"]), &[]), Some(2));
    assert_eq!(code(&["job", "--", "/no/such/command"], &[]), Some(2));
    // It was given back, though nothing ran.
    assert!(served.run(&["lease", "job", "--", "true"]).status.success());
    assert_eq!(code(&and(&["job"]), &[("STREAMKIT_TOKEN", "no.such.token")]), Some(4));
    let nobody = [("STREAMKIT_URL", "ws://127.0.0.1:1"), ("STREAMKIT_TIMEOUT", "1s")];
    assert_eq!(code(&and(&["job"]), &nobody), Some(5));
}

#[test]
fn at_a_terminal_ctrl_c_reaches_the_command_and_it_reads_no_keys() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let shell = "trap 'echo heard; exit 9' INT; cat; echo runs; while :; do sleep 0.1; done";
    let Some(terminal) = Terminal::run(&held(&served, &[], shell), 80, 24) else {
        return;
    };
    terminal.until_shows("runs");
    // Stopped, it would not renew the lease.
    terminal.press("C-z");
    terminal.press("C-c");
    terminal.until_shows("heard");
    terminal.until_left_with(9);
}
