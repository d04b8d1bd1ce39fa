//! A consumer that continues where it left off, and must miss nothing and see nothing twice.

use std::collections::{BTreeMap, HashSet};

use streamkit_engine::{Entry, Name, SpaceCursor};

use crate::model::{Broken, Model};

/// Of one store, over all its spaces.
#[derive(Clone, Default, Debug)]
pub struct Cursor {
    /// Where to go on.
    pub spaces: BTreeMap<Name, Option<SpaceCursor>>,
    /// What was consumed: segment, life and sequence.
    consumed: HashSet<(usize, u32, u64)>,
    /// Number of the last transaction consumed, in each space.
    last: BTreeMap<Name, u64>,
    /// It is reading.
    pub under_way: bool,
}

impl Cursor {
    /// From the start.
    pub fn new(model: &Model) -> Self {
        let spaces = model.segments.iter().map(|segment| (segment.path.space.clone(), None));
        Self {
            spaces: spaces.collect(),
            ..Self::default()
        }
    }

    /// Takes what was read.
    ///
    /// # Errors
    /// If it stands before what was consumed, or was consumed before.
    pub fn consume(&mut self, model: &Model, entries: &[Entry]) -> Result<(), Broken> {
        self.under_way = false;
        for entry in entries {
            let number = entry.trx.number;
            let last = self.last.entry(entry.path.space.clone()).or_default();
            if number < *last {
                return Err(format!(
                    "{} {} came after transaction {last}",
                    entry.path, entry.sequence
                ));
            }
            *last = number;
            let attempt = model.attempt_of(entry)?;
            let parts = model.attempts[attempt].parts.iter();
            let segment = model.segment_named(&entry.path).unwrap_or_default();
            let life = parts
                .clone()
                .find(|part| part.segment == segment)
                .map_or(0, |part| part.life);
            if !self.consumed.insert((segment, life, entry.sequence.0)) {
                return Err(format!("{} {} was consumed twice", entry.path, entry.sequence));
            }
            let cursor = SpaceCursor {
                timestamp: entry.timestamp,
                segment: entry.path.segment.clone(),
                sequence: entry.sequence,
            };
            self.spaces.insert(entry.path.space.clone(), Some(cursor));
        }
        Ok(())
    }

    /// Compares with all that there is, in log order: nothing before the last entry consumed was missed.
    ///
    /// # Errors
    /// What was missed.
    pub fn check(&self, model: &Model, log: &[Entry]) -> Result<(), Broken> {
        for entry in log {
            let last = self.last.get(&entry.path.space).copied().unwrap_or_default();
            let segment = model.segment_named(&entry.path).unwrap_or_default();
            let life = model.segments[segment].life;
            if entry.trx.number < last && !self.consumed.contains(&(segment, life, entry.sequence.0)) {
                return Err(format!(
                    "{} {} of transaction {} was missed by a consumer that is at {last}",
                    entry.path, entry.sequence, entry.trx.number
                ));
            }
        }
        Ok(())
    }
}
