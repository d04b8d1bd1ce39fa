//! When something of a peer arrived last, be it a part of a frame.

use std::time::{Duration, Instant};

use crate::socket::Taken;

/// Shorter than anything that silence means.
const READ_ON_AFTER: Duration = Duration::from_millis(100);

/// That time.
pub(super) struct Heard {
    last: Instant,
    taken: Option<Taken>,
    read: u64,
}

impl Heard {
    pub(super) fn new(taken: Option<Taken>) -> Self {
        let read = taken.as_ref().map_or(0, Taken::read);
        let last = Instant::now();
        Self { last, taken, read }
    }

    pub(super) fn now(&mut self) {
        self.last = Instant::now();
        self.read = self.taken.as_ref().map_or(0, Taken::read);
    }

    /// Whether nothing came since then. If something did, that is the last now.
    pub(super) fn nothing_since(&mut self) -> bool {
        let nothing = self.taken.as_ref().is_none_or(|taken| taken.read() == self.read);
        if !nothing {
            self.now();
        }
        nothing
    }

    pub(super) fn last(&self) -> Instant {
        self.last
    }

    /// The peer is listened to again: while it was not, nothing could arrive.
    pub(super) fn read_on(&mut self) {
        if self.last.elapsed() > READ_ON_AFTER {
            self.last = Instant::now();
        }
    }
}
