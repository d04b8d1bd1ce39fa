//! The constants of format version 1. A change of any number here changes the format or the protocol's promises. So
//! each has one name, the compiler relates it to the others, and documentation links to it.

use std::time::Duration;

/// The format version this engine writes, and the newest it reads.
pub const FORMAT_VERSION: u16 = 1;

/// Longest space or segment name, in bytes of UTF-8. The shortest is one byte; NUL is never allowed.
pub const NAME_BYTES_MAX: usize = 512;

/// Most bytes of payload and metadata together in one record.
pub const RECORD_BYTES_MAX: usize = 4 << 20;

/// Most records in one transaction.
pub const TRANSACTION_RECORDS_MAX: usize = 10_000;

/// Most bytes of payload and metadata in one transaction.
pub const TRANSACTION_BYTES_MAX: usize = 16 << 20;

/// Most bytes a transaction can take in the log: its payload, and the names and headers of as many segments and records
/// as one transaction may hold.
pub const TRANSACTION_ENCODED_BYTES_MAX: usize =
    TRANSACTION_BYTES_MAX + TRANSACTION_RECORDS_MAX * (2 * NAME_BYTES_MAX + 64) + 4096;

/// Longest time a lease lasts without renewal: a day, as in protocol version 1. The shortest is a millisecond.
pub const LEASE_TTL_MAX: Duration = Duration::from_secs(86_400);

/// Most leases of a store at a time. A lease that has run out makes room.
pub const LEASES_MAX: usize = 10_000;

/// Whether a lease may have this time to live.
pub(crate) fn is_ttl(ttl: Duration) -> bool {
    (Duration::from_millis(1)..=LEASE_TTL_MAX).contains(&ttl)
}

/// Smallest extent: the header block and room for some groups.
pub const EXTENT_BYTES_MIN: u64 = 64 << 10;

/// Largest extent; positions inside one fit in 32 bits.
pub const EXTENT_BYTES_MAX: u64 = 1 << 30;

/// The unit that devices write without reading first; extent headers and fresh blocks start on it.
pub const BLOCK_BYTES: usize = 4096;

const _: () = assert!(RECORD_BYTES_MAX <= TRANSACTION_BYTES_MAX);
const _: () = assert!((TRANSACTION_ENCODED_BYTES_MAX as u64) < EXTENT_BYTES_MAX / 2);
const _: () = assert!(EXTENT_BYTES_MAX <= u32::MAX as u64);
const _: () = assert!(NAME_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(TRANSACTION_RECORDS_MAX <= u16::MAX as usize);
