//! The start of a log. No extent is given back yet, so each log starts with its first one. Code that reclaims space
//! will move the start, and finds its readers here.

use std::ops::RangeInclusive;

use streamkit_record::LogPosition;

/// The first extent of a log. Each header names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LogStart(u64);

impl LogStart {
    /// Of a log of which nothing was given back.
    pub(crate) const WHOLE: Self = Self(1);

    /// The first extent's number.
    pub(crate) const fn extent(self) -> u64 {
        self.0
    }

    /// The end of a log in which nothing stands.
    pub(crate) const fn position(self) -> LogPosition {
        LogPosition {
            extent: self.0,
            byte: 0,
        }
    }

    /// The number of the extent to be made behind the last one. Numbers stay below 2^32.
    pub(crate) fn next_behind(self, last: Option<u64>) -> u64 {
        last.map_or(self.0, |last| last.saturating_add(1))
    }

    /// The extents up to the last one.
    pub(crate) fn up_to(self, last: u64) -> RangeInclusive<u64> {
        self.0..=last
    }

    /// How many extents stand before one; `None` of what stands before the start.
    pub(crate) fn before(self, extent: u64) -> Option<usize> {
        usize::try_from(extent.checked_sub(self.0)?).ok()
    }
}
