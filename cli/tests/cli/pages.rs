//! The pages that a newcomer follows: each of their commands runs as it stands there, and prints what stands behind it.
#![cfg(unix)]

use std::path::Path;
use std::process::{Child, Stdio};

use crate::program::*;

/// What a page says is typed, and what it says is printed then.
#[derive(Default)]
struct Step {
    commands: Vec<String>,
    printed: Vec<String>,
}

/// The steps of a page: blocks of `sh`, each with the block of `text` behind it.
fn steps(page: &str) -> Vec<Step> {
    let (mut steps, mut fence) = (Vec::<Step>::new(), None);
    for line in page.lines() {
        match (line.strip_prefix("```"), fence) {
            (Some(_), Some(_)) => fence = None,
            (Some("sh"), None) => {
                steps.push(Step::default());
                fence = Some("sh");
            }
            (Some(_), None) => fence = Some("text"),
            (None, Some("sh")) => steps.last_mut().unwrap().commands.push(line.to_owned()),
            (None, Some(_)) => steps.last_mut().unwrap().printed.push(line.to_owned()),
            (None, None) => {}
        }
    }
    steps
}

/// Whether a line is as the page says: `…` stands for anything.
fn is_like(line: &str, said: &str) -> bool {
    let mut parts = said.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    match last {
        Some(part) => rest.is_empty() || part.is_empty() || line.ends_with(part),
        None => rest.is_empty(),
    }
}

/// A folder of a newcomer, with a server from when the page starts one.
struct Newcomer {
    dir: tempfile::TempDir,
    server: Option<Child>,
}

impl Newcomer {
    fn shell(&self, command: &str) -> std::process::Command {
        let bin = Path::new(env!("CARGO_BIN_EXE_streamkit")).parent().unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut shell = program("sh");
        shell.args(["-c", command]).current_dir(self.dir.path());
        shell.env("PATH", path).env("STREAMKIT_LISTEN", "127.0.0.1:0");
        for (name, folder) in [("XDG_STATE_HOME", "state"), ("XDG_CONFIG_HOME", "config")] {
            shell.env(name, self.dir.path().join(folder));
        }
        shell
    }

    fn serve(&mut self, command: &str) {
        let mut shell = self.shell(&format!("exec {command}"));
        self.server = Some(shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        until("commands find the server", || {
            self.shell("streamkit spaces")
                .output()
                .unwrap()
                .status
                .success()
                .then_some(())
        });
    }

    /// What a command prints: its lines on standard output, then those on standard error.
    fn run(&self, command: &str) -> Vec<String> {
        let done = self.shell(command).output().unwrap();
        let printed = text(&done.stdout) + &text(&done.stderr);
        printed.lines().map(str::to_owned).collect()
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            signal(server.id(), "TERM");
            let _ = server.wait();
        }
    }
}

fn follow(page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let page = std::fs::read_to_string(path).unwrap();
    let mut newcomer = Newcomer {
        dir: tempfile::tempdir().unwrap(),
        server: None,
    };
    let mut ran = 0;
    for step in steps(&page) {
        let mut printed = Vec::new();
        for command in &step.commands {
            if command.starts_with("cargo install") {
                continue; // this binary is what it would install
            }
            if command == "streamkit dev" {
                newcomer.serve(command);
                continue;
            }
            ran += 1;
            printed.extend(newcomer.run(command));
        }
        let are_like = printed.len() == step.printed.len()
            && printed
                .iter()
                .zip(&step.printed)
                .all(|(line, said)| is_like(line, said));
        assert!(are_like, "{:?} printed\n{}", step.commands, printed.join("\n"));
    }
    assert!(ran > 5, "the page has commands");
}

#[test]
fn getting_started_is_as_the_page_says() {
    follow("GETTING-STARTED.md");
}

#[test]
fn what_a_page_leaves_out_is_all_that_may_differ() {
    assert!(is_like("abc", "abc") && is_like("a-x-c", "a…c") && is_like("abc", "ab…") && is_like("abcc", "a…c"));
    for (line, said) in [("abc", "ab"), ("abd", "a…c"), ("ab", "abc"), ("acb", "a…c"), ("", "a")] {
        assert!(!is_like(line, said), "{line} {said}");
    }
}
