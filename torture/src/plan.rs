//! The decisions of a seed about a whole run.

use streamkit_engine::{Dice, limits};

/// How the lives of an engine end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Its host loses power.
    PowerLoss,
    /// Its process is killed.
    Kill,
    /// It is closed.
    Close,
}

/// The shape of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Stores.
    pub stores: usize,
    /// Segments of each.
    pub segments: usize,
    /// Calls under way at a time.
    pub calls: usize,
    /// How often the engine is started.
    pub lives: usize,
    /// Steps of a life at most.
    pub steps: u64,
    /// Largest extent.
    pub extent_bytes: u64,
    /// Whether the disk has a queue for many writes at a time.
    pub queue: bool,
    /// Bytes of a record beside its numbers, at most; of one in a hundred, ten times that.
    pub record_bytes: u64,
    /// Most records of a part.
    pub records: u64,
    /// Of a million changes so many fail, in some lives.
    pub faults: u64,
    /// Of 100 calls that change something, so many are trims and deletes.
    pub controls: u64,
    /// Stores open at a time.
    pub open_stores: usize,
    /// Room on the disk, in some lives.
    pub room: Option<usize>,
    /// Bytes of it that are to stay free.
    pub keep_free: u64,
    /// Writes that fail may leave anything.
    pub garbage: u64,
    /// Of 100 steps so many are backups of all stores.
    pub backups: u64,
    /// Of 100 calls so many ask for leases.
    pub leases: u64,
    /// Of 100 transactions so many have conditions, and so many take any sequence.
    pub demands: u64,
}

impl Plan {
    /// As the dice fall.
    pub fn roll(dice: &mut Dice) -> Self {
        // Of a copy, so that a seed without leases is the run that it was before there were any.
        let mut of_leases = dice.clone();
        let leases = if of_leases.chance(1, 4) {
            10 + of_leases.below(40)
        } else {
            0
        };
        // Of another copy, for the same reason.
        let mut of_demands = Dice::new(dice.clone().any() ^ 1);
        let demands = if of_demands.chance(1, 4) {
            10 + of_demands.below(50)
        } else {
            0
        };
        let stores = [1, 1, 1, 2, 3][dice.below(5) as usize];
        Self {
            stores,
            segments: 1 + dice.below(5) as usize,
            calls: 1 + dice.below(6) as usize,
            lives: 2 + dice.below(3) as usize,
            steps: [20, 60, 150, 150, 400][dice.below(5) as usize],
            extent_bytes: limits::EXTENT_BYTES_MIN << dice.below(3),
            queue: dice.chance(2, 3),
            record_bytes: [8, 200, 1500, 5000][dice.below(4) as usize],
            records: [1, 1, 3, 12][dice.below(4) as usize],
            faults: [0, 0, 2_000, 20_000][dice.below(4) as usize],
            controls: [0, 2, 10, 40][dice.below(4) as usize],
            open_stores: if dice.chance(1, 4) { 1 } else { 100 },
            room: dice.chance(1, 8).then(|| (200 << 10) + dice.below(1 << 20) as usize),
            keep_free: [0, 0, 100_000][dice.below(3) as usize],
            garbage: if dice.chance(1, 6) { 2 } else { 0 },
            backups: if dice.chance(1, 5) { 3 } else { 0 },
            leases,
            demands,
        }
    }

    /// How a life ends.
    pub fn end(&self, dice: &mut Dice) -> End {
        match dice.below(5) {
            0 => End::Close,
            1 => End::Kill,
            _ => End::PowerLoss,
        }
    }
}
