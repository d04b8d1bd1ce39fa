//! What one append over the network cannot be faster than: a durable write on the bare disk, and a request and its answer over
//! bare loopback.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::Plan;
use crate::Outcome;
use crate::figures::{self, Figures};
use crate::floor;

/// Bytes of a request, and of its answer.
const MESSAGE_BYTES: usize = 300;

/// The hidden argument that makes `peers` the other side of the loopback floor.
pub const ECHO: &str = "--echo";

/// Durable writes, one at a time.
pub(super) fn disk(plan: &Plan) -> Outcome<Figures> {
    floor::one_at_a_time(&plan.dir, floor::GROUP_BYTES, turns(plan))
}

fn turns(plan: &Plan) -> usize {
    if plan.quick { 200 } else { 1000 }
}

/// A message there and back, to another process, one at a time.
pub(super) fn loopback(plan: &Plan) -> Outcome<Figures> {
    let echo = Echo::start()?;
    let mut socket = TcpStream::connect(("127.0.0.1", echo.port))?;
    socket.set_nodelay(true)?;
    let mut message = [b'x'; MESSAGE_BYTES];
    let mut latency = figures::nanoseconds()?;
    let started = Instant::now();
    for _ in 0..turns(plan) {
        let began = Instant::now();
        socket.write_all(&message)?;
        socket.read_exact(&mut message)?;
        figures::record(&mut latency, began.elapsed());
    }
    Ok(figures::latency(&latency, started.elapsed().as_secs_f64()))
}

struct Echo {
    child: Child,
    port: u16,
}

impl Echo {
    fn start() -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(ECHO)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = String::new();
        let out = child.stdout.take().ok_or("it has no output")?;
        BufReader::new(out).read_line(&mut said)?;
        Ok(Self {
            child,
            port: said.trim().parse()?,
        })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The other side: takes one connection, and sends back what comes, until it ends.
///
/// # Errors
/// Of the socket.
pub fn echo() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    let (mut socket, _) = listener.accept()?;
    socket.set_nodelay(true)?;
    let mut message = [0; MESSAGE_BYTES];
    while socket.read_exact(&mut message).is_ok() {
        socket.write_all(&message)?;
    }
    Ok(())
}
