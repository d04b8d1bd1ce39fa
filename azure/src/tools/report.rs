//! What a check of a log tells, and what it needs to know of the bodies of groups.

use bytes::Bytes;
use streamkit_engine::Timestamp;
use streamkit_engine::archive::ArchivedFile;

use super::damage::LogDamage;
use crate::log::Group;
use crate::medium::Unanswered;

/// Reads what groups say, from the first one on, and what a checkpoint holds of them.
pub trait Bodies: Send {
    /// Reads the next group.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(&mut self, group: &Group, body: &Bytes) -> Result<(), String>;

    /// Groups are missing before the next one.
    fn hide(&mut self);

    /// The archived files without which the state that a checkpoint holds is of no use.
    ///
    /// # Errors
    /// What is wrong with the state.
    fn archived(&self, state: &Bytes) -> Result<Vec<ArchivedFile>, String>;

    /// What was there so far.
    fn count(&self) -> BodyCount;
}

/// What stood in groups.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BodyCount {
    /// Transactions.
    pub transactions: u64,
    /// Entries.
    pub entries: u64,
}

/// What a log was found to be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LogReport {
    /// Extents, live ones, too.
    pub extents: u64,
    /// Of these, in blobs.
    pub history_extents: u64,
    /// Pages of the manifest.
    pub manifest_pages: u64,
    /// Slots that were read.
    pub slots: u64,
    /// Groups that count.
    pub groups: u64,
    /// Groups that do not.
    pub void_groups: u64,
    /// Groups behind damage of which nobody knows whether they count; their bodies were not read.
    pub unproven_groups: u64,
    /// Bodies in blobs.
    pub body_blobs: u64,
    /// Archived files of the copies that the checkpoint lists.
    pub archived_files: u64,
    /// Bytes of slots, bodies and archived files.
    pub bytes: u64,
    /// What stood in groups that count.
    pub count: BodyCount,
    /// The commit time of the first group.
    pub first_time: Option<Timestamp>,
    /// That of the last.
    pub last_time: Option<Timestamp>,
    /// Whether the root names a checkpoint.
    pub has_checkpoint: bool,
    /// What is damaged, a thousand places at most.
    pub damage: Vec<LogDamage>,
    /// How many places are.
    pub damaged: u64,
}

/// How far a check is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VerifyProgress {
    /// Extents and archived files that are checked.
    pub checked: u64,
    /// Extents of the history and one, and archived files.
    pub of: u64,
    /// Bytes read.
    pub bytes: u64,
}

/// Why a log cannot be looked at.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogUnread {
    /// There is no root.
    #[error("the account has no such store; `streamkit azure status` lists those it has")]
    NoStore,
    /// The store was deleted.
    #[error("the store was deleted")]
    Deleted,
    /// The root is damaged.
    #[error("the root is damaged: {0}; `streamkit azure verify` tells what else is")]
    Damaged(String),
    /// The storage does not answer.
    #[error("the storage cannot be read: {0}")]
    Unanswered(#[from] Unanswered),
}
