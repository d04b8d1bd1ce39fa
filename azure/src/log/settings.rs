//! What may be chosen of a shared log.

use super::group::Group;

/// The bounds of one log at one host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Slots after which an extent is sealed. From 1.
    pub extent_slots: u64,
    /// Bytes of groups after which an extent is sealed.
    pub extent_bytes: u64,
    /// Bytes of bodies that are gathered into one group. A request that is larger makes a group by itself.
    pub group_bytes: usize,
    /// Bytes of a slot; a body that does not fit goes into a blob. The medium's [`crate::medium::Medium::slot_bytes_max`].
    pub slot_bytes: usize,
    /// Groups that may be pinned at a time. With more than one, each names the one before it, and is void without it.
    pub depth: usize,
    /// Bytes of requests that may wait or be pinned.
    pub waiting_bytes: usize,
    /// Requests and looks that may wait or be pinned.
    pub waiting_callers: usize,
    /// Bytes that a read of an extent asks for.
    pub read_bytes: usize,
    /// Whether an open makes a store that is not there.
    pub creates: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            extent_slots: 50_000,
            extent_bytes: 64 << 20,
            group_bytes: 2 << 20,
            slot_bytes: 900 << 10,
            depth: Self::DEPTH,
            waiting_bytes: 64 << 20,
            waiting_callers: 16_384,
            read_bytes: 8 << 20,
            creates: true,
        }
    }
}

impl Settings {
    /// Groups that hosts have pinned at a time, unless they say otherwise.
    pub const DEPTH: usize = 1;

    /// Whether a body of so many bytes fits into a slot.
    pub(super) fn fits_slot(&self, body: usize) -> bool {
        body + Group::OVERHEAD <= self.slot_bytes
    }
}
