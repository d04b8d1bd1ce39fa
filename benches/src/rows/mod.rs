//! The rows P1 to P12, one file for each group of rows that share what they write.

pub mod bulk;
pub mod commit;
pub mod curve;
pub mod large;
pub mod reads;
pub mod scattered;
pub mod segments;
pub mod steady;
pub mod tenants;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::Outcome;
use crate::report::Row;

/// How the work of a row ends that was scaled down.
pub const QUICK: &str = "(quick)";

/// Rows that are measured together.
pub struct Group {
    /// Which.
    pub ids: &'static [&'static str],
    /// Measures them.
    pub measure: fn(&Bench) -> Outcome<Vec<Row>>,
}

/// All groups, in the order they run in.
pub const GROUPS: &[Group] = &[
    Group {
        ids: &["P1", "P2", "P3"],
        measure: commit::rows,
    },
    Group {
        ids: &["P4"],
        measure: bulk::bandwidth,
    },
    Group {
        ids: &["P8"],
        measure: bulk::space,
    },
    Group {
        ids: &["P5"],
        measure: reads::scan,
    },
    Group {
        ids: &["P6", "P10"],
        measure: large::rows,
    },
    Group {
        ids: &["P7"],
        measure: segments::rows,
    },
    Group {
        ids: &["P9"],
        measure: scattered::rows,
    },
    Group {
        ids: &["P11"],
        measure: tenants::rows,
    },
    Group {
        ids: &["P12"],
        measure: steady::rows,
    },
];

/// What every row needs.
pub struct Bench {
    /// Where everything is written.
    pub dir: PathBuf,
    /// Whether to scale down.
    pub quick: bool,
    /// Runs the writers that are tasks.
    pub runtime: Runtime,
}

impl Bench {
    /// One of two sizes.
    pub fn scaled<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// How often each measurement is repeated.
    pub fn repetitions(&self) -> usize {
        self.scaled(5, 3)
    }

    /// How long a loop of many writers runs each time.
    pub fn slice(&self) -> Duration {
        Duration::from_millis(self.scaled(3000, 500))
    }

    /// The text of a row's work.
    pub fn work(&self, text: impl std::fmt::Display) -> String {
        if self.quick {
            format!("{text} {QUICK}")
        } else {
            text.to_string()
        }
    }

    /// A new empty folder; the caller removes it with [`remove`] as soon as it is done, for these are large.
    ///
    /// # Errors
    /// Of the file system.
    pub fn fresh(&self, name: &str) -> Outcome<PathBuf> {
        let name: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let dir = self.dir.join(name);
        std::fs::create_dir(&dir)?;
        Ok(dir)
    }
}

/// Removes a folder of [`Bench::fresh`].
///
/// # Errors
/// Of the file system.
pub fn remove(dir: &Path) -> Outcome {
    Ok(std::fs::remove_dir_all(dir)?)
}
