//! Which segments were extended since a reader looked last. The runs in memory tell: those of the open extent, and of sealed ones whose
//! index files are not written yet. Whoever looks often finds all that he asks for there.

use std::collections::{BTreeSet, HashSet};

use crate::boundary::Changes;
use crate::index::runs::ExtentRuns;
use crate::log::opened::StoreLog;
use streamkit_record::{LogPosition, SegmentPath, SegmentStatus, TailMark};

/// Runs looked through at most: to list the segments anew costs no more then.
const RUNS_MAX: usize = 64 << 10;

/// What was committed since the durable tail stood at `mark`.
pub(crate) fn since(log: &StoreLog, mark: TailMark) -> Changes {
    // Read before the catalog, which may be further on: then a segment is told twice.
    let until = *log.tail.borrow();
    let segments = match mark < until {
        true => changed(log, LogPosition::of_local(mark)),
        false => Some(Vec::new()),
    };
    Changes { until, segments }
}

fn changed(log: &StoreLog, from: LogPosition) -> Option<Vec<SegmentStatus>> {
    let catalog = log.catalog();
    let mut left = RUNS_MAX;
    let mut sealed: BTreeSet<SegmentPath> = BTreeSet::new();
    if from.extent < catalog.open.extent {
        let frozen = log.extents.frozen();
        for extent in from.extent..catalog.open.extent {
            let at = frozen.iter().find(|frozen| frozen.runs.extent == extent)?;
            for number in numbers(&at.runs, from, &mut left)? {
                sealed.insert(at.segments.path(number));
            }
        }
    }
    let open = numbers(&catalog.open, from, &mut left)?;
    let mut changed: Vec<SegmentStatus> = open.into_iter().map(|number| catalog.status_of(number)).collect();
    for status in &changed {
        sealed.remove(&status.path);
    }
    changed.extend(sealed.iter().filter_map(|path| catalog.status(path)));
    Some(changed)
}

/// The segments that have runs at or behind a place; `None` if those are more than are left to look through.
fn numbers(runs: &ExtentRuns, from: LogPosition, left: &mut usize) -> Option<HashSet<u32>> {
    let place = match runs.extent == from.extent {
        true => (from.byte, 0),
        false => (0, 0),
    };
    let mut found = HashSet::new();
    for owned in runs.in_order(place) {
        *left = left.checked_sub(1)?;
        found.insert(owned.segment);
    }
    Some(found)
}
