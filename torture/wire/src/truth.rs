//! What the engine has at the end, read without a server.

use std::collections::HashMap;

use streamkit_client::record::{Entry, SegmentPath, Sequence};
use streamkit_engine::{ReadError, SegmentRead, Store};

use crate::host::Trouble;
use crate::witness::{Attempt, Broken, SEGMENTS, path, written};

/// All entries in the order of the log.
pub(crate) struct Truth {
    pub entries: Vec<Entry>,
    /// Where each stands among them.
    at: HashMap<(SegmentPath, Sequence), usize>,
}

impl Truth {
    /// Reads it. Parts of a transaction stand in the order in which they were asked for.
    ///
    /// # Errors
    /// It cannot be read, or holds what nobody wrote. What is busy is asked again, without an end.
    pub async fn read(store: &dyn Store, attempts: &[Attempt]) -> Result<Result<Self, Broken>, Trouble> {
        let mut entries = Vec::new();
        for segment in 0..SEGMENTS.len() {
            let mut next = Sequence::FIRST;
            let mut reader = store.read_segment(SegmentRead::all(path(segment)));
            loop {
                let batch = match reader.next_batch().await {
                    Ok(None) => break,
                    Ok(Some(batch)) => batch,
                    // What it needs is on its way.
                    Err(ReadError::Busy(busy)) => {
                        tokio::time::sleep(busy.retry_after).await;
                        reader = store.read_segment(SegmentRead {
                            from: next,
                            ..SegmentRead::all(path(segment))
                        });
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                for entry in batch {
                    let Some((_, part, _)) = written(&entry, attempts) else {
                        return Ok(Err(format!("nobody wrote {} {}", entry.path, entry.sequence)));
                    };
                    if entry.sequence != next {
                        return Ok(Err(format!(
                            "{} {} stands where {next} is due",
                            entry.path, entry.sequence
                        )));
                    }
                    next = next.next();
                    entries.push((part, entry));
                }
            }
        }
        entries.sort_by_key(|(part, entry)| (entry.trx.number, *part, entry.sequence));
        Ok(Ok(Self::of(entries.into_iter().map(|(_, entry)| entry).collect())))
    }

    /// These, in the order of the log.
    pub fn of(entries: Vec<Entry>) -> Self {
        let at = entries
            .iter()
            .zip(0..)
            .map(|(entry, at)| ((entry.path.clone(), entry.sequence), at))
            .collect();
        Self { at, entries }
    }

    /// Where an entry stands; `None`: there is none, or another.
    pub fn find(&self, entry: &Entry) -> Option<usize> {
        let at = self.place(&entry.path, entry.sequence)?;
        (self.entries[at] == *entry).then_some(at)
    }

    /// Behind the last entry of all transactions up to a position.
    pub fn end_of(&self, position: u64) -> usize {
        self.entries.partition_point(|entry| entry.trx.number <= position)
    }

    /// Where an entry of a sequence stands.
    pub fn place(&self, path: &SegmentPath, sequence: Sequence) -> Option<usize> {
        self.at.get(&(path.clone(), sequence)).copied()
    }
}

/// All entries of a segment, as the engine has them.
pub(crate) async fn entries_of(store: &dyn Store, path: &SegmentPath) -> Result<Vec<Entry>, Broken> {
    let mut reader = store.read_segment(SegmentRead::all(path.clone()));
    let mut entries = Vec::new();
    while let Some(batch) = reader.next_batch().await.map_err(|error| error.to_string())? {
        entries.extend(batch);
    }
    Ok(entries)
}
