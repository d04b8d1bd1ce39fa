//! Counts what a host does so that logs become history.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use streamkit_engine::boundary::figures::{ArchiveFigures, CollectorFigures};

/// The counts of all stores of a host.
#[derive(Debug, Default)]
pub struct ArchiveMeter(Mutex<Rounds>);

#[derive(Debug, Default)]
struct Rounds {
    figures: ArchiveFigures,
    /// Of the stores that are archived now and then: when a round ended well, or the first is waited for since then.
    well: HashMap<u64, Duration>,
    stores: u64,
}

/// A store that is archived now and then, until this is dropped.
pub(crate) struct Archived {
    meter: Arc<ArchiveMeter>,
    number: u64,
}

impl ArchiveMeter {
    /// What was counted so far, at this uptime.
    pub fn now(&self, uptime: Duration) -> ArchiveFigures {
        let rounds = self.rounds();
        let first = rounds.well.values().min();
        ArchiveFigures {
            behind: first.map_or(Duration::ZERO, |first| uptime.saturating_sub(*first)),
            ..rounds.figures
        }
    }

    /// A store is archived now and then from this uptime on.
    pub(crate) fn begins(self: &Arc<Self>, uptime: Duration) -> Archived {
        let mut rounds = self.rounds();
        rounds.stores += 1;
        let number = rounds.stores;
        rounds.well.insert(number, uptime);
        Archived {
            meter: self.clone(),
            number,
        }
    }

    /// A round has ended.
    pub(crate) fn ended(&self, round: &Result<bool, String>) {
        let figures = &mut self.rounds().figures;
        *match round {
            Ok(true) => &mut figures.archived,
            Ok(false) => &mut figures.idle,
            Err(_) => &mut figures.failed,
        } += 1;
    }

    /// A sealed file of so many bytes is in the archive.
    pub(crate) fn put(&self, bytes: usize) {
        let figures = &mut self.rounds().figures;
        figures.files += 1;
        figures.file_bytes += bytes as u64;
    }

    /// A collector has changed a root.
    pub(crate) fn changed(&self, done: CollectorFigures) {
        let root = &mut self.rounds().figures.root;
        root.history += done.history;
        root.retired += done.retired;
        root.checkpoints += done.checkpoints;
    }

    fn rounds(&self) -> MutexGuard<'_, Rounds> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Archived {
    /// A round of this store ended well, at this uptime.
    pub(crate) fn is_well(&self, uptime: Duration) {
        self.meter.rounds().well.insert(self.number, uptime);
    }
}

impl Drop for Archived {
    fn drop(&mut self) {
        self.meter.rounds().well.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_that_is_behind_most_is_told_until_it_is_closed() {
        let seconds = Duration::from_secs;
        let meter = Arc::<ArchiveMeter>::default();
        assert_eq!(meter.now(seconds(9)).behind, Duration::ZERO);
        let (one, two) = (meter.begins(seconds(10)), meter.begins(seconds(20)));
        assert_eq!(meter.now(seconds(25)).behind, seconds(15));
        one.is_well(seconds(30));
        assert_eq!(meter.now(seconds(31)).behind, seconds(11));
        drop(two);
        assert_eq!(meter.now(seconds(31)).behind, seconds(1));
        drop(one);
        assert_eq!(meter.now(seconds(99)).behind, Duration::ZERO);
    }
}
