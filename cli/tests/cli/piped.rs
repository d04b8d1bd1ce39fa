//! A command that goes on, in a pipe.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use crate::program::*;

pub struct Piped {
    pub child: Child,
    out: BufReader<ChildStdout>,
    err: BufReader<ChildStderr>,
}

impl Piped {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let err = BufReader::new(child.stderr.take().unwrap());
        Self { child, out, err }
    }

    /// The next line, which comes or the test hangs until its end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The same, a JSON object.
    pub fn json(&mut self) -> serde_json::Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}, {}", self.complaint()))
    }

    /// The next line that it says on standard error.
    pub fn said(&mut self) -> String {
        let mut line = String::new();
        self.err.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// What else it says on standard error until it ends.
    pub fn complaint(&mut self) -> String {
        let mut said = String::new();
        self.err.read_to_string(&mut said).unwrap();
        said
    }

    /// Its reader goes away.
    pub fn close(&mut self) {
        let mut other = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
        self.out = BufReader::new(other.stdout.take().unwrap());
        other.wait().unwrap();
    }

    /// Waits for its end: what it printed since, what it said, and its exit code.
    pub fn ended(mut self) -> (String, String, Option<i32>) {
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        let said = self.complaint();
        (rest, said, self.child.wait().unwrap().code())
    }

    /// Ctrl-C, then the same.
    pub fn stop(self) -> (String, String, Option<i32>) {
        signal(self.child.id(), "INT");
        self.ended()
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
