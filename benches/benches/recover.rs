//! A store of very many segments: what opening costs in time and memory, after a clean close and after a kill.
//!
//! `cargo bench -p streamkit-benches --bench recover -- [segments] [entries per segment]`; a million and one unless said.
//! Each opening is a process of its own, so that memory is counted from nothing.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use streamkit_benches::{Usage, appends, bare_disk, median};
use streamkit_engine::{Engine, EngineConfig, Record, SegmentPath, Sequence, StoreId, Stores, Transaction};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const STORE: StoreId = StoreId(uuid::Uuid::from_u128(1));

/// Segments per transaction while filling.
const TOGETHER: u64 = 1000;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let runtime = tokio::runtime::Runtime::new()?;
    match arguments.first().map(String::as_str) {
        Some("open") => runtime.block_on(open(Path::new(&arguments[1]))),
        Some("die") => runtime.block_on(die(Path::new(&arguments[1]))),
        _ => {
            let number = |at: usize, default| arguments.get(at).map_or(Ok(default), |text| text.parse::<u64>());
            runtime.block_on(measure(number(0, 1_000_000)?, number(1, 1)?))
        }
    }
}

fn name(segment: u64) -> SegmentPath {
    SegmentPath::new("orders", &format!("order-{segment:09}")).expect("a fine name")
}

async fn measure(segments: u64, entries: u64) -> Outcome {
    let dir = tempfile::tempdir()?;
    let engine = Engine::open(EngineConfig::new(dir.path()))?;
    let store = engine.store(STORE).await?;
    let started = Instant::now();
    for entry in 1..=entries {
        for first in (0..segments).step_by(TOGETHER as usize) {
            let parts = (first..(first + TOGETHER).min(segments)).map(|segment| {
                let record = Record::new(format!("entry {entry} of segment {segment}"));
                Transaction::single(name(segment), Sequence(entry), vec![record])
            });
            let mut parts = parts.collect::<Vec<_>>().into_iter();
            let mut transaction = parts.next().expect("at least one");
            transaction.segments.extend(parts.flat_map(|part| part.segments));
            store.append(transaction).await?;
        }
    }
    let rate = (segments * entries) as f64 / started.elapsed().as_secs_f64();
    println!("{segments} segments × {entries} entries, filled at {rate:.0} entries/s");
    engine.close().await;
    drop((store, engine));
    println!("after a clean close: {}", child("open", dir.path())?);
    child("die", dir.path())?;
    println!("after a kill:        {}", child("open", dir.path())?);
    Ok(())
}

fn child(what: &str, dir: &Path) -> Outcome<String> {
    let out = Command::new(std::env::current_exe()?).arg(what).arg(dir).output()?;
    let killed = what == "die";
    if !out.status.success() && !killed {
        return Err(String::from_utf8_lossy(&out.stderr).into());
    }
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

/// Opens, and says what it took.
async fn open(dir: &Path) -> Outcome {
    let engine = Engine::open(EngineConfig::new(dir))?;
    let before = Usage::now()?;
    let started = Instant::now();
    let store = engine.store(STORE).await?;
    let opened = started.elapsed();
    let after = Usage::now()?;
    let status = store.status().await?;
    let bytes = after.resident_bytes.saturating_sub(before.resident_bytes) / status.segment_count.max(1);
    let name_bytes = name(0).segment.as_str().len();
    let floor = median(bare_disk(dir, 512, 1000)?);
    let append = median(appends(&*store, &name(7), 1000).await?);
    println!(
        "{} segments, {} entries: open {:.0} ms; {bytes} bytes a segment, {name_bytes} of them its name; \
         append p50 {} µs, bare disk {} µs",
        status.segment_count,
        status.entry_count,
        opened.as_secs_f64() * 1e3,
        append.as_micros(),
        floor.as_micros()
    );
    engine.close().await;
    Ok(())
}

/// Writes something and ends without closing.
async fn die(dir: &Path) -> Outcome {
    let engine = Engine::open(EngineConfig::new(dir))?;
    let store = engine.store(STORE).await?;
    appends(&*store, &name(8), 100).await?;
    std::process::abort();
}
