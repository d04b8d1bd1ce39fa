//! Leases in a repaired log: none is held, since the grant to another holder may be lost. A holder asks again, and
//! gets a new token.

use std::time::Duration;

use super::Rewrite;
use crate::error::StorageError;
use crate::format::transaction::{Encoded, TransactionHeader, sections};
use streamkit_record::{FencingToken, Lease, Name};

impl Rewrite<'_> {
    pub(super) fn note_token(&mut self, header: &TransactionHeader, transaction: &[u8]) {
        for section in sections(header, transaction).flatten() {
            self.last_token = self.last_token.max(FencingToken(section.first_sequence.0));
        }
    }

    /// Grants a lease with the newest token that was found, and releases it.
    pub(super) fn put_last_token(&mut self) -> Result<(), StorageError> {
        if self.last_token == FencingToken::default() {
            return Ok(());
        }
        let name = Name::new("repair").expect("it has a few bytes");
        let lease = Lease {
            key: name.clone(),
            holder: name,
            token: self.last_token,
            ttl: Duration::from_millis(1),
        };
        let timestamp = self.writer.state.last_timestamp;
        self.put_encoded(Encoded::lease(&lease), timestamp)?;
        self.put_encoded(Encoded::release(&lease.key, &lease.holder, lease.token), timestamp)
    }
}
