//! Real processes on real disks. A writer is killed at any moment, or loses its file system, and a reader checks the
//! rest: every acknowledged entry is there, and everything there was written.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use streamkit_engine::{
    AppendError, CommitMethod, Dice, Engine, EngineConfig, LocalStore, Rejection, SegmentPath, SegmentRead, Sequence,
    Store, StoreId, Stores, Transaction, limits, verify,
};
use streamkit_torture::mount::Mount;
use streamkit_torture::record::{Origin, origin, record};

const STORE: StoreId = StoreId(uuid::Uuid::from_u128(1));
/// Cycles on one folder.
const CYCLES_EACH: u64 = 20;

/// By writer, the first and the last head that it was told.
type Heads = BTreeMap<u64, (u64, u64)>;
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Kills processes that write, and reads what they leave.
#[derive(Parser)]
struct Options {
    /// How often.
    #[arg(long, default_value_t = 100)]
    cycles: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    start: u64,
    /// What happens to whoever writes.
    #[arg(long, value_enum, default_value_t)]
    end: End,
    /// Where folders and images are made.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Writes, and tells of each acknowledgement; for this program itself.
    #[arg(long, hide = true)]
    child: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Default, Debug)]
enum End {
    /// SIGKILL.
    #[default]
    Kill,
    /// Its file system, of a loop device, is shut down as by power loss; needs root.
    PowerLoss,
    /// Its file system is full all the time; needs root.
    Full,
    /// Its file system becomes read-only; needs root.
    ReadOnly,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let ran = match &options.child {
        Some(dir) => write(dir, options.start),
        None => options.run(),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn config(dir: &Path, dice: &mut Dice) -> EngineConfig {
    EngineConfig {
        extent_bytes: limits::EXTENT_BYTES_MIN << dice.below(6),
        keep_free_bytes: 0,
        commit_method: if dice.chance(1, 3) {
            CommitMethod::Threads
        } else {
            CommitMethod::Auto
        },
        ..EngineConfig::new(dir)
    }
}

fn path(writer: u64) -> Outcome<SegmentPath> {
    Ok(SegmentPath::new("s", &format!("writer-{writer}"))?)
}

fn origin_of(writer: u64, sequence: u64) -> Origin {
    Origin {
        attempt: writer << 32 | sequence,
        part: 0,
        record: 0,
        extra: Dice::new(writer << 32 ^ sequence).below(3000) as u32,
    }
}

/// What the child does: writers of any number and shape, until somebody ends it.
fn write(dir: &Path, seed: u64) -> Outcome {
    let mut dice = Dice::new(seed);
    let engine = Engine::open(config(dir, &mut dice))?;
    let store = engine.open_store(STORE)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    let (writers, records, blocking) = (1 + dice.below(16), 1 + dice.below(20), dice.chance(1, 2));
    std::thread::scope(|scope| {
        for writer in 0..writers {
            let (store, handle) = (&store, runtime.handle());
            scope.spawn(move || {
                if let Err(error) = append_for_ever(store, handle, writer, records, blocking) {
                    eprintln!("writer {writer}: {error}");
                }
            });
        }
    });
    Ok(())
}

fn append_for_ever(
    store: &LocalStore,
    runtime: &tokio::runtime::Handle,
    writer: u64,
    records: u64,
    blocking: bool,
) -> Outcome {
    let mut dice = Dice::new(writer);
    let path = path(writer)?;
    let mut head = runtime
        .block_on(store.segment_status(&path))?
        .map_or(0, |status| status.last_sequence.0);
    loop {
        let count = 1 + dice.below(records);
        let next = (head + 1..=head + count).map(|sequence| record(origin_of(writer, sequence)));
        let transaction = Transaction::single(path.clone(), Sequence(head + 1), next.collect());
        let outcome = match blocking {
            true => store.append_blocking(transaction),
            false => runtime.block_on(store.append(transaction)),
        };
        match outcome {
            Ok(_) => {
                head += count;
                let mut out = std::io::stdout().lock();
                writeln!(out, "{writer} {head}")?;
                out.flush()?;
            }
            Err(AppendError::Rejected(Rejection::DiskFull)) => std::thread::sleep(Duration::from_millis(2)),
            Err(error) => return Err(error.into()),
        }
    }
}

/// A child that writes, and what it tells.
struct Writing {
    child: Child,
    told: std::thread::JoinHandle<Heads>,
}

impl Writing {
    fn start(dir: &Path, seed: u64) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--start", &seed.to_string(), "--child"])
            .arg(dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let out = child.stdout.take().ok_or("a pipe was asked for")?;
        let told = std::thread::spawn(move || {
            let mut heads: Heads = BTreeMap::new();
            // The last line may be cut: then nobody was told.
            for line in BufReader::new(out).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                if let Some((writer, head)) = line.split_once(' ')
                    && let (Ok(writer), Ok(head)) = (writer.parse(), head.parse())
                {
                    heads.entry(writer).or_insert((head, head)).1 = head;
                }
            }
            heads
        });
        Ok(Self { child, told })
    }

    fn kill(mut self) -> Outcome<Heads> {
        self.child.kill()?;
        self.child.wait()?;
        self.told.join().map_err(|_| "whoever listens panicked".into())
    }
}

impl Options {
    fn run(&self) -> Outcome {
        if self.end != End::Kill
            && let Err(why) = Mount::is_possible()
        {
            println!("skipped {:?}: {why}", self.end);
            return Ok(());
        }
        let since = Instant::now();
        let (mut cycle, mut acknowledged) = (0, 0);
        while cycle < self.cycles {
            let cycles = CYCLES_EACH.min(self.cycles - cycle);
            let first = self.start + cycle;
            acknowledged += match self.end {
                End::Kill => {
                    let dir = tempfile::tempdir_in(&self.dir)?;
                    self.cycles_on(dir.path(), None, first, cycles)?
                }
                _ => {
                    let megabytes = if self.end == End::Full { 24 } else { 400 };
                    let mount = Mount::new(&self.dir, megabytes)?;
                    self.cycles_on(&mount.dir().join("data"), Some(&mount), first, cycles)?
                }
            };
            cycle += cycles;
            eprintln!("{cycle} of {} cycles, {acknowledged} entries acknowledged", self.cycles);
        }
        let seconds = since.elapsed().as_secs();
        println!(
            "{:?}: {cycle} cycles, {acknowledged} entries acknowledged, none lost, in {seconds} s",
            self.end
        );
        Ok(())
    }

