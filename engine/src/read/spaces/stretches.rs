//! The log from its tail: a stretch is so many bytes of an extent.

use super::{Beginning, SpacesScan};
use crate::error::StorageError;
use crate::format::extent_header::EXTENT_HEADER_BYTES;
use crate::read::backwards::Stretches;
use crate::read::choice::Choice;
use crate::read::gather::BATCH_BYTES;
use crate::read::listed::Listed;
use crate::read::pieces::GatheredPieces;
use streamkit_record::LogPosition;

/// What is left of a scan of the log from its tail.
pub(crate) struct LogStretches {
    scan: SpacesScan<GatheredPieces>,
    /// Where the scan would begin, and where what was read begins; `None` until looked up.
    bounds: Option<(LogPosition, LogPosition)>,
}

impl LogStretches {
    pub(crate) fn new(scan: SpacesScan<GatheredPieces>) -> Self {
        Self { scan, bounds: None }
    }
}

impl Stretches for LogStretches {
    type Start = LogPosition;
    const SPAN_MIN: u64 = BATCH_BYTES as u64 / 4;
    const SPAN_MAX: u64 = u32::MAX as u64;

    fn last(&mut self, span: u64) -> Result<Option<LogPosition>, StorageError> {
        let (low, mut high) = match self.bounds {
            Some(bounds) => bounds,
            None => {
                loop {
                    match self.scan.begun()? {
                        Beginning::Yes => break,
                        Beginning::NotYet => {}
                        Beginning::Nothing => return Ok(None),
                    }
                }
                let (extent, byte) = (self.scan.extent, self.scan.next_place.0);
                (LogPosition { extent, byte }, self.scan.end)
            }
        };
        if high.byte <= EXTENT_HEADER_BYTES as u32 && high.extent > low.extent {
            let extent = high.extent - 1;
            let bytes = self.scan.log.extents.capacity(extent);
            let byte = u32::try_from(bytes).unwrap_or(u32::MAX);
            high = LogPosition { extent, byte };
        }
        self.bounds = Some((low, high));
        let byte = high.byte.saturating_sub(u32::try_from(span).unwrap_or(u32::MAX));
        let start = low.max(LogPosition { byte, ..high });
        Ok((start < high).then_some(start))
    }

    fn read(
        &mut self,
        start: LogPosition,
        choice: Choice,
        mut take: impl FnMut(GatheredPieces) -> bool,
    ) -> Result<Choice, StorageError> {
        let scan = &mut self.scan;
        let (_, end) = self.bounds.unwrap_or((start, start));
        (scan.extent, scan.next_place, scan.end) = (start.extent, (start.byte, 0), end);
        (scan.resume, scan.listed, scan.choice) = (None, Listed::default(), choice);
        scan.found.clear();
        while let Some(batch) = scan.next_listed()? {
            if !take(batch) {
                break;
            }
        }
        Ok(std::mem::take(&mut scan.choice))
    }

    fn passed(&mut self, start: LogPosition) {
        if let Some((_, high)) = &mut self.bounds {
            *high = start;
        }
    }

    fn explain(&self, error: StorageError) -> StorageError {
        self.scan.log.naming_segments(error, None)
    }
}
