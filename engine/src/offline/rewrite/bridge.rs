//! Bridges: empty records in place of lost ones, so that later entries keep their sequences. A trim hides them.

use uuid::Uuid;

use super::Rewrite;
use crate::error::StorageError;
use crate::format::transaction::Encoded;
use crate::limits::TRANSACTION_RECORDS_MAX;
use streamkit_record::{Record, SegmentPath, Sequence, Transaction};

impl Rewrite<'_> {
    pub(super) fn put_bridge(
        &mut self,
        path: &SegmentPath,
        mut first: Sequence,
        mut count: u64,
    ) -> Result<(), StorageError> {
        while count > 0 {
            let records = count.min(TRANSACTION_RECORDS_MAX as u64);
            let empty = vec![Record::default(); records as usize];
            let transaction = Transaction {
                id: Uuid::nil(),
                ..Transaction::single(path.clone(), first, empty)
            };
            let timestamp = self.writer.state.last_timestamp;
            self.put_encoded(Encoded::data(&transaction), timestamp)?;
            first = Sequence(first.0 + records);
            count -= records;
        }
        Ok(())
    }
}
