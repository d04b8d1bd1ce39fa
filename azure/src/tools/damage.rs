//! What is wrong with a log, and where.

use std::fmt;

use uuid::Uuid;

use crate::medium::{BlobName, ExtentId, SlotNumber};

/// A place of a log as it stands in an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogPlace {
    /// The root.
    Root,
    /// A page of the manifest, by its blob.
    Manifest(Uuid),
    /// The checkpoint, by its blob.
    Checkpoint(Uuid),
    /// A sealed extent of the copies or its index file, by its blob.
    Archive(BlobName),
    /// An extent of the history, or a slot of it.
    History {
        /// Which extent of the log, from 1.
        ordinal: u64,
        /// Its blob.
        blob: Uuid,
        /// The slot; `None`: the whole of it.
        slot: Option<SlotNumber>,
    },
    /// An extent that is not history yet, or a slot of it.
    Live {
        /// Which extent of the log, from 1.
        ordinal: u64,
        /// Its name.
        extent: ExtentId,
        /// The slot; `None`: the whole of it.
        slot: Option<SlotNumber>,
    },
}

impl fmt::Display for LogPlace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ordinal, slot) = match self {
            Self::Root => return out.write_str("root"),
            Self::Manifest(blob) => return write!(out, "manifest blob {blob}"),
            Self::Checkpoint(blob) => return write!(out, "checkpoint blob {blob}"),
            Self::Archive(blob) => return write!(out, "archive blob {blob}"),
            Self::History { ordinal, slot, .. } | Self::Live { ordinal, slot, .. } => (ordinal, slot),
        };
        write!(out, "extent {ordinal}")?;
        match self {
            Self::History { blob, .. } => write!(out, " (history blob {blob})")?,
            Self::Live { extent, .. } => write!(out, " ({extent})")?,
            _ => {}
        }
        match slot {
            Some(slot) => write!(out, ", slot {slot}"),
            None => Ok(()),
        }
    }
}

/// Something that is not as it has to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogDamage {
    /// Where.
    pub place: LogPlace,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for LogDamage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place, self.what)
    }
}
