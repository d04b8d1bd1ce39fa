//! Names of what a medium keeps. A name stands for one thing for ever.

use std::fmt;

use uuid::Uuid;

/// The name of an extent of a shared log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ExtentId(pub Uuid);

impl fmt::Display for ExtentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a slot in its extent, from 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SlotNumber(pub u64);

impl SlotNumber {
    /// The slot that is made with its extent, holds no group, and outlives it.
    pub const ZERO: SlotNumber = SlotNumber(0);
    /// The first slot that a group may take.
    pub const FIRST: SlotNumber = SlotNumber(1);

    /// The slot after this one.
    ///
    /// # Panics
    /// At the last number, which no extent reaches.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("extents end long before"))
    }

    /// The slot before this one, if it is not the one that is made with its extent.
    #[must_use]
    pub fn before(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }
}

impl fmt::Display for SlotNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a blob.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct BlobName {
    /// What it holds.
    pub kind: BlobKind,
    /// Tells it from all others.
    pub id: Uuid,
}

impl fmt::Display for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.word(), self.id)
    }
}

/// What a blob holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum BlobKind {
    /// The state of a store at a place of its log.
    Checkpoint,
    /// A sealed extent.
    History,
    /// Where the older history blobs of a store are.
    Manifest,
    /// The body of a group that is too large for a slot.
    Body,
    /// A sealed extent of the copies.
    Extent,
    /// Its index file.
    Index,
}

impl BlobKind {
    /// Its word in names.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::History => "history",
            Self::Manifest => "manifest",
            Self::Body => "body",
            Self::Extent => "extent",
            Self::Index => "index",
        }
    }
}
