//! What one append over the network cannot be faster than: a durable write on the bare disk, and a request and its
//! answer over bare loopback.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

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

/// A message there and back, to another process, one at a time: both processes on one core, and each on a core of its
/// own. The figures are those of the faster way, with the median of each beside them.
pub(super) fn loopback(plan: &Plan) -> Outcome<Figures> {
    let cores = cores()?;
    let at = |core: usize| *cores.get(core).unwrap_or(&cores[0]);
    let one = std::thread::scope(|scope| scope.spawn(|| on_cores(plan, at(0), at(0))).join());
    let two = std::thread::scope(|scope| scope.spawn(|| on_cores(plan, at(0), at(1))).join());
    let [one, two] = [one, two].map(|done| done.map_err(|_| "the floor's thread panicked")?);
    let (one, two) = (one?, two?);
    let [on_one, on_two] = [&one, &two].map(|figures| figures.get("p50_us"));
    let faster = if on_one <= on_two { one } else { two };
    Ok(faster.with("one_core_p50_us", on_one).with("two_cores_p50_us", on_two))
}

/// The cores that this process may use.
fn cores() -> Outcome<Vec<usize>> {
    let allowed = sched_getaffinity(None)?;
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
    if cores.is_empty() {
        Err("there is no core".into())
    } else {
        Ok(cores)
    }
}

fn stay_on(core: usize) -> Outcome {
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None, &cores)?)
}

/// The thread stays on its core, the other process on its own.
fn on_cores(plan: &Plan, core: usize, of_echo: usize) -> Outcome<Figures> {
    let echo = Echo::start(of_echo)?;
    stay_on(core)?;
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
    fn start(core: usize) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(format!("{ECHO}={core}"))
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

/// The other side: stays on a core, takes one connection, and sends back what comes, until it ends.
///
/// # Errors
/// Of the socket; if there is no such core.
pub fn echo(core: usize) -> Outcome {
    stay_on(core)?;
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
