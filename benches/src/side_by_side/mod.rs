//! Servers side by side: in one run, on one machine and disk, each as a process of its own, in turn, beside the floors
//! of the same run and the engine in this process. `peers` prints what [`run::measure`] finds.

mod delay;
mod engine;
pub mod floors;
pub mod record;
pub mod run;
mod server;
pub mod table;
pub(crate) mod taken;

use std::path::PathBuf;
use std::time::Duration;

use crate::Outcome;
use crate::figures::Figures;
use crate::load::{Load, Until};
use crate::servers::{RECORD_BYTES, Way};

/// Writers at once, where there are many.
pub const WRITERS: usize = 64;

/// How much is measured.
pub struct Plan {
    /// Where everything is written.
    pub dir: PathBuf,
    /// How long each load is measured.
    pub slice: Duration,
    /// How often each subject has its turn.
    pub rounds: usize,
    /// Records that are there, at least, before they are read; fewer where ten slices do not suffice to write them.
    pub fill: u64,
    /// Whether this is to show that it works, and not for results.
    pub quick: bool,
    /// The names that are measured; empty: all.
    pub only: Vec<String>,
    /// What is measured of each.
    pub works: Vec<Work>,
    /// Whether it is shown that servers wait for their sync.
    pub shows_sync: bool,
}

impl Plan {
    /// Whether a subject is measured.
    pub fn wants(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.only.is_empty() || self.only.iter().any(|only| name.starts_with(&only.to_lowercase()))
    }

    fn does(&self, work: Work) -> bool {
        self.works.contains(&work)
    }

    /// A new empty folder, which whoever asks for it removes when done.
    pub(crate) fn fresh(&self, name: &str) -> Outcome<PathBuf> {
        let dir = self.dir.join(name.replace(' ', "-"));
        std::fs::create_dir(&dir)?;
        Ok(dir)
    }

    fn load(&self, writers: usize, records: usize) -> Load {
        Load {
            writers,
            records,
            bytes: RECORD_BYTES,
            in_flight: 1,
            until: Until::Elapsed(self.slice),
        }
    }

    /// What runs before a load is measured.
    fn warming(&self, load: Load) -> Load {
        Load {
            until: Until::Elapsed(self.slice / 5),
            ..load
        }
    }

    /// What is written before it is read.
    fn filling(&self) -> Load {
        let calls = self.fill.div_ceil((WRITERS * BULK) as u64);
        Load {
            until: Until::Sooner(self.slice * 10, calls),
            ..self.load(WRITERS, BULK)
        }
    }
}

/// Records of an append, where there are many.
const BULK: usize = 100;

/// Times that all is read in a round.
const READS: usize = 3;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// One writer, one record at a time.
    One,
    /// Many writers, one record at a time each.
    Many,
    /// Many writers, many records at a time each.
    Bulk,
    /// One reader of all there is.
    Read,
}

impl Work {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::One, Self::Many, Self::Bulk, Self::Read];

    /// Its key in JSON.
    pub fn key(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Many => "many",
            Self::Bulk => "bulk",
            Self::Read => "read",
        }
    }

    /// As tables say it.
    pub fn word(self) -> &'static str {
        match self {
            Self::One => "1 writer × 1",
            Self::Many => "64 writers × 1",
            Self::Bulk => "64 writers × 100",
            Self::Read => "read",
        }
    }

    /// The number that is compared.
    pub fn leader(self) -> &'static str {
        match self {
            Self::One => "p50_us",
            Self::Many | Self::Bulk => "records_per_s",
            Self::Read => "entries_per_s",
        }
    }
}

/// What a subject reached in one round, each by work and way; `None` where there is no choice of ways.
type Round = Vec<(Work, Option<Way>, Figures)>;
