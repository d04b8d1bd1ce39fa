//! Reads of history that a host has on its disk, beside the same reads of a store of this host alone.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use streamkit_engine::{Engine, EngineConfig, Record, SegmentPath, SegmentRead, Store, StoreId, Stores as _};
use uuid::Uuid;

use super::hosts::Far;
use crate::Outcome;

/// Records of an append.
const AT_ONCE: u64 = 1_000;

/// Entries a second of each read, in turn.
pub struct Cached {
    /// Of a store of the engine.
    pub local: Vec<f64>,
    /// Of a host's copy of a shared store.
    pub shared: Vec<f64>,
}

impl Cached {
    /// How the host's reads do against the engine's: the median of the ratios of reads that were made one after the other.
    pub fn ratio(&self) -> f64 {
        let pairs = self.shared.iter().zip(&self.local);
        let mut ratios: Vec<f64> = pairs.map(|(shared, local)| shared / local).collect();
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    }
}

/// Reads so many entries of 100 bytes so often, all of one segment, in turn from a store of the engine and from a host of an account.
///
/// # Errors
/// A store does not open, or a read is not whole.
pub async fn cached(far: &Far, dir: &Path, entries: u64, rounds: usize) -> Outcome<Cached> {
    let path = SegmentPath::new("history", "all")?;
    let engine = Engine::open(EngineConfig::new(dir.join("local")))?;
    let host = far.host(&dir.join("host"), false).await?;
    let id = StoreId(Uuid::new_v4());
    let local = engine.store(id).await?;
    let shared = host.store(id).await?;
    for store in [&local, &shared] {
        fill(store, &path, entries).await?;
    }
    let mut cached = Cached {
        local: Vec::new(),
        shared: Vec::new(),
    };
    for _ in 0..rounds {
        cached.local.push(read(&local, &path, entries).await?);
        cached.shared.push(read(&shared, &path, entries).await?);
    }
    drop((local, shared));
    host.close().await;
    tokio::task::spawn_blocking(move || drop(engine)).await?;
    Ok(cached)
}

async fn fill(store: &Arc<dyn Store>, path: &SegmentPath, entries: u64) -> Outcome {
    for _ in 0..entries.div_ceil(AT_ONCE) {
        let record = || Record::new(Bytes::from(vec![7; 100]));
        store.publish(path, (0..AT_ONCE).map(|_| record()).collect()).await?;
    }
    Ok(())
}

async fn read(store: &Arc<dyn Store>, path: &SegmentPath, entries: u64) -> Outcome<f64> {
    let began = Instant::now();
    let mut reader = store.read_segment(SegmentRead::all(path.clone()));
    let mut count = 0;
    while let Some(batch) = reader.next_batch().await? {
        count += batch.len() as u64;
    }
    let time = began.elapsed();
    match count {
        count if count >= entries => Ok(count as f64 / time.as_secs_f64()),
        count => Err(format!("{count} entries of {entries}").into()),
    }
}
