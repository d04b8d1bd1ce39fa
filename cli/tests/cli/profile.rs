//! Client commands find the server of `dev` by themselves, and never another one in its place.
#![cfg(unix)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::program::*;

/// A user's home, and servers that run in it.
struct Home {
    dir: tempfile::TempDir,
}

struct Dev {
    child: Child,
    url: String,
    token: String,
    store: String,
}

impl Home {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Where profiles are kept.
    fn profiles(&self) -> PathBuf {
        self.state().join("streamkit/dev")
    }

    fn kept(&self) -> usize {
        let profiles = std::fs::read_dir(self.profiles()).unwrap();
        profiles
            .filter(|entry| entry.as_ref().unwrap().path().extension() == Some("json".as_ref()))
            .count()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = streamkit();
        command.args(arguments).env("XDG_STATE_HOME", self.state());
        command
    }

    fn dev(&self, data: &str) -> Dev {
        let mut command = self.command(&["dev", "--listen", "127.0.0.1:0", "--data"]);
        command.arg(self.dir.path().join(data));
        Dev::start(command)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn produce(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
        let mut command = self.command(&["produce", "s/a"]);
        command.args(arguments).envs(environment.iter().copied());
        with_input(command, "one\n")
    }
}

fn with_input(mut command: Command, input: &str) -> Output {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that refuses its arguments may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

impl Dev {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let values = lines.take(3).map(|line| {
            let line = line.unwrap();
            line.split_once('=').unwrap().1.to_owned()
        });
        let values: Vec<String> = values.collect();
        let [url, token, store] = values.try_into().unwrap();
        Self {
            child,
            url,
            token,
            store,
        }
    }

    /// Stops it in order; what it said on standard error.
    fn stop(&mut self) -> String {
        signal(self.child.id(), "TERM");
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(self.child.wait().unwrap().success(), "{said}");
        said
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nothing was sent anywhere, and this was said.
fn refused(done: &Output, parts: &[&str]) {
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(done.stdout.is_empty());
    for part in parts {
        assert!(said.contains(part), "{part}: {said}");
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn a_command_without_arguments_finds_the_server_of_dev_wherever_it_is_called() {
    let home = Home::new();
    let mut dev = home.dev("data");
    let elsewhere = tempfile::tempdir().unwrap();
    let mut produce = home.command(&["produce", "greetings/world"]);
    produce.current_dir(elsewhere.path());
    let produced = with_input(produce, "hello\n");
    assert!(produced.status.success(), "{}", text(&produced.stderr));
    assert_eq!(text(&produced.stderr), "", "scripts read this");
    for arguments in [
        &["consume", "greetings/world"][..],
        &["peek", "greetings/world"],
        &["status", "greetings"],
        &["spaces"],
        &["segments", "greetings"],
        &["bench", "--calls", "1"],
    ] {
        let done = home.run(arguments);
        assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
    }
    let consumed = lines(&home.run(&["consume", "greetings"]).stdout);
    assert_eq!(consumed[0]["payload"], "hello");
    assert!(dev.stop().contains("in another terminal, try"));
}

#[test]
fn a_profile_is_its_owners_alone_and_goes_with_its_server() {
    let home = Home::new();
    std::fs::create_dir(home.state()).unwrap();
    let mut dev = home.dev("data");
    assert_eq!(home.kept(), 1);
    assert_eq!(mode(&home.state().join("streamkit")), 0o700);
    assert_eq!(mode(&home.profiles()), 0o700);
    for entry in std::fs::read_dir(home.profiles()).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    dev.stop();
    assert_eq!(std::fs::read_dir(home.profiles()).unwrap().count(), 0);
    refused(&home.produce(&[], &[]), &["no server is given", "run `streamkit dev`"]);
}

#[test]
fn a_server_that_was_killed_is_told_as_ended_whoever_has_its_port() {
    let home = Home::new();
    let mut dev = home.dev("data");
    assert!(home.produce(&[], &[]).status.success());
    dev.kill();
    assert_eq!(home.kept(), 1);
    // Who serves there now takes the same token.
    let key = home.dir.path().join("data/development-key");
    let mut serve = streamkit();
    serve.args([
        "serve",
        "--listen",
        dev.url.trim_start_matches("ws://"),
        "--jwt-key-file",
    ]);
    serve.arg(key).arg("--data").arg(home.dir.path().join("data"));
    let mut served = serve.stderr(Stdio::piped()).spawn().unwrap();
    BufReader::new(served.stderr.take().unwrap())
        .lines()
        .next()
        .unwrap()
        .unwrap();
    let ended = home.produce(&[], &[]);
    served.kill().unwrap();
    served.wait().unwrap();
    // Nor does another client that looks at the same time pass for it.
    let lock = std::fs::read_dir(home.profiles())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let lock = lock.filter(|path| path.extension() == Some("lock".as_ref())).last();
    let lock = std::fs::File::open(lock.unwrap()).unwrap();
    lock.lock_shared().unwrap();
    refused(&home.produce(&[], &[]), &["has ended"]);
    drop(lock);
    let data = home.dir.path().join("data");
    let again = format!("run `streamkit dev --data {}` again", data.display());
    refused(&ended, &[&dev.url, "has ended", &again]);

    let mut other = home.dev("other");
    assert_eq!(home.kept(), 1, "that of the one that ended is swept away");
    let done = home.produce(&[], &[]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(lines(&done.stdout)[0]["head"], 1);
    other.stop();
}

#[test]
fn of_two_servers_none_is_guessed() {
    let home = Home::new();
    let mut first = home.dev("first");
    let mut second = home.dev("second");
    refused(
        &home.produce(&[], &[]),
        &[&first.url, &second.url, "/first", "/second", "export lines"],
    );
    let environment = [
        ("STREAMKIT_URL", first.url.as_str()),
        ("STREAMKIT_TOKEN", &first.token),
        ("STREAMKIT_STORE", &first.store),
    ];
    assert!(home.produce(&environment, &[]).status.success());
    let said = second.stop();
    assert!(said.contains("paste the three lines above"), "{said}");
    let done = home.produce(&[], &[]);
    assert_eq!(lines(&done.stdout)[0]["head"], 2, "{}", text(&done.stderr));
    first.stop();
}

#[test]
fn who_names_a_server_a_token_or_a_store_gets_nothing_from_the_profile() {
    let home = Home::new();
    let mut dev = home.dev("data");
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let given = [
        ("STREAMKIT_URL", "--url", served.url.as_str()),
        ("STREAMKIT_TOKEN", "--token", &served.token),
        ("STREAMKIT_STORE", "--store", STORE),
    ];
    for left_out in 0..8 {
        let some = given.iter().enumerate();
        let some: Vec<_> = some
            .filter(|(bit, _)| left_out >> bit & 1 == 0)
            .map(|(_, some)| some)
            .collect();
        // A URL has a default, where anybody may listen.
        if some.len() == 3 || some.is_empty() || left_out == 1 {
            continue;
        }
        let environment: Vec<_> = some.iter().map(|(variable, _, value)| (*variable, *value)).collect();
        let arguments: Vec<_> = some.iter().flat_map(|(_, option, value)| [*option, *value]).collect();
        for done in [home.produce(&environment, &[]), home.produce(&[], &arguments)] {
            refused(&done, &["--", "run `streamkit dev`"]);
        }
    }
    let (environment, arguments): (Vec<_>, Vec<_>) = (
        given.iter().map(|(variable, _, value)| (*variable, *value)).collect(),
        given.iter().flat_map(|(_, option, value)| [*option, *value]).collect(),
    );
    for (done, head) in [(home.produce(&environment, &[]), 1), (home.produce(&[], &arguments), 2)] {
        assert_eq!(lines(&done.stdout)[0]["head"], head, "{}", text(&done.stderr));
    }
    assert_eq!(text(&home.run(&["spaces"]).stdout), "");
    dev.stop();
}

#[test]
fn where_nothing_can_be_kept_the_lines_to_paste_do() {
    let home = Home::new();
    std::fs::write(home.state(), "a file").unwrap();
    let mut dev = home.dev("data");
    let environment = [
        ("STREAMKIT_URL", dev.url.as_str()),
        ("STREAMKIT_TOKEN", &dev.token),
        ("STREAMKIT_STORE", &dev.store),
    ];
    assert!(home.produce(&environment, &[]).status.success());
    refused(&home.produce(&[], &[]), &["no server is given"]);
    let said = dev.stop();
    assert!(said.contains("paste the three lines above"), "{said}");
    assert!(said.contains(home.state().to_str().unwrap()), "{said}");
}

#[test]
fn a_state_folder_that_is_no_whole_path_does_not_count() {
    let home = Home::new();
    let local = home.dir.path().join(".local/state/streamkit/dev");
    for state in ["", "somewhere"] {
        let mut command = streamkit();
        command.args(["dev", "--listen", "127.0.0.1:0", "--data", "data"]);
        command.env("HOME", home.dir.path()).env("XDG_STATE_HOME", state);
        let mut dev = Dev::start({
            command.current_dir(home.dir.path());
            command
        });
        assert!(local.read_dir().unwrap().count() > 0, "{state:?}");
        let mut produce = streamkit();
        produce.args(["produce", "s/a"]).env("HOME", home.dir.path());
        assert!(with_input(produce, "one\n").status.success());
        dev.stop();
    }
}

#[test]
fn what_stands_there_and_is_no_profile_is_told_or_passed_over() {
    let home = Home::new();
    let mut dev = home.dev("data");
    let profiles = || {
        std::fs::read_dir(home.profiles())
            .unwrap()
            .map(|entry| entry.unwrap().path())
    };
    std::fs::write(home.profiles().join("x.json"), "{").unwrap();
    std::fs::write(home.profiles().join("y"), "{").unwrap();
    std::fs::create_dir(home.profiles().join("z.json")).unwrap();
    assert!(home.produce(&[], &[]).status.success(), "nobody holds those");
    let profile = profiles().find(|path| {
        path.extension() == Some("json".as_ref()) && path.is_file() && std::fs::read(path).unwrap() != b"{"
    });
    for broken in [
        "{",
        "{\"url\":\"ftp://x\",\"token\":\"t\",\"store\":\"6f1c1e0e-3c0b-4e9e-9a51-0a6f3f2d9b10\",\"data\":\"d\"}",
        &"x".repeat(1 << 20),
    ] {
        std::fs::write(profile.as_ref().unwrap(), broken).unwrap();
        let done = home.produce(&[], &[]);
        assert_eq!(done.status.code(), Some(1));
        let said = text(&done.stderr);
        assert!(said.contains(profile.as_ref().unwrap().to_str().unwrap()), "{said}");
    }
    dev.stop();
}

#[test]
fn an_address_of_all_interfaces_is_reached_on_this_machine() {
    let home = Home::new();
    let mut command = home.command(&["dev", "--listen", "0.0.0.0:0", "--data"]);
    command.arg(home.dir.path().join("data"));
    let mut dev = Dev::start(command);
    assert!(dev.url.starts_with("ws://127.0.0.1:"), "{}", dev.url);
    assert!(home.produce(&[], &[]).status.success());
    dev.stop();
}

/// From the README to an event in two commands, and a third that reads it.
#[test]
fn the_commands_of_the_readme_need_nothing_to_be_pasted() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let block = readme.split("server of your own:\n\n```sh\n").nth(1).unwrap();
    let commands: Vec<&str> = block.split("```").next().unwrap().lines().collect();
    let home = Home::new();
    let shell = |command: &str| {
        let mut shell = program("sh");
        let command = command.replace("cargo run --release --", "\"$0\"");
        shell.args(["-c", &command, env!("CARGO_BIN_EXE_streamkit")]);
        shell.env("XDG_STATE_HOME", home.state()).current_dir(home.dir.path());
        shell
    };
    let [dev, produce, consume] = commands.try_into().unwrap();
    let mut dev = shell(&format!("exec {dev}"));
    dev.env("STREAMKIT_LISTEN", "127.0.0.1:0");
    let mut dev = Dev::start(dev);
    let produced = shell(produce).output().unwrap();
    assert!(produced.status.success(), "{}", text(&produced.stderr));
    let consumed = shell(consume).output().unwrap();
    assert_eq!(lines(&consumed.stdout)[0]["payload"], "placed");
    dev.stop();
}
