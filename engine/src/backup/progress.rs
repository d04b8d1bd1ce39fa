//! Progress of a backup or a restore.

/// What is being done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Bytes are copied, each checked.
    Copying,
    /// What was copied is checked once more, as a whole.
    Checking,
}

/// How far a backup or a restore has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CopyProgress {
    /// What is being done.
    pub stage: Stage,
    /// Bytes copied or checked.
    pub bytes_done: u64,
    /// Bytes there are to do.
    pub bytes_total: u64,
}
