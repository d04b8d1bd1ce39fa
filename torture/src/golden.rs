//! Data directories that every version must open, and that this one makes byte for byte from a script:
//! engine/tests/data.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use streamkit_engine::format::extent_header::ExtentHeader;
use streamkit_engine::simulation::Simulated;
use streamkit_engine::{
    AppendError, Dice, Engine, EngineConfig, Metadata, ReadError, Record, SegmentAppend, SegmentPath, Sequence,
    SpacesRead, Stepper, Store, StoreId, Stores, TimeRange, Transaction, limits,
};
use uuid::Uuid;

use crate::call::{Future, poll};
use crate::clock::Watch;
use crate::run::DIR;

/// A directory: its name and its files.
pub type Golden = (&'static str, BTreeMap<PathBuf, Vec<u8>>);

/// What goes wrong while they are made.
pub type Error = Box<dyn std::error::Error>;

/// The stores in them.
pub const STORES: [StoreId; 2] = [StoreId(Uuid::from_u128(0x0a)), StoreId(Uuid::from_u128(0x0b))];

struct Script {
    disk: Simulated,
    watch: Watch,
    dice: Dice,
    heads: BTreeMap<SegmentPath, u64>,
}

/// Makes them all.
///
/// # Errors
/// [`Error`]; the script is made so that there is none.
pub fn all() -> Result<Vec<Golden>, Error> {
    let mut script = Script {
        disk: Simulated::new(1),
        watch: Watch::new(),
        dice: Dice::new(2026),
        heads: BTreeMap::new(),
    };
    script.disk.seed_random(7);
    script.live(150, true)?;
    let closed = script.disk.files();
    script.disk.seed_random(8);
    script.live(10, false)?;
    let killed = script.disk.files();
    let mut torn = killed.clone();
    tear(&mut torn);
    let mut bare = closed.clone();
    bare.retain(|path, _| path.extension().is_none_or(|kind| kind != "index") && !path.ends_with("checkpoint"));
    Ok(vec![
        ("closed", closed),
        ("killed", killed),
        ("torn", torn),
        ("without-checkpoint-and-indexes", bare),
    ])
}

/// Half of a group stands behind the last one.
fn tear(files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    let is_begun = |bytes: &[u8]| ExtentHeader::decode(bytes).is_ok_and(|header| header.begun);
    let last = files.iter_mut().rfind(|(_, bytes)| is_begun(bytes));
    let Some((_, bytes)) = last else { return };
    let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let at = used.next_multiple_of(limits::BLOCK_BYTES);
    let (written, room) = bytes.split_at_mut(at);
    room[..512].copy_from_slice(&written[limits::BLOCK_BYTES..limits::BLOCK_BYTES + 512]);
}

impl Script {
    fn live(&mut self, appends: u64, closes: bool) -> Result<(), Error> {
        let stepper = Stepper::new(1);
        let engine = Engine::open(EngineConfig {
            extent_bytes: limits::EXTENT_BYTES_MIN,
            disk: Arc::new(self.disk.clone()),
            clock: Arc::new(self.watch.clone()),
            stepper: Some(stepper.clone()),
            ..EngineConfig::new(DIR)
        })?;
        for number in 0..appends {
            let id = STORES[self.dice.chance(1, 4) as usize];
            let store: Arc<dyn Store> = Arc::new(engine.open_store(id)?);
            self.watch.turn(self.dice.below(2000) as i64 - 100);
            let transaction = self.transaction(id, number)?;
            done(&stepper, Box::pin(append(Arc::clone(&store), transaction)))?;
            if number % 40 == 39 {
                let trimmed = self.heads.iter().find(|(path, _)| path.space.as_str() == "orders");
                let (path, head) = trimmed.map(|(path, head)| (path.clone(), *head)).ok_or("no segment")?;
                let store: Arc<dyn Store> = Arc::new(engine.open_store(STORES[0])?);
                let trimmed = async move { store.trim(&path, Sequence(head / 2 + 1)).await };
                done(&stepper, Box::pin(trimmed))?;
            }
        }
        while stepper.run_one() {}
        if closes {
            let closing = engine.clone();
            done(&stepper, Box::pin(async move { closing.close().await }));
        } else {
            self.disk.kill();
        }
        drop(engine);
        if !closes {
            self.disk = self.disk.copy();
        }
        Ok(())
    }

    fn transaction(&mut self, store: StoreId, number: u64) -> Result<Transaction, Error> {
        let mut segments = Vec::new();
        for part in 0..=u64::from(number.is_multiple_of(5)) {
            let space = if store == STORES[0] { "orders" } else { "flüge" };
            let path = SegmentPath::new(space, &format!("segment-{}", (number + part) % 7))?;
            let records = (0..=self.dice.below(4)).map(|record| {
                let bytes = [0, 1, 200, 3000][self.dice.below(4) as usize];
                let mut payload = format!("{number}.{part}.{record} ").into_bytes();
                payload.resize(bytes as usize, b'.');
                let mut record = Record::new(payload);
                if number.is_multiple_of(3) {
                    record.metadata = Metadata::from_pairs([("by", "card"), ("number", &number.to_string())]);
                }
                record
            });
            let records: Vec<Record> = records.collect();
            // Each store has segments of its own.
            let head = self.heads.entry(path.clone()).or_default();
            segments.push(SegmentAppend {
                path,
                first_sequence: Sequence(*head + 1),
                records,
            });
            *head += segments.last().map_or(0, |part| part.records.len() as u64);
        }
        let id = Uuid::from_u128(u128::from(self.dice.any()));
        Ok(Transaction {
            id,
            segments,
            fence: None,
            conditions: Vec::new(),
        })
    }
}

async fn append(store: Arc<dyn Store>, transaction: Transaction) -> Result<(), AppendError> {
    store.append(transaction).await.map(|_| ())
}

fn done<T>(stepper: &Stepper, mut future: Future<T>) -> T {
    loop {
        if let Some(value) = poll(&mut future) {
            return value;
        }
        assert!(stepper.run_one(), "a call waits for work that nobody has to do");
    }
}

/// Copies a folder with all in it.
///
/// # Errors
/// Of the file system.
pub fn copy(from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            std::fs::create_dir_all(&to)?;
            copy(&from, &to)?;
        } else {
            std::fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

/// All entries of a directory, a line each, as they must be read for ever. Blocks.
///
/// # Errors
/// [`Error`].
pub fn entries(dir: &std::path::Path) -> Result<String, Error> {
    let engine = Engine::open(EngineConfig::new(dir))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut out = String::new();
    for id in STORES {
        let store = engine.open_store(id)?;
        let read = async {
            let spaces = store.spaces().await?.into_iter().map(|space| (space, None)).collect();
            let mut reader = store.read_spaces(SpacesRead {
                spaces,
                time: TimeRange::ALL,
                limit: u64::MAX,
            });
            let mut entries = Vec::new();
            while let Some(batch) = reader.next_batch().await? {
                entries.extend(batch);
            }
            Ok::<_, ReadError>(entries)
        };
        for entry in runtime.block_on(read)? {
            writeln!(
                out,
                "{id} {} {} {} {} {} {} {:08x}",
                entry.path,
                entry.sequence,
                entry.timestamp.0,
                entry.trx.number,
                entry.trx.id,
                entry.payload.len(),
                crc32fast::hash(&[&entry.payload[..], &entry.metadata.encoded()[..]].concat()),
            )?;
        }
    }
    runtime.block_on(engine.close());
    Ok(out)
}
