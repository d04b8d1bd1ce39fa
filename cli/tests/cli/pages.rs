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
        // Within a list it is indented.
        let line = line.trim_start();
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
    /// Where it listens.
    listens: String,
    /// What the page has its reader set.
    variables: Vec<(&'static str, String)>,
}

impl Newcomer {
    fn shell(&self, command: &str) -> std::process::Command {
        let bin = Path::new(env!("CARGO_BIN_EXE_streamkit")).parent().unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut shell = program("sh");
        shell.args(["-c", command]).current_dir(self.dir.path());
        shell.env("PATH", path).env("STREAMKIT_LISTEN", &self.listens);
        shell.envs(self.variables.clone());
        for (name, folder) in [("XDG_STATE_HOME", "state"), ("XDG_CONFIG_HOME", "config")] {
            shell.env(name, self.dir.path().join(folder));
        }
        shell
    }

    fn serve(&mut self, command: &str) {
        let mut shell = self.shell(&format!("exec {command}"));
        self.server = Some(shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let asks = match self.variables.is_empty() {
            true => "streamkit spaces",
            false => "streamkit health --url $NEW",
        };
        until("commands find the server", || {
            self.shell(asks).output().unwrap().status.success().then_some(())
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

impl Newcomer {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            server: None,
            listens: "127.0.0.1:0".to_owned(),
            variables: Vec::new(),
        }
    }

    /// Does what a page says. `before` is asked before each step, by its number.
    fn follow(mut self, page: &str, mut before: impl FnMut(usize)) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
        let page = std::fs::read_to_string(path).unwrap();
        let mut ran = 0;
        for (number, step) in steps(&page).into_iter().enumerate() {
            before(number);
            let mut printed = Vec::new();
            for command in &step.commands {
                if command.starts_with("cargo install") || command.starts_with("export ") {
                    continue; // this binary is what it would install, and the variables are set
                }
                if command == "streamkit dev" || command.starts_with("streamkit serve ") {
                    self.serve(command);
                    continue;
                }
                ran += 1;
                printed.extend(self.run(command));
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
}

#[test]
fn getting_started_is_as_the_page_says() {
    Newcomer::new().follow("GETTING-STARTED.md", |_| {});
}

#[test]
fn a_migration_is_as_the_page_says() {
    let dir = tempfile::tempdir().unwrap();
    let old = Served::start(dir.path());
    let produce = |path, records| {
        let done = old.run_with(&["produce", path], records);
        assert!(done.status.success(), "{}", text(&done.stderr));
    };
    produce("orders/order-1", "placed\npaid\n");
    produce("orders/order-2", "placed\n");
    produce("stock/apples", "1\n2\n3\n");
    // A port of which nobody else knows, as it was free just now.
    let listens = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let secret = std::fs::read_to_string(dir.path().join("key")).unwrap();
    let mut migrating = Newcomer::new();
    migrating.listens = listens.to_string();
    migrating.variables = vec![
        ("OLD", old.url.clone()),
        ("NEW", format!("ws://{listens}")),
        ("STORE", STORE.to_owned()),
        ("SECRET", secret.trim_end().to_owned()),
    ];
    // What is produced between the copies.
    migrating.follow("MIGRATING.md", |step| {
        if step == 6 {
            produce("orders/order-2", "paid\n");
        }
    });
}

#[test]
fn what_a_page_leaves_out_is_all_that_may_differ() {
    assert!(is_like("abc", "abc") && is_like("a-x-c", "a…c") && is_like("abc", "ab…") && is_like("abcc", "a…c"));
    for (line, said) in [("abc", "ab"), ("abd", "a…c"), ("ab", "abc"), ("acb", "a…c"), ("", "a")] {
        assert!(!is_like(line, said), "{line} {said}");
    }
}
