//! Reads back every acknowledged entry of a load after reopening: all of it, in order, byte by byte, and nothing more.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use streamkit_engine::{EntryReader, LocalStore, Name, SpacesRead, Store as _, TimeRange};
use tokio::runtime::Runtime;

use crate::Outcome;
use crate::load::Heads;
use crate::ours::Variant;
use crate::payload::{self, SPACE};
use crate::peers;

/// Opens ours again and compares every entry of so many stores.
///
/// # Errors
/// What is missing, doubled, out of order or different.
pub fn ours(runtime: &Runtime, variant: &Variant, dir: &Path, stores: usize, heads: &Heads, bytes: usize) -> Outcome {
    let ours = variant.open(dir, stores)?;
    let mut found = Found::new(heads.len(), bytes);
    for store in &ours.stores {
        runtime.block_on(async {
            let mut reader = read_space(store, SPACE)?;
            while let Some(entries) = reader.next_batch().await? {
                for entry in entries {
                    found.entry(entry.path.segment.as_str(), entry.sequence.0, &entry.payload)?;
                }
            }
            Outcome::Ok(())
        })?;
    }
    ours.close(runtime);
    found.compare(heads)
}

/// Opens a peer again and compares every entry, in both orders.
///
/// # Errors
/// As [`ours`].
pub fn peer(kind: &peers::Kind, dir: &Path, heads: &Heads, bytes: usize) -> Outcome {
    let Some(open) = kind.open else { return Ok(()) };
    let peer = open(dir)?;
    let mut found = Found::new(heads.len(), bytes);
    let mut entries = 0;
    peer.scan(&mut |key, value| {
        let (segment, sequence) = peers::parse(key).ok_or("a key that was never written")?;
        entries += 1;
        found.entry(segment, sequence, value)
    })?;
    let in_log_order = peer.log_len()?;
    if in_log_order != entries {
        return Err(format!("{entries} entries by segment, {in_log_order} in log order").into());
    }
    found.compare(heads)
}

/// A whole space in log order.
///
/// # Errors
/// If the name is none.
pub fn read_space(store: &Arc<LocalStore>, space: &str) -> Outcome<Box<dyn EntryReader>> {
    let spaces = BTreeMap::from([(Name::new(space)?, None)]);
    Ok(store.read_spaces(SpacesRead {
        spaces,
        time: TimeRange::ALL,
        limit: u64::MAX,
    }))
}

/// What was read so far.
pub(crate) struct Found {
    heads: Heads,
    bytes: usize,
}

impl Found {
    pub(crate) fn new(writers: usize, bytes: usize) -> Self {
        Self {
            heads: vec![0; writers],
            bytes,
        }
    }

    fn entry(&mut self, segment: &str, sequence: u64, payload: &[u8]) -> Outcome {
        let writer = payload::writer_of(segment).filter(|writer| *writer < self.heads.len());
        let writer = writer.ok_or_else(|| format!("{segment} was never written"))?;
        self.next(writer, sequence, payload)
    }

    /// A record, which says itself whose it is and which.
    pub(crate) fn record(&mut self, payload: &[u8]) -> Outcome {
        let marked = payload::marked(payload).filter(|(writer, _)| *writer < self.heads.len());
        let (writer, sequence) = marked.ok_or("a record was never written")?;
        self.next(writer, sequence, payload)
    }

    fn next(&mut self, writer: usize, sequence: u64, payload: &[u8]) -> Outcome {
        let expected = self.heads[writer] + 1;
        if sequence != expected {
            return Err(format!("writer {writer}: {sequence} was read where {expected} was expected").into());
        }
        if !payload::is_record(payload, writer, sequence, self.bytes) {
            return Err(format!("writer {writer}: other bytes were read at {sequence} than were written").into());
        }
        self.heads[writer] = sequence;
        Ok(())
    }

    pub(crate) fn compare(&self, acknowledged: &Heads) -> Outcome {
        for (writer, (found, acknowledged)) in self.heads.iter().zip(acknowledged).enumerate() {
            if found != acknowledged {
                return Err(format!("writer {writer}: {acknowledged} acknowledged, {found} read back").into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(sequences: &[u64]) -> Outcome {
        let mut found = Found::new(1, 64);
        for sequence in sequences {
            found.entry(
                payload::path(0).segment.as_str(),
                *sequence,
                &payload::record(0, *sequence, 64),
            )?;
        }
        found.compare(&vec![3])
    }

    #[test]
    fn missing_doubled_and_foreign_entries_are_told() {
        assert!(entries(&[1, 2, 3]).is_ok());
        for wrong in [&[1, 2][..], &[1, 3], &[1, 2, 2, 3], &[1, 2, 3, 4]] {
            assert!(entries(wrong).is_err(), "{wrong:?}");
        }
        let mut found = Found::new(1, 64);
        assert!(found.entry("order-0000001", 1, &payload::record(1, 1, 64)).is_err());
        assert!(found.entry("order-0000000", 1, &payload::record(0, 2, 64)).is_err());
        assert!(found.record(&payload::record(1, 1, 64)).is_err());
        assert!(found.record(&payload::record(0, 2, 64)).is_err());
        assert!(found.record(&payload::record(0, 1, 64)).is_ok());
        assert!(found.record(&payload::record(0, 1, 64)).is_err());
    }
}
