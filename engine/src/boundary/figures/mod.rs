//! Figures of a storage, for whoever watches it: what it counted since it was opened, and what is so now. They are of all its
//! stores together, and cost nothing for an entry.

mod shared;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use shared::{
    ArchiveFigures, CacheFigures, CallFigures, CollectorFigures, FailureFigures, ForwardingFigures, LogFigures,
    SharedFigures,
};

/// Counted values by size. Counting is a few atomic additions and takes no lock, so that writers may count.
#[derive(Debug)]
pub struct Histogram {
    /// Upper ends of the buckets, inclusive, ascending.
    ends: &'static [u64],
    /// One for each end, and one for what is beyond all of them.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// A histogram as it was at one moment.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Distribution {
    /// Upper ends of the buckets, inclusive, ascending.
    pub ends: &'static [u64],
    /// Values of each bucket, not of those before it; one more than there are ends, for what is beyond all of them.
    pub counts: Vec<u64>,
    /// The sum of all values.
    pub sum: u64,
}

/// What a storage tells.
#[derive(Clone, Default, Debug)]
pub struct Figures {
    /// Transactions of each group that became durable.
    pub group_transactions: Distribution,
    /// Nanoseconds from when a group was made until the medium had it, or had refused it.
    pub sync_nanos: Distribution,
    /// Nanoseconds from when a transaction was queued until it was acknowledged.
    pub commit_nanos: Distribution,
    /// Groups whose write failed: each time a store stops taking writes.
    pub sync_errors: u64,
    /// Bytes of groups that became durable.
    pub written_bytes: u64,
    /// Transactions that wait for the medium or are under way to it.
    pub queued_transactions: usize,
    /// Stores that are open.
    pub open_stores: usize,
    /// Open stores that take no writes until they are opened again.
    pub halted_stores: usize,
    /// Stores at rest that were closed so that others could be opened.
    pub evicted_stores: u64,
    /// Bytes that the logs of open stores take on the medium.
    pub log_bytes: u64,
    /// Bytes that are free on the medium, some seconds ago at most. `None`: nobody can tell.
    pub free_bytes: Option<u64>,
    /// Sealed files that an archive has, too. `None`: all files are on the disk alone.
    pub cache: Option<CacheFigures>,
    /// Of a storage that several hosts share. `None`: it is this host's own.
    pub shared: Option<SharedFigures>,
}

impl Histogram {
    /// Upper ends for times from 50 µs to 10 s, in nanoseconds.
    pub const TIMES: &'static [u64] = &[
        50_000,
        100_000,
        250_000,
        500_000,
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        25_000_000,
        50_000_000,
        100_000_000,
        250_000_000,
        500_000_000,
        1_000_000_000,
        2_500_000_000,
        5_000_000_000,
        10_000_000_000,
    ];

    /// Upper ends for numbers of things.
    pub const NUMBERS: &'static [u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096];

    /// One with nothing in it, whose buckets end at `ends`.
    pub fn new(ends: &'static [u64]) -> Self {
        Self {
            ends,
            counts: (0..=ends.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts a value.
    pub fn count(&self, value: u64) {
        let bucket = self.ends.partition_point(|&end| end < value);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Counts a time, in nanoseconds.
    pub fn count_time(&self, time: Duration) {
        self.count(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// As it is now. What is being counted meanwhile may be in one number and not yet in another.
    pub fn now(&self) -> Distribution {
        Distribution {
            ends: self.ends,
            counts: self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_in_the_first_bucket_whose_end_it_does_not_pass() {
        let histogram = Histogram::new(&[1, 10]);
        for value in [0, 1, 2, 10, 11, u64::from(u32::MAX)] {
            histogram.count(value);
        }
        histogram.count_time(Duration::from_nanos(3));
        let now = histogram.now();
        assert_eq!(now.counts, [2, 3, 2]);
        assert_eq!(now.sum, 1 + 2 + 10 + 11 + u64::from(u32::MAX) + 3);
        assert!(Histogram::TIMES.is_sorted() && Histogram::NUMBERS.is_sorted());
    }
}
