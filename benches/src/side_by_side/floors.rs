//! What one append over the network cannot be faster than: a durable write on the bare disk, and a request and its
//! answer over bare loopback.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::Plan;
use crate::Outcome;
use crate::figures::{self, Figures};
use crate::floor::{self, OneBlock};

/// Bytes of a request, and of its answer.
const MESSAGE_BYTES: usize = 300;

/// Blocks of the file in which the other side writes.
const BLOCKS: usize = 1000;

/// The argument that makes a process the other side of the loopback floor.
const ECHO: &str = "--echo";

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
    let at = |core: usize| Some(*cores.get(core).unwrap_or(&cores[0]));
    let one = there_and_back(plan, at(0), &Echo::start(at(0), None)?)?;
    let two = there_and_back(plan, at(0), &Echo::start(at(1), None)?)?;
    let [on_one, on_two] = [&one, &two].map(|figures| figures.get("p50_us"));
    let faster = if on_one <= on_two { one } else { two };
    Ok(faster.with("one_core_p50_us", on_one).with("two_cores_p50_us", on_two))
}

/// Both floors in one: a message to another process, which answers it after a durable write. A processor that waits for a disk, too,
/// sleeps deeper, and takes longer to wake than one that waits for a message alone. Each process on a core of its own, and where the
/// kernel puts them.
pub(super) fn both(plan: &Plan) -> Outcome<Figures> {
    let cores = cores()?;
    let at = |core: usize| Some(*cores.get(core).unwrap_or(&cores[0]));
    let two = there_and_back(plan, at(0), &Echo::start(at(1), Some(&plan.dir))?)?;
    let anywhere = there_and_back(plan, None, &Echo::start(None, Some(&plan.dir))?)?;
    let anywhere = anywhere.get("p50_us");
    Ok(two.with("anywhere_p50_us", anywhere))
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

/// A thread of its own, which stays on its core, asks.
fn there_and_back(plan: &Plan, core: Option<usize>, echo: &Echo) -> Outcome<Figures> {
    let asks = || core.map_or(Ok(()), stay_on).and_then(|()| ask(plan, echo));
    let asked = std::thread::scope(|scope| scope.spawn(asks).join());
    asked.map_err(|_| "the floor's thread panicked")?
}

fn ask(plan: &Plan, echo: &Echo) -> Outcome<Figures> {
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
    fn start(core: Option<usize>, writes: Option<&Path>) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(ECHO)
            .args(core.map(|core| format!("--core={core}")))
            .args(writes.map(|folder| format!("--writes={}", folder.display())))
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

/// The other side, by arguments that are not for people.
#[derive(clap::Args)]
pub struct OtherSide {
    #[arg(long, hide = true)]
    echo: bool,
    #[arg(long, hide = true, requires = "echo", value_name = "CORE")]
    core: Option<usize>,
    #[arg(long, hide = true, requires = "echo", value_name = "FOLDER")]
    writes: Option<PathBuf>,
}

impl OtherSide {
    /// Whether this process is one.
    pub fn is_it(&self) -> bool {
        self.echo
    }

    /// Stays on a core, takes one connection, and sends back what comes, until it ends; where it writes, after a durable write.
    ///
    /// # Errors
    /// Of the socket and the file system; if there is no such core.
    pub fn run(&self) -> Outcome {
        self.core.map_or(Ok(()), stay_on)?;
        let mut writes = self.writes.as_ref().map(|dir| OneBlock::new(dir, BLOCKS)).transpose()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        println!("{}", listener.local_addr()?.port());
        let (mut socket, _) = listener.accept()?;
        socket.set_nodelay(true)?;
        let mut message = [0; MESSAGE_BYTES];
        while socket.read_exact(&mut message).is_ok() {
            if let Some(writes) = &mut writes {
                writes.write()?;
            }
            socket.write_all(&message)?;
        }
        Ok(())
    }
}
