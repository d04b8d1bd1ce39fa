//! Who is there, by the rows that were read, without a register or a clock.

use std::collections::BTreeMap;
use std::time::Duration;

use super::register::HostRow;
use crate::host::{Host, HostId};

/// A host whose row was seen unchanged for so long is gone.
pub const GONE: Duration = Duration::from_secs(6);

/// A row that was seen unchanged for so long is removed.
pub const STALE: Duration = Duration::from_secs(3600);

/// Most hosts that are known.
pub const HOSTS_MAX: usize = 1000;

/// What one host knows of the others. Times are those since some moment, by its own clock.
#[derive(Debug)]
pub struct Roster {
    own: HostId,
    seen: BTreeMap<HostId, Seen>,
    last_read: Option<Duration>,
}

#[derive(Debug)]
struct Seen {
    row: HostRow,
    /// When the row was first seen as it is.
    since: Duration,
    /// Whether it has changed since it was first seen: a row alone may be what a host left behind that died long ago.
    has_changed: bool,
}

impl Roster {
    /// What host `own` knows before its first read.
    pub fn new(own: HostId) -> Self {
        Self {
            own,
            seen: BTreeMap::new(),
            last_read: None,
        }
    }

    /// All rows were read, at this time.
    pub fn read(&mut self, now: Duration, rows: Vec<HostRow>) {
        let mut before = std::mem::take(&mut self.seen);
        for row in rows.into_iter().filter(|row| row.host.id != self.own).take(HOSTS_MAX) {
            let seen = match before.remove(&row.host.id) {
                Some(seen) if seen.row == row => seen,
                known => Seen {
                    row,
                    since: now,
                    has_changed: known.is_some(),
                },
            };
            self.seen.insert(seen.row.host.id, seen);
        }
        self.last_read = Some(now);
    }

    /// The other hosts that are there, in the order of their ids. Nobody is, once no row was read for [`GONE`].
    pub fn present(&self, now: Duration) -> Vec<Host> {
        let Some(last) = self.last_read.filter(|last| now.saturating_sub(*last) < GONE) else {
            return Vec::new();
        };
        let present = self
            .seen
            .values()
            .filter(|seen| seen.has_changed && last.saturating_sub(seen.since) < GONE);
        present.map(|seen| seen.row.host.clone()).collect()
    }

    /// Rows that nobody has changed for [`STALE`].
    pub fn stale(&self) -> Vec<HostRow> {
        let Some(last) = self.last_read else { return Vec::new() };
        let stale = self
            .seen
            .values()
            .filter(|seen| last.saturating_sub(seen.since) >= STALE);
        stale.map(|seen| seen.row.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const OWN: u128 = 1;

    fn row(host: u128, sequence: u64) -> HostRow {
        let host = Host::new(HostId(Uuid::from_u128(host)), Uuid::nil(), "ws://a:1", "0.1.0").unwrap();
        let version = sequence.to_string();
        HostRow {
            host,
            sequence,
            version,
        }
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn present(roster: &Roster, now: u64) -> Vec<u128> {
        let present = roster.present(seconds(now));
        present.iter().map(|host| host.id.0.as_u128()).collect()
    }

    fn roster() -> Roster {
        Roster::new(HostId(Uuid::from_u128(OWN)))
    }

    #[test]
    fn a_host_is_there_from_when_its_row_is_seen_to_change_until_it_has_not_for_six_seconds() {
        let mut roster = roster();
        assert!(present(&roster, 0).is_empty());
        roster.read(seconds(0), vec![row(OWN, 1), row(2, 7), row(3, 9)]);
        assert!(present(&roster, 0).is_empty(), "rows that may be of long ago");
        roster.read(seconds(2), vec![row(OWN, 2), row(2, 8), row(3, 9)]);
        assert_eq!(present(&roster, 2), [2]);
        roster.read(seconds(7), vec![row(2, 8), row(3, 9)]);
        assert_eq!(present(&roster, 7), [2], "five seconds");
        roster.read(seconds(8), vec![row(2, 8), row(3, 9)]);
        assert!(present(&roster, 8).is_empty(), "six seconds");
        roster.read(seconds(9), vec![row(2, 9), row(3, 10)]);
        assert_eq!(present(&roster, 9), [2, 3], "it is back");
        roster.read(seconds(10), vec![row(3, 10)]);
        assert_eq!(present(&roster, 10), [3], "it has left");
    }

    #[test]
    fn another_boot_is_a_change_and_so_is_another_version_of_the_row() {
        let mut roster = roster();
        roster.read(seconds(0), vec![row(2, 1), row(3, 1)]);
        let mut rebooted = row(2, 1);
        rebooted.host.boot = Uuid::from_u128(9);
        let mut rewritten = row(3, 1);
        rewritten.version = "W/2".to_owned();
        roster.read(seconds(2), vec![rewritten, rebooted]);
        assert_eq!(present(&roster, 2), [2, 3]);
    }

    #[test]
    fn who_cannot_read_knows_nobody_and_nobody_is_gone_for_want_of_reads() {
        let mut roster = roster();
        roster.read(seconds(0), vec![row(2, 1)]);
        roster.read(seconds(2), vec![row(2, 2)]);
        assert_eq!(present(&roster, 7), [2]);
        assert!(present(&roster, 8).is_empty());
        roster.read(seconds(60), vec![row(2, 31)]);
        assert_eq!(present(&roster, 60), [2]);
    }

    #[test]
    fn what_is_left_of_a_host_is_removed_after_an_hour() {
        let mut roster = roster();
        roster.read(seconds(0), vec![row(2, 1), row(3, 1)]);
        roster.read(seconds(1), vec![row(2, 1), row(3, 2)]);
        assert!(roster.stale().is_empty());
        roster.read(STALE, vec![row(2, 1), row(3, 2)]);
        assert_eq!(roster.stale(), [row(2, 1)]);
    }

    #[test]
    fn no_more_hosts_are_known_than_may_be() {
        let mut roster = roster();
        let many = |sequence| (2..).take(HOSTS_MAX + 5).map(|host| row(host, sequence)).collect();
        roster.read(seconds(0), many(1));
        roster.read(seconds(2), many(2));
        assert_eq!(present(&roster, 2).len(), HOSTS_MAX);
    }
}
