//! Real servers of NATS and Redis as child processes: on a port of the loopback address, stopped by their own number.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

pub const USER: &str = "me";
pub const PASSWORD: &str = "p@ss";

/// Whose server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broker {
    Nats,
    Redis,
}

/// A server, which is killed when dropped.
pub struct Running {
    broker: Broker,
    pub port: u16,
    child: Option<Child>,
    _dir: tempfile::TempDir,
}

impl Running {
    /// Starts one, and waits until it listens.
    pub fn start(broker: Broker) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut running = Self {
            broker,
            port: free.local_addr().unwrap().port(),
            child: None,
            _dir: tempfile::tempdir().unwrap(),
        };
        drop(free);
        running.again();
        running
    }

    /// What a host is told, with user and password in it.
    pub fn address(&self) -> String {
        match self.broker {
            Broker::Nats => format!("nats://{USER}:p%40ss@127.0.0.1:{}", self.port),
            Broker::Redis => format!("redis://:p%40ss@127.0.0.1:{}", self.port),
        }
    }

    /// Starts it at the same port.
    pub fn again(&mut self) {
        let port = self.port.to_string();
        let (program, arguments): (&str, Vec<&str>) = match self.broker {
            Broker::Nats => (
                "nats-server",
                vec!["-a", "127.0.0.1", "-p", &port, "--user", USER, "--pass", PASSWORD],
            ),
            Broker::Redis => (
                "redis-server",
                vec![
                    "--bind",
                    "127.0.0.1",
                    "--port",
                    &port,
                    "--save",
                    "",
                    "--requirepass",
                    PASSWORD,
                ],
            ),
        };
        let started = Command::new(program)
            .args(arguments)
            .current_dir(self._dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = started.unwrap_or_else(|error| {
            panic!("{program} does not start ({error}): install the package {program}, which `.ci/run` does")
        });
        self.child = Some(child);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "{program} ended: {ended:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills it.
    pub fn dies(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// It stops, or goes on, where it is: connections stay, and nobody answers.
    pub fn hangs(&self, hangs: bool) {
        let pid = self
            .child
            .as_ref()
            .and_then(|child| Pid::from_raw(i32::try_from(child.id()).ok()?));
        let signal = if hangs { Signal::STOP } else { Signal::CONT };
        kill_process(pid.unwrap(), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.dies();
    }
}