    /// Some cycles on one folder, which keeps what was written.
    fn cycles_on(&self, dir: &Path, mount: Option<&Mount>, first: u64, cycles: u64) -> Outcome<u64> {
        let mut heads: BTreeMap<u64, u64> = BTreeMap::new();
        for seed in first..first + cycles {
            let mut dice = Dice::new(seed ^ 0xDEAD);
            let writing = Writing::start(dir, seed)?;
            std::thread::sleep(Duration::from_millis(5 + dice.below(250)));
            match (self.end, mount) {
                (End::PowerLoss, Some(mount)) => mount.shut_down()?,
                (End::ReadOnly, Some(mount)) => mount.abort()?,
                _ => {}
            }
            for (writer, (first, last)) in writing.kill()? {
                // Where it went on: had it found less than was told before, it would have written that again.
                let before = heads.insert(writer, last).unwrap_or(0);
                if first <= before {
                    let found =
                        format!("seed {seed}: writer {writer} was told {before}, and {first} after the next start");
                    return Err(found.into());
                }
            }
            if let (End::PowerLoss | End::ReadOnly, Some(mount)) = (self.end, mount) {
                mount.again()?;
            }
            check(dir, &mut heads, seed).map_err(|error| format!("seed {seed}: {error}"))?;
        }
        match heads.values().sum() {
            0 => Err(format!("nothing was acknowledged from seed {first} on: nothing was tried").into()),
            acknowledged => Ok(acknowledged),
        }
    }
}

/// Reads all that is left.
fn check(dir: &Path, heads: &mut BTreeMap<u64, u64>, seed: u64) -> Outcome {
    if heads.is_empty() && !dir.join("format").exists() {
        return Ok(()); // it did not come that far
    }
    let report = verify(dir, &mut |_| {})?;
    if !report.is_clean() {
        return Err(format!("verify finds damage: {report:?}").into());
    }
    let engine = Engine::open(config(dir, &mut Dice::new(seed)))?;
    let store = engine.open_store(STORE)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    for writer in 0..16 {
        let path = path(writer)?;
        let mut reader = store.read_segment(SegmentRead::all(path.clone()));
        let mut found = 0;
        while let Some(batch) = runtime.block_on(reader.next_batch())? {
            for entry in batch {
                found += 1;
                if entry.sequence.0 != found || origin(&entry) != Some(origin_of(writer, found)) {
                    return Err(format!("{path} {} is not what was written there", entry.sequence).into());
                }
            }
        }
        let told = heads.get(&writer).copied().unwrap_or(0);
        if found < told {
            return Err(format!("{told} entries of {path} were acknowledged, {found} are left").into());
        }
        if found > 0 {
            heads.insert(writer, found);
        }
    }
    if seed.is_multiple_of(2) {
        runtime.block_on(engine.close());
    }
    Ok(())
}
