//! Runs the binary.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub const STORE: &str = "6f1c1e0e-3c0b-4e9e-9a51-0a6f3f2d9b10";

/// How long is waited for what has to come, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub fn streamkit() -> Command {
    let mut command = program(env!("CARGO_BIN_EXE_streamkit"));
    #[cfg(unix)]
    std::os::unix::process::CommandExt::arg0(&mut command, "streamkit");
    command
}

/// A program as a user calls it, not as cargo does, with no variable that says which server is meant.
pub fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env_remove("CARGO_MANIFEST_DIR");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("STREAMKIT_")) {
        command.env_remove(name);
    }
    // Nor is a server found of whoever runs the tests.
    for name in ["APPDATA", "HOME", "LOCALAPPDATA", "XDG_CONFIG_HOME", "XDG_STATE_HOME"] {
        command.env_remove(name);
    }
    command
}

/// A served folder.
pub struct Served {
    pub url: String,
    pub token: String,
    pub data: PathBuf,
    key: PathBuf,
    variables: Vec<(String, String)>,
    child: Child,
    /// The line with its address.
    pub first_line: String,
    /// What it said on standard error after its address.
    log: Arc<Mutex<String>>,
    listening: Option<JoinHandle<()>>,
}

impl Served {
    pub fn start(dir: &Path) -> Self {
        Self::start_on(dir, &dir.join("data"))
    }

    /// The same, with further variables.
    pub fn start_with(dir: &Path, variables: &[(&str, &str)]) -> Self {
        Self::start_in(dir, &dir.join("data"), variables)
    }

    /// Serves a data directory that is there; `dir` is for the key.
    pub fn start_on(dir: &Path, data: &Path) -> Self {
        Self::start_in(dir, data, &[])
    }

    /// The same, with further variables.
    pub fn start_in(dir: &Path, data: &Path, variables: &[(&str, &str)]) -> Self {
        let key = dir.join("key");
        std::fs::write(&key, "a key of thirty-two bytes or more\n").unwrap();
        let minted = streamkit()
            .args(["token", "--store", "*", "--jwt-key-file"])
            .arg(&key)
            .output()
            .unwrap();
        let token = String::from_utf8(minted.stdout).unwrap().trim().to_owned();
        let data = data.to_owned();
        let log = Arc::default();
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let variables = variables.collect::<Vec<_>>();
        let (child, first_line, listening) = launch(&data, &key, "127.0.0.1:0", &[], &variables, &log);
        Self {
            url: url_of(&first_line),
            token,
            data,
            key,
            variables,
            child,
            first_line,
            log,
            listening: Some(listening),
        }
    }

    /// What its log says by now; all of it, once it has ended.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Until it has logged this: nobody waits for the log to be written.
    pub fn wait_for_log(&self, part: &str) {
        until(&format!("the log says {part:?}"), || {
            self.log().contains(part).then_some(())
        });
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.wait();
    }

    /// Until it has ended.
    pub fn wait(&mut self) -> ExitStatus {
        let ended = self.child.wait().unwrap();
        if let Some(listening) = self.listening.take() {
            listening.join().unwrap();
        }
        ended
    }

    /// Its number.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal by name.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Starts again on the same port.
    pub fn restart(&mut self) {
        self.restart_with(&[]);
    }

    /// The same, with further options.
    pub fn restart_with(&mut self, options: &[&str]) {
        let (_, address) = self.url.split_once("://").unwrap();
        let (child, first_line, listening) =
            launch(&self.data, &self.key, address, options, &self.variables, &self.log);
        (self.child, self.url, self.listening) = (child, url_of(&first_line), Some(listening));
        self.first_line = first_line;
    }

    /// What it answers to a request over HTTP.
    pub fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.url.split_once("://").unwrap().1).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// A client command, connected.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = streamkit();
        command
            .args(args)
            .env("STREAMKIT_URL", &self.url)
            .env("STREAMKIT_TOKEN", &self.token)
            .env("STREAMKIT_STORE", STORE);
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub fn run_with(&self, args: &[&str], input: &str) -> Output {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that refuses its input may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(
    data: &Path,
    key: &Path,
    address: &str,
    options: &[&str],
    variables: &[(String, String)],
    log: &Arc<Mutex<String>>,
) -> (Child, String, JoinHandle<()>) {
    let mut command = streamkit();
    command
        .args(["serve", "--listen", address, "--data"])
        .arg(data)
        .arg("--jwt-key-file")
        .arg(key)
        .args(options)
        .envs(variables.iter().map(|(name, value)| (name, value)));
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let log = Arc::clone(log);
    let listening = std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            log.lock().unwrap().push_str(&format!("{line}\n"));
        }
    });
    (child, first, listening)
}

/// The address with which the first line ends, also one that is an object.
fn url_of(first_line: &str) -> String {
    let last = first_line.rsplit(' ').next().unwrap().trim_end_matches("\"}");
    assert!(last.starts_with("ws"), "{first_line}");
    last.to_owned()
}

/// Sends a process a signal by name.
pub fn signal(process: u32, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &process.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// What there is once it is there. Panics where it does not come: a test fails, it does not hang.
pub fn until<T>(what: &str, mut there: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(there) = there() {
            return there;
        }
        assert!(begun.elapsed() < PATIENCE, "it never came that {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until a segment's head is at least this, and returns it.
pub fn wait_for_head(served: &Served, path: &str, head: u64) -> u64 {
    until(&format!("{path} has the head {head}"), || {
        let status = served.run(&["status", path]);
        let last = lines(&status.stdout)[0]["last_sequence"].as_u64().unwrap();
        (last >= head).then_some(last)
    })
}

/// JSON lines.
pub fn lines(bytes: &[u8]) -> Vec<serde_json::Value> {
    text(bytes)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub fn verify(data: &Path) -> Output {
    streamkit().arg("verify").arg(data).output().unwrap()
}
