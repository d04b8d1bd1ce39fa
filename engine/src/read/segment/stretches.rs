//! A segment from its head: a stretch is so many sequences.

use super::SegmentScan;
use crate::error::StorageError;
use crate::read::Scan;
use crate::read::backwards::Stretches;
use crate::read::choice::Choice;
use crate::read::pieces::GatheredPieces;
use streamkit_record::Sequence;

impl Stretches for SegmentScan<GatheredPieces> {
    type Start = Sequence;
    const SPAN_MIN: u64 = 1;
    const SPAN_MAX: u64 = 64 << 10;

    fn last(&mut self, span: u64) -> Result<Option<Sequence>, StorageError> {
        let first = Sequence(self.last.0.saturating_sub(span - 1));
        let is_left = self.next <= self.last && self.choice.left > 0;
        Ok(is_left.then(|| first.max(self.next)))
    }

    fn read(
        &mut self,
        start: Sequence,
        choice: Choice,
        mut take: impl FnMut(GatheredPieces) -> bool,
    ) -> Result<Choice, StorageError> {
        let mut scan = Self {
            next: start,
            choice,
            ..self.beside()
        };
        while let Some(batch) = scan.next_batch()? {
            if !take(batch) || scan.is_done() {
                break;
            }
        }
        Ok(scan.choice)
    }

    fn passed(&mut self, start: Sequence) {
        self.last = Sequence(start.0 - 1); // sequences begin at 1
    }

    fn explain(&self, error: StorageError) -> StorageError {
        Scan::explain(self, error)
    }
}
