//! fjall: concurrent writers share one persist of the journal, which is its fastest durable mode.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Peer, key};
use crate::Outcome;

struct Fjall {
    database: Database,
    entries: Keyspace,
    log: Keyspace,
    position: AtomicU64,
    persists: Persists,
}

pub(super) fn open(dir: &Path) -> Outcome<Arc<dyn Peer>> {
    let database = Database::builder(dir).open()?;
    // As much memory before a flush as the others get.
    let options = || KeyspaceCreateOptions::default().max_memtable_size(256 << 20);
    let (entries, log) = (
        database.keyspace("entries", options)?,
        database.keyspace("log", options)?,
    );
    Ok(Arc::new(Fjall {
        database,
        entries,
        log,
        position: AtomicU64::new(0),
        persists: Persists::default(),
    }))
}

impl Peer for Fjall {
    fn append(&self, writer: usize, first: u64, records: &[Bytes]) -> Outcome {
        let mut batch = self.database.batch();
        let position = self.position.fetch_add(records.len() as u64, Ordering::Relaxed);
        for (index, record) in (0..).zip(records) {
            let key = key(writer, first + index);
            batch.insert(&self.log, (position + index).to_be_bytes(), key.as_slice());
            batch.insert(&self.entries, key, record.as_ref());
        }
        batch.commit()?;
        self.persists.wait(|| Ok(self.database.persist(PersistMode::SyncData)?))
    }

    fn scan(&self, visit: &mut dyn FnMut(&[u8], &[u8]) -> Outcome) -> Outcome {
        for entry in self.entries.iter() {
            let (key, value) = entry.into_inner()?;
            visit(&key, &value)?;
        }
        Ok(())
    }

    fn log_len(&self) -> Outcome<u64> {
        Ok(self.log.len()? as u64)
    }
}

/// Lets one persist serve all writers whose batch was committed before it began.
#[derive(Default)]
struct Persists {
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Default)]
struct State {
    /// Persists begun, and those of them that are done.
    begun: u64,
    done: u64,
    failed: Option<String>,
}

impl Persists {
    /// Returns once a persist that began after this call is done: by this writer, or by another.
    fn wait(&self, persist: impl FnOnce() -> Outcome) -> Outcome {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = state.begun + 1;
        while state.done < mine && state.begun > state.done {
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(failed) = &state.failed {
            return Err(failed.clone().into());
        }
        if state.done >= mine {
            return Ok(());
        }
        state.begun += 1;
        drop(state);
        let outcome = persist();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.done += 1;
        if let Err(error) = &outcome {
            state.failed = Some(error.to_string());
        }
        drop(state);
        self.done.notify_all();
        outcome
    }
}
