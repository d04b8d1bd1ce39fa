//! The constants of format version 1. A change of any number here changes the format or the protocol's promises. So
//! each has one name, the compiler relates it to the others, and documentation links to it.

pub(crate) use streamkit_record::limits::is_ttl;
pub use streamkit_record::limits::{
    LEASE_TTL_MAX, NAME_BYTES_MAX, RECORD_BYTES_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_CONDITIONS_MAX,
    TRANSACTION_ENCODED_BYTES_MAX, TRANSACTION_RECORDS_MAX,
};

/// The format version this engine writes, and the newest it reads.
pub const FORMAT_VERSION: u16 = 1;

/// Most leases of a store at a time. A lease that has run out makes room.
pub const LEASES_MAX: usize = 10_000;

/// Most transactions whose ids a store knows, the latest ones, once one takes any sequence: 12 to 20 MiB of memory.
pub(crate) const TRANSACTION_IDS_MAX: usize = 1 << 18;

/// The first such transaction after an open makes the store read the ids in so many bytes of log, and in the rest of an extent.
pub(crate) const RECALLED_BYTES_MIN: u64 = 256 << 20;

/// Smallest extent: the header block and room for some groups.
pub const EXTENT_BYTES_MIN: u64 = 64 << 10;

/// Largest extent; positions inside one fit in 32 bits.
pub const EXTENT_BYTES_MAX: u64 = 1 << 30;

/// The unit that devices write without reading first; extent headers and fresh blocks start on it.
pub const BLOCK_BYTES: usize = 4096;

const _: () = assert!((TRANSACTION_ENCODED_BYTES_MAX as u64) < EXTENT_BYTES_MAX / 2);
const _: () = assert!(EXTENT_BYTES_MAX <= u32::MAX as u64);
