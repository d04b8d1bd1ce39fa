//! What one host knows of the workers of others, by the rows that were read, without a table or a clock.

use std::collections::BTreeMap;
use std::time::Duration;

use streamkit_server_core::HostedWorker;

/// A row that was seen unchanged for so long tells of nobody.
pub(super) const GONE: Duration = Duration::from_secs(15);

/// One that was seen unchanged for so long is removed.
pub(super) const STALE: Duration = Duration::from_secs(60);

/// A host's row, as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct WorkersRow {
    /// Its key.
    pub key: String,
    /// The version of the row: another one after each write.
    pub version: String,
    /// The workers.
    pub workers: Vec<HostedWorker>,
}

/// The rows of other hosts. Times are those since some moment.
#[derive(Default)]
pub(super) struct Known {
    rows: BTreeMap<String, (WorkersRow, Duration)>,
    last_read: Duration,
}

impl Known {
    /// All rows of others were read, at this time.
    pub fn read(&mut self, now: Duration, rows: Vec<WorkersRow>) {
        let mut before = std::mem::take(&mut self.rows);
        for row in rows {
            // One that was read before is kept as it was then: the sooner it was read, the better is known since when its workers are there.
            let known = match before.remove(&row.key) {
                Some(known) if known.0.version == row.version => known,
                _ => (row, now),
            };
            self.rows.insert(known.0.key.clone(), known);
        }
        self.last_read = now;
    }

    /// The workers of others. Nobody is there once no rows were read for [`GONE`].
    pub fn workers(&self, now: Duration) -> Vec<HostedWorker> {
        if now.saturating_sub(self.last_read) >= GONE {
            return Vec::new();
        }
        let rows = self.rows.values();
        let there = rows.filter(|(_, since)| self.last_read.saturating_sub(*since) < GONE);
        there.flat_map(|(row, _)| row.workers.iter().cloned()).collect()
    }

    /// Rows that hosts have left behind.
    pub fn stale(&self) -> Vec<WorkersRow> {
        let rows = self.rows.values();
        let stale = rows.filter(|(_, since)| self.last_read.saturating_sub(*since) >= STALE);
        stale.map(|(row, _)| row.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use streamkit_engine::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn row(host: &str, version: &str) -> WorkersRow {
        WorkersRow {
            key: host.to_owned(),
            version: version.to_owned(),
            workers: vec![HostedWorker {
                id: Uuid::from_u128(host.len() as u128),
                metadata: BTreeMap::new(),
                last_seen: Timestamp(1),
                coming: 1,
                since: tokio::time::Instant::now(),
            }],
        }
    }

    #[test]
    fn workers_are_there_for_as_long_as_their_host_changes_its_row() {
        let at = Duration::from_secs;
        let mut known = Known::default();
        let there = |known: &Known, now| {
            let workers = known.workers(at(now));
            workers.iter().map(|worker| worker.id.as_u128()).collect::<Vec<_>>()
        };
        known.read(at(0), vec![row("a", "1"), row("bb", "1")]);
        assert_eq!(there(&known, 0), [1, 2]);
        known.read(at(14), vec![row("a", "2"), row("bb", "1")]);
        assert_eq!(there(&known, 14), [1, 2]);
        known.read(at(15), vec![row("a", "2"), row("bb", "1")]);
        assert_eq!(there(&known, 15), [1], "one that says nothing any more");
        assert_eq!(there(&known, 30), [], "nobody was asked");
        known.read(at(59), vec![row("a", "9"), row("bb", "1")]);
        let stale = |known: &Known| known.stale().into_iter().map(|row| row.key).collect::<Vec<_>>();
        assert_eq!((there(&known, 59), stale(&known)), (vec![1], vec![]));
        known.read(at(60), vec![row("a", "9"), row("bb", "1")]);
        assert_eq!(stale(&known), ["bb"]);
        known.read(at(61), vec![row("a", "10"), row("bb", "2")]);
        assert_eq!(there(&known, 61), [1, 2], "it was only slow");
    }
}
