//! What a person sees at a terminal.

use crate::program::*;

/// Runs a command at a terminal; `None` where there is no program that makes one.
fn at_a_terminal(command: &std::process::Command) -> Option<String> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let mut script = std::process::Command::new("script");
    script
        .args(["-qec", &words.join(" "), "/dev/null"])
        .env("TERM", "xterm");
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => script.env(key, value),
            None => script.env_remove(key),
        };
    }
    let done = script.stdin(std::process::Stdio::null()).output().ok()?;
    Some(String::from_utf8(done.stdout).unwrap())
}

#[test]
fn lines_of_inspect_stand_alone_in_their_lines() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    assert!(
        served
            .run_with(&["produce", "s/a"], &"line\n".repeat(3000))
            .status
            .success()
    );
    served.signal("TERM");
    served.wait();
    let mut inspect = streamkit();
    inspect.args(["inspect", served.data.to_str().unwrap(), "--extent", "1"]);
    let Some(shown) = at_a_terminal(&inspect) else {
        return eprintln!("skipped: no script here");
    };
    assert!(shown.starts_with("store "), "{shown:?}");
    assert!(!shown.contains(['█', '░', '\u{1b}']), "{shown:?}");
}

#[test]
fn one_of_a_thing_is_no_plural() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let lines = dir.path().join("lines");
    std::fs::write(&lines, "one\n").unwrap();
    let rows = dir.path().join("rows.csv");
    std::fs::write(&rows, "k\nx\n").unwrap();
    for (arguments, said) in [
        (["produce", "s/a", lines.to_str().unwrap()], "1 line appended"),
        (["import", "t", rows.to_str().unwrap()], "1 row in 1 segment: "),
    ] {
        let Some(shown) = at_a_terminal(&served.command(&arguments)) else {
            return eprintln!("skipped: no script here");
        };
        assert!(shown.contains(said), "{shown:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_person_is_told_which_server_was_found() {
    let dir = tempfile::tempdir().unwrap();
    let (state, data) = (dir.path().join("state"), dir.path().join("data"));
    let mut dev = streamkit();
    dev.args(["dev", "--listen", "127.0.0.1:0", "--data"]).arg(&data);
    dev.env("XDG_STATE_HOME", &state);
    let mut child = dev.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut export = String::new();
    std::io::BufRead::read_line(&mut out, &mut export).unwrap();
    let mut spaces = streamkit();
    spaces.arg("spaces").env("XDG_STATE_HOME", &state);
    let shown = at_a_terminal(&spaces);
    child.kill().unwrap();
    child.wait().unwrap();
    let Some(shown) = shown else {
        return eprintln!("skipped: no script here");
    };
    let url = export.trim().split_once('=').unwrap().1;
    assert_eq!(shown.matches(url).count(), 1, "{shown:?}");
    assert!(shown.contains(data.to_str().unwrap()), "{shown:?}");
}
