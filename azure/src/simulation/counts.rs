//! What came of runs, in numbers.

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls of the medium.
    pub calls: u64,
    /// Inserts of a group beyond its first.
    pub again: u64,
    /// Attempts that were acknowledged,
    pub durable: u64,
    /// refused,
    pub refused: u64,
    /// not stored for another reason,
    pub not_stored: u64,
    /// of these because of a deadline,
    pub late: u64,
    /// because too many waited,
    pub full: u64,
    /// because of the clock,
    pub clock_off: u64,
    /// or told as unknown.
    pub unknown: u64,
    /// Looks.
    pub looks: u64,
    /// Valid groups.
    pub groups: u64,
    /// Void ones.
    pub voids: u64,
    /// Extents.
    pub extents: u64,
    /// Extents that a host left behind that crashed.
    pub orphans: u64,
    /// Blobs that are there at the end.
    pub blobs: u64,
    /// Crashes of hosts.
    pub crashes: u64,
    /// Times at which a log had to look for its place in the root again.
    pub reopened: u64,
    /// Rounds of collectors.
    pub rounds: u64,
}

impl Counts {
    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.again += other.again;
        self.durable += other.durable;
        self.refused += other.refused;
        self.not_stored += other.not_stored;
        self.late += other.late;
        self.full += other.full;
        self.clock_off += other.clock_off;
        self.unknown += other.unknown;
        self.looks += other.looks;
        self.groups += other.groups;
        self.voids += other.voids;
        self.extents += other.extents;
        self.orphans += other.orphans;
        self.blobs += other.blobs;
        self.crashes += other.crashes;
        self.reopened += other.reopened;
        self.rounds += other.rounds;
    }
}
