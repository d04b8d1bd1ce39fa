//! The history of a store at a host: sealed files of its copy are archived as blobs, for all hosts, and are a cache on the disk of each.
//!
//! ```text
//!  copy ─▶ snapshot ─▶ its sealed files to blobs, read back ─▶ the copy may lose them ─▶ collector: rows to history, checkpoint
//!  empty disk ─▶ root ─▶ checkpoint ─▶ install ─▶ bookmark ─▶ the log is opened from there ─▶ a read fetches what it needs
//! ```
//!
//! The copies of all hosts have equal sealed files, so a blob's name follows from its content, and several hosts may archive at once.

mod begin;
mod fetching;
mod keeping;
mod meter;

pub(crate) use begin::begin;
pub use fetching::{BlobArchive, cache, copies};
pub(crate) use keeping::Archiver;
pub use keeping::Archiving;
pub use meter::ArchiveMeter;

/// Bytes to which extents of the copies grow, on all hosts alike ([`EngineConfig::extent_bytes`](streamkit_engine::EngineConfig)). A checkpoint
/// holds all of the open one, and a read fetches one at a time.
pub const EXTENT_BYTES: u64 = 16 << 20;
