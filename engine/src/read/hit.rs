//! Finds the segments that a damaged place hits, only when a read meets it: that takes up to one pass over the
//! extent's index, since no index is ordered by place.

use std::collections::BTreeSet;

use crate::error::{DamagedPlace, SegmentsHit, StorageError};
use crate::format::run::Run;
use crate::log::extents::ExtentIndex;
use crate::log::opened::StoreLog;
use streamkit_record::{LogPosition, SegmentPath};

/// Segments that an error names; others are counted.
const NAMED_MAX: usize = 4;

/// Segments hit so far.
#[derive(Default)]
struct Hit {
    /// The first ones by name.
    named: BTreeSet<SegmentPath>,
    count: u64,
}

impl Hit {
    fn add(&mut self, path: SegmentPath) {
        self.count += 1;
        self.named.insert(path);
        if self.named.len() > NAMED_MAX {
            self.named.pop_last();
        }
    }
}

impl StoreLog {
    /// Says of damage in an extent which segments it hits, as far as the index tells. `read` is what was being read: it comes
    /// first.
    pub(crate) fn naming_segments(&self, mut error: StorageError, read: Option<&SegmentPath>) -> StorageError {
        if let StorageError::Corrupt {
            place: DamagedPlace::Extent { extent, byte },
            segments: segments @ SegmentsHit::Unknown,
            ..
        } = &mut error
        {
            // Where that index is damaged too, there is nothing to be said.
            let hit = u32::try_from(*byte).ok().and_then(|byte| {
                let extent = *extent;
                self.segments_at(LogPosition { extent, byte }).ok()
            });
            if let Some(Hit { named, count }) = hit.filter(|hit| hit.count > 0) {
                let read = read.filter(|_| count > 0).cloned();
                let others = named.into_iter().filter(|path| Some(path) != read.as_ref());
                let named: Vec<_> = read.iter().cloned().chain(others).take(NAMED_MAX).collect();
                let more = count.saturating_sub(named.len() as u64);
                *segments = SegmentsHit::These { named, more };
            }
        }
        error
    }

    /// The segments of the transaction at a place, but for those of which nothing there can be read anyway.
    fn segments_at(&self, at: LogPosition) -> Result<Hit, StorageError> {
        let mut hit = Hit::default();
        let mut add = |path: SegmentPath, run: &Run| {
            let readable = self.catalog().visible_from(path.names(), at);
            if readable.is_some_and(|first| first <= run.last_sequence()) {
                hit.add(path);
            }
        };
        let index = {
            let catalog = self.catalog();
            if catalog.open.extent == at.extent {
                let runs = catalog.open.in_order((at.byte, 0));
                let runs = runs.take_while(|owned| owned.run.trx_byte == at.byte);
                let found: Vec<_> = runs.map(|owned| (catalog.path(owned.segment), owned.run)).collect();
                drop(catalog);
                found.into_iter().for_each(|(path, run)| add(path, &run));
                return Ok(hit);
            }
            drop(catalog);
            self.extents.index(at.extent)?
        };
        match index {
            ExtentIndex::Memory { runs, segments } => {
                let runs = runs.in_order((at.byte, 0));
                let runs = runs.take_while(|owned| owned.run.trx_byte == at.byte);
                for owned in runs {
                    let path = segments.path(owned.segment);
                    add(path, &owned.run);
                }
            }
            ExtentIndex::File(index) => index.each_at(at.byte, add)?,
        }
        Ok(hit)
    }
}
