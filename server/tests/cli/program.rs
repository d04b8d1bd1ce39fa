//! Runs the binary.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

pub const STORE: &str = "6f1c1e0e-3c0b-4e9e-9a51-0a6f3f2d9b10";

pub fn streamkit() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamkit"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("STREAMKIT_")) {
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
    child: Child,
}

impl Served {
    pub fn start(dir: &Path) -> Self {
        Self::start_on(dir, &dir.join("data"))
    }

    /// Serves a data directory that is there; `dir` is for the key.
    pub fn start_on(dir: &Path, data: &Path) -> Self {
        let key = dir.join("key");
        std::fs::write(&key, "a key of thirty-two bytes or more\n").unwrap();
        let minted = streamkit()
            .args(["token", "--store", "*", "--jwt-key-file"])
            .arg(&key)
            .output()
            .unwrap();
        let token = String::from_utf8(minted.stdout).unwrap().trim().to_owned();
        let data = data.to_owned();
        let (child, url) = launch(&data, &key, "127.0.0.1:0");
        Self {
            url,
            token,
            data,
            key,
            child,
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Until it has ended.
    pub fn wait(&mut self) {
        self.child.wait().unwrap();
    }

    /// Sends it a signal by name.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Starts again on the same port.
    pub fn restart(&mut self) {
        let address = self.url.trim_start_matches("ws://").to_owned();
        let (child, _) = launch(&self.data, &self.key, &address);
        self.child = child;
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

fn launch(data: &Path, key: &Path, address: &str) -> (Child, String) {
    let mut command = streamkit();
    command
        .args(["serve", "--listen", address, "--data"])
        .arg(data)
        .arg("--jwt-key-file")
        .arg(key);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let url = first.rsplit(' ').next().unwrap().to_owned();
    assert!(url.starts_with("ws://"), "{first}");
    std::thread::spawn(move || lines.for_each(drop));
    (child, url)
}

/// Sends a process a signal by name.
pub fn signal(process: u32, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &process.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// Waits until a segment's head is at least this, and returns it.
pub fn wait_for_head(served: &Served, path: &str, head: u64) -> u64 {
    for _ in 0..600 {
        let status = served.run(&["status", path]);
        let last = lines(&status.stdout)[0]["last_sequence"].as_u64().unwrap();
        if last >= head {
            return last;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("{path} never came to {head}");
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
