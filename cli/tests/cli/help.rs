//! Help beside that of commands, completions of shells, and manual pages.

use std::process::{Command, Stdio};

use crate::program::*;

fn said(arguments: &[&str]) -> String {
    let done = streamkit().args(arguments).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
    text(&done.stdout)
}

#[test]
fn help_has_that_of_each_command_and_topics() {
    assert_eq!(said(&["help"]), said(&["--help"]));
    assert_eq!(said(&["help", "consume"]), said(&["consume", "--help"]));
    assert_eq!(said(&["help", "config", "show"]), said(&["config", "show", "--help"]));
    let unknown = streamkit().args(["help", "moon"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        text(&unknown.stderr).contains("quickstart"),
        "{}",
        text(&unknown.stderr)
    );
    for topic in [&["errors"][..], &["quickstart"]] {
        let page = said(&[&["help"], topic].concat());
        assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
    }
}

#[test]
fn an_error_that_a_command_told_is_explained_by_its_text() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let wrong = served
        .command(&["spaces"])
        .env("STREAMKIT_TOKEN", "x")
        .output()
        .unwrap();
    let told = text(&wrong.stderr);
    let first = told.trim().trim_start_matches("streamkit: ").split(';').next().unwrap();
    let explained = said(&["help", "errors", first]);
    assert!(explained.contains("fresh token"), "{told}: {explained}");
    let unknown = streamkit()
        .args(["help", "errors", "the moon is full"])
        .output()
        .unwrap();
    assert_eq!(unknown.status.code(), Some(1));
}

#[test]
fn the_quickstart_runs_as_it_stands_there() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let bin = dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_streamkit"), bin.join("streamkit")).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let page = said(&["help", "quickstart"]);
    let commands = page.lines().filter_map(|line| line.trim().strip_prefix("$ "));
    let mut ran = 0;
    for line in commands.filter(|line| *line != "streamkit dev") {
        let mut shell = program("sh");
        shell.args(["-c", line]).env("PATH", &path);
        shell
            .env("STREAMKIT_URL", &served.url)
            .env("STREAMKIT_TOKEN", &served.token);
        let done = shell.env("STREAMKIT_STORE", STORE).output().unwrap();
        assert!(done.status.success(), "{line}: {}", text(&done.stderr));
        ran += 1;
    }
    assert!(ran >= 6, "{ran}");
    assert_eq!(
        lines(&served.run(&["peek", "orders/order-1"]).stdout)[0]["payload"],
        "returned"
    );
}

#[test]
fn shells_read_their_completions() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = said(&["completions", shell]);
        assert!(
            script.contains("--offset-file") || script.contains("-l offset-file"),
            "{shell}"
        );
        let file = dir.path().join(shell);
        std::fs::write(&file, script).unwrap();
        // What is not installed here cannot be asked.
        let read = Command::new(shell).arg("-n").arg(&file).stderr(Stdio::piped()).output();
        if let Ok(read) = read {
            assert!(read.status.success(), "{shell}: {}", text(&read.stderr));
        }
    }
    let done = streamkit().args(["completions", "cmd"]).output().unwrap();
    assert_eq!(done.status.code(), Some(2));
    assert!(text(&done.stderr).contains("bash"), "{}", text(&done.stderr));
}

#[test]
fn each_command_has_a_page_for_man() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("share/man1");
    let line = &lines(said(&["man", folder.to_str().unwrap()]).as_bytes())[0];
    let names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(line["pages"], names.len());
    for name in [
        "streamkit.1",
        "streamkit-consume.1",
        "streamkit-config-check.1",
        "streamkit-context-add.1",
    ] {
        assert!(names.iter().any(|there| there == name), "{name}: {names:?}");
    }
    let page = std::fs::read_to_string(folder.join("streamkit-consume.1")).unwrap();
    assert!(page.contains(".TH") && page.contains("offset"), "{page}");
}
