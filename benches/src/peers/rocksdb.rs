//! rocksdb: a synced write per transaction; it gathers concurrent ones into one sync itself.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rocksdb::{ColumnFamily, ColumnFamilyDescriptor, DB, IteratorMode, Options, WriteBatch, WriteOptions};

use super::{Peer, key};
use crate::Outcome;

struct Rocks {
    database: DB,
    position: AtomicU64,
}

pub(super) fn open(dir: &Path) -> Outcome<Arc<dyn Peer>> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_max_background_jobs(2);
    // Writes to the log of one group overlap with the memory table of the one before; old logs are written over, which
    // changes no metadata.
    options.set_enable_pipelined_write(true);
    options.set_recycle_log_file_num(4);
    let family = |name: &str| {
        let mut options = Options::default();
        options.set_write_buffer_size(256 << 20);
        ColumnFamilyDescriptor::new(name, options)
    };
    let database = DB::open_cf_descriptors(&options, dir, [family("entries"), family("log")])?;
    Ok(Arc::new(Rocks {
        database,
        position: AtomicU64::new(0),
    }))
}

impl Rocks {
    fn family(&self, name: &str) -> Outcome<&ColumnFamily> {
        Ok(self.database.cf_handle(name).ok_or("a column family is missing")?)
    }
}

impl Peer for Rocks {
    fn append(&self, writer: usize, first: u64, records: &[Bytes]) -> Outcome {
        let (entries, log) = (self.family("entries")?, self.family("log")?);
        let position = self.position.fetch_add(records.len() as u64, Ordering::Relaxed);
        let mut batch = WriteBatch::default();
        for (index, record) in (0..).zip(records) {
            let key = key(writer, first + index);
            batch.put_cf(log, (position + index).to_be_bytes(), &key);
            batch.put_cf(entries, &key, record);
        }
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        Ok(self.database.write_opt(batch, &synced)?)
    }

    fn scan(&self, visit: &mut dyn FnMut(&[u8], &[u8]) -> Outcome) -> Outcome {
        for entry in self.database.iterator_cf(self.family("entries")?, IteratorMode::Start) {
            let (key, value) = entry?;
            visit(&key, &value)?;
        }
        Ok(())
    }

    fn log_len(&self) -> Outcome<u64> {
        let mut entries = 0;
        for entry in self.database.iterator_cf(self.family("log")?, IteratorMode::Start) {
            entry?;
            entries += 1;
        }
        Ok(entries)
    }
}
