//! When something of a peer arrived last, be it a part of a frame.

use std::time::{Duration, Instant};

use super::counted::Taken;
use crate::stood::Stood;

/// Shorter than anything that silence means.
const READ_ON_AFTER: Duration = Duration::from_millis(100);

/// When that was, and what tells.
pub(crate) struct Heard {
    last: Instant,
    taken: Option<Taken>,
    read: u64,
    stood: Stood,
}

impl Heard {
    pub(crate) fn new(taken: Option<Taken>) -> Self {
        let read = taken.as_ref().map_or(0, Taken::read);
        let (last, stood) = (Instant::now(), Stood::new());
        Self {
            last,
            taken,
            read,
            stood,
        }
    }

    pub(crate) fn now(&mut self) {
        self.last = Instant::now();
        self.read = self.taken.as_ref().map_or(0, Taken::read);
    }

    /// Whether nothing came since then. If something did, that is the last now. A time in which nobody listened does not count.
    pub(crate) fn nothing_since(&mut self) -> bool {
        self.last = (self.last + self.stood.more()).min(Instant::now());
        let nothing = self.taken.as_ref().is_none_or(|taken| taken.read() == self.read);
        if !nothing {
            self.now();
        }
        nothing
    }

    pub(crate) fn last(&self) -> Instant {
        self.last
    }

    /// The peer was not listened to since it was heard last, so that nothing could arrive: for how long, if that matters.
    pub(crate) fn read_on(&mut self) -> Duration {
        let unheard = self.last.elapsed();
        if unheard <= READ_ON_AFTER {
            return Duration::ZERO;
        }
        self.last += unheard;
        unheard
    }
}
