//! What a name, a record, a transaction and a lease may be at most. A change of any number here changes the format and the protocols'
//! promises.

use std::time::Duration;

/// Longest space or segment name, in bytes of UTF-8. The shortest is one byte; NUL is never allowed.
pub const NAME_BYTES_MAX: usize = 512;

/// Most bytes of payload and metadata together in one record.
pub const RECORD_BYTES_MAX: usize = 4 << 20;

/// Most records in one transaction.
pub const TRANSACTION_RECORDS_MAX: usize = 10_000;

/// Most conditions of one transaction.
pub const TRANSACTION_CONDITIONS_MAX: usize = TRANSACTION_RECORDS_MAX;

/// Most bytes of payload and metadata in one transaction.
pub const TRANSACTION_BYTES_MAX: usize = 16 << 20;

/// Most bytes a transaction can take in the log: its payload, and the names and headers of as many segments and records
/// as one transaction may hold.
pub const TRANSACTION_ENCODED_BYTES_MAX: usize =
    TRANSACTION_BYTES_MAX + TRANSACTION_RECORDS_MAX * (2 * NAME_BYTES_MAX + 64) + 4096;

/// Longest time a lease lasts without renewal: a day, as in protocol version 1. The shortest is a millisecond.
pub const LEASE_TTL_MAX: Duration = Duration::from_secs(86_400);

/// Whether a lease may have this time to live.
pub fn is_ttl(ttl: Duration) -> bool {
    (Duration::from_millis(1)..=LEASE_TTL_MAX).contains(&ttl)
}

const _: () = assert!(RECORD_BYTES_MAX <= TRANSACTION_BYTES_MAX);
const _: () = assert!(NAME_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(TRANSACTION_RECORDS_MAX <= u16::MAX as usize);
