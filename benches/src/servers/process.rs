//! A server as a child process: started on a free port, in a fresh folder, and stopped by its own number.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Place;
use super::kinds::Kind;
use super::programs::Programs;
use crate::Outcome;

/// How long a server may take until it listens.
const START: Duration = Duration::from_secs(60);

/// A running server. It is killed when dropped.
pub struct Process {
    child: Child,
    /// Where it works.
    pub place: Place,
}

impl Process {
    /// Starts a server in a fresh folder, and waits until it listens. With a delay, each of its system calls that make
    /// records durable returns so much later.
    ///
    /// # Errors
    /// If the program is missing, ends, or does not listen; with the end of what it said.
    pub fn start(kind: &Kind, programs: &Programs, dir: &Path, delay: Option<Duration>) -> Outcome<Self> {
        let program = programs.find(kind).ok_or("it is not installed")?;
        let place = Place {
            dir: dir.to_owned(),
            port: TcpListener::bind("127.0.0.1:0")?.local_addr()?.port(),
            delayed: delay.is_some(),
        };
        std::fs::create_dir_all(place.data()?)?;
        let arguments = (kind.arguments)(&place)?;
        let mut command = match delay {
            Some(delay) => held_up(&program, kind.syncs, delay),
            None => Command::new(&program),
        };
        let said = dir.join("said");
        let child = command
            .args(arguments)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(File::create(&said)?)
            .stderr(File::options().append(true).open(&said)?)
            .spawn()?;
        let mut process = Self { child, place };
        process.wait_until_it_listens(&said)?;
        Ok(process)
    }

    /// Its number in the system.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_it_listens(&mut self, said: &Path) -> Outcome {
        let started = Instant::now();
        loop {
            if TcpStream::connect(("127.0.0.1", self.place.port)).is_ok() {
                return Ok(());
            }
            let ended = self.child.try_wait()?;
            if ended.is_some() || started.elapsed() > START {
                let said = std::fs::read_to_string(said).unwrap_or_default();
                let lines: Vec<&str> = said.lines().rev().take(5).collect();
                let what = ended.map_or_else(
                    || "it does not listen".to_owned(),
                    |status| format!("it ended: {status}"),
                );
                return Err(format!("{what}; it said last: {}", lines.join(" / ")).into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A program of which some system calls return later. It is the child, and `strace` the grandchild.
fn held_up(program: &Path, calls: &str, delay: Duration) -> Command {
    let mut command = Command::new("strace");
    command
        .args(["-D", "-f", "-qqq", "--seccomp-bpf", "-o", "/dev/null", "-e"])
        .arg(format!("trace={calls}"))
        .arg("-e")
        .arg(format!("inject={calls}:delay_exit={}", delay.as_micros()))
        .arg(program);
    command
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
