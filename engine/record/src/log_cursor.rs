//! A place in a store's log, as whoever reads it keeps it.

use bytes::Bytes;

/// A place in a store's log behind an entry, opaque but to the storage that made it. Without bytes it is the beginning. Or places in many
/// segments and spaces, opaque but to the client that made it of a server that knows no places in a log.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct LogCursor(Bytes);

impl LogCursor {
    /// Most bytes of one that a storage made.
    pub const BYTES_MAX: usize = 64;

    /// How one of many places begins, and the version of the rest. No storage makes one that begins so.
    pub const OF_PLACES: [u8; 8] = *b"\xffplaces\x01";

    /// Most bytes of one of many places.
    pub const PLACES_BYTES_MAX: usize = 64 << 20;

    /// One that some storage or client made. `None`: it is too long to be one.
    pub fn new(bytes: Bytes) -> Option<Self> {
        let cursor = Self(bytes);
        let most = match cursor.is_of_places() {
            true => Self::PLACES_BYTES_MAX,
            false => Self::BYTES_MAX,
        };
        (cursor.0.len() <= most).then_some(cursor)
    }

    /// Whether it is one of many places.
    pub fn is_of_places(&self) -> bool {
        self.0.starts_with(&Self::OF_PLACES)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}
