//! Newest first: stretches from the end to the beginning, each read forwards. What a scan checks and how it reads stays the same, and a read of
//! the disk brings a stretch, not an entry.

use super::choice::Choice;
use super::gather::Gather;
use super::pieces::GatheredPieces;
use super::{SKIPPED_READS, Scan};
use crate::error::StorageError;

/// What can be read in stretches from its end.
pub(crate) trait Stretches: Send + 'static {
    /// Where a stretch begins.
    type Start: Copy + Send;
    /// A stretch that is never more than a batch and a transaction.
    const SPAN_MIN: u64;
    /// The longest one.
    const SPAN_MAX: u64;

    /// Where the last stretch of a length begins; `None`: nothing is left.
    fn last(&mut self, span: u64) -> Result<Option<Self::Start>, StorageError>;
    /// Has what is chosen of the last stretch read: calls `take` with each batch, until that wants no more. Returns what is left to
    /// choose.
    fn read(
        &mut self,
        start: Self::Start,
        choice: Choice,
        take: impl FnMut(GatheredPieces) -> bool,
    ) -> Result<Choice, StorageError>;
    /// The last stretch was read.
    fn passed(&mut self, start: Self::Start);
    /// As [`Scan::explain`].
    fn explain(&self, error: StorageError) -> StorageError;
}

/// A scan from the end.
pub(crate) struct Backwards<T> {
    of: T,
    choice: Choice,
    span: u64,
    is_over: bool,
}

/// A stretch that was read.
struct Stretch {
    batch: GatheredPieces,
    /// Bytes of payload and metadata, if there is a limit to them.
    bytes: u64,
}

impl<T: Stretches> Backwards<T> {
    pub(crate) fn new(of: T, choice: Choice) -> Self {
        let span = T::SPAN_MIN.max(choice.left.min(T::SPAN_MAX / 4096));
        Self {
            of,
            choice,
            span,
            is_over: false,
        }
    }

    /// The last stretch. `None`: it is more than a batch.
    fn read(&mut self, start: T::Start) -> Result<Option<Stretch>, StorageError> {
        let may_be_less = self.span > T::SPAN_MIN;
        let mut is_more = false;
        let stretch = self.read_behind(start, 0, |all, batch| {
            is_more = may_be_less && all.is_full() && batch.entries() > 0;
            !is_more
        })?;
        Ok((!is_more).then_some(stretch))
    }

    /// The last stretch, but for its first `skip` entries that pass, as long as `goes_on` says so of what there is and a further batch.
    fn read_behind(
        &mut self,
        start: T::Start,
        skip: u64,
        mut goes_on: impl FnMut(&GatheredPieces, &GatheredPieces) -> bool,
    ) -> Result<Stretch, StorageError> {
        let (choice, whole) = self.choice.without_limits(skip);
        let mut all = GatheredPieces::default();
        let left = self.of.read(start, choice, |batch| {
            let goes_on = goes_on(&all, &batch);
            all.append(batch);
            goes_on
        })?;
        let bytes = whole - left.bytes;
        Ok(Stretch { batch: all, bytes })
    }

    /// The last entries of a stretch, as many as may still be returned. The limit of bytes ends it with the first that reaches it.
    fn limited(&mut self, start: T::Start, all: Stretch) -> Result<Stretch, StorageError> {
        let entries = all.batch.entries();
        let most = self.choice.left;
        if entries <= most && all.bytes < self.choice.bytes {
            return Ok(all);
        }
        let mut low = entries.saturating_sub(most);
        let mut high = if self.choice.bytes == u64::MAX {
            low
        } else {
            entries - 1
        };
        while low < high {
            let middle = low + (high - low) / 2;
            let behind = self.read_behind(start, middle + 1, |_, _| true)?;
            match behind.bytes < self.choice.bytes {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        // What is cut needs more room in a batch than the whole, and yet it is one.
        self.read_behind(start, low, |_, _| true)
    }
}

impl<T: Stretches> Scan for Backwards<T> {
    type Batch = GatheredPieces;

    fn is_done(&self) -> bool {
        self.is_over || self.choice.left == 0
    }

    fn explain(&self, error: StorageError) -> StorageError {
        self.of.explain(error)
    }

    fn next_batch(&mut self) -> Result<Option<GatheredPieces>, StorageError> {
        for _ in 0..SKIPPED_READS {
            let start = match self.is_done() {
                true => None,
                false => self.of.last(self.span)?,
            };
            let Some(start) = start else {
                self.is_over = true;
                return Ok(None);
            };
            let Some(stretch) = self.read(start)? else {
                self.span = (self.span / 4).max(T::SPAN_MIN);
                continue;
            };
            if stretch.batch.entries() > 0 {
                let taken = self.limited(start, stretch)?;
                self.of.passed(start);
                if !taken.batch.is_full() {
                    self.span = (self.span * 2).min(T::SPAN_MAX);
                }
                self.choice.took(taken.batch.entries(), taken.bytes);
                return Ok(Some(taken.batch));
            }
            self.of.passed(start);
            self.span = (self.span * 4).min(T::SPAN_MAX);
        }
        Ok(Some(GatheredPieces::default()))
    }
}
