//! A place in a store's log, as whoever reads it keeps it.

use bytes::Bytes;

/// A place in a store's log behind an entry, opaque but to the storage that made it. Without bytes it is the beginning.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct LogCursor(Bytes);

impl LogCursor {
    /// Most bytes of one.
    pub const BYTES_MAX: usize = 64;

    /// One that some storage made. `None`: it is too long to be one.
    pub fn new(bytes: Bytes) -> Option<Self> {
        (bytes.len() <= Self::BYTES_MAX).then_some(Self(bytes))
    }

    /// Its bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}
