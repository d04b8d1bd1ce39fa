//! What a projection is of, before it is started.

use std::time::Duration;

use streamkit_record::{Filter, LogCursor, Wanted};

use super::cursors::CursorStore;
use super::handler::{Handler, TransactionalHandler};
use super::keeper::{Beside, Within};
use super::running::Running;
use super::settings::Settings;
use crate::asked::Follow;
use crate::retry::RetryPolicy;
use crate::store::StoreClient;

/// A projection that is to be started: a handler over a follow of any mix of segments, prefixes and spaces of one store.
#[derive(Clone)]
#[must_use]
pub struct Projection {
    store: StoreClient,
    follow: Follow,
    settings: Settings,
}

impl Projection {
    /// Of these parts of a store. The server has to speak v2.
    pub fn new(store: StoreClient, parts: Vec<Wanted>) -> Self {
        Self {
            store,
            follow: Follow::new(parts, LogCursor::default()),
            settings: Settings {
                save_entries: 1000,
                save_time: Duration::from_secs(1),
                retries: RetryPolicy::DEFAULT,
                handler_timeout: Duration::from_secs(30),
                parked_most: 1000,
                grace: Duration::from_secs(10),
                unit: 256,
            },
        }
    }

    /// Only entries that pass this are handled.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.follow.filter = filter;
        self
    }

    /// Where nothing is stored yet it begins with what is committed from now on, not at the beginning.
    pub fn from_now(mut self) -> Self {
        self.follow.from_now = true;
        self
    }

    /// How far it has come is saved once so many entries were handled since, or so much time is over, whichever is first; also when a segment is
    /// parked, and at a stop. Default 1000 entries, at least 1, and 1 s. After a death of the process that much is handled again. A handler that stores it
    /// itself does so with each of its transactions.
    pub fn save_every(mut self, entries: u64, time: Duration) -> Self {
        self.settings.save_entries = entries.max(1);
        self.settings.save_time = time;
        self
    }

    /// How often an entry is handled in all before its segment is parked, and the pauses in between. Default [`RetryPolicy::DEFAULT`]. Others
    /// wait meanwhile.
    pub fn retries(mut self, retries: RetryPolicy) -> Self {
        self.settings.retries = retries;
        self
    }

    /// Longest time of a handler for one entry, or for one transaction. Default 30 s. A handler that blocks its thread is not stopped by that.
    pub fn handler_timeout(mut self, longest: Duration) -> Self {
        self.settings.handler_timeout = longest;
        self
    }

    /// Most segments that may be parked, or that were replayed while the rest is still behind. One more stops the projection with an error. Default 1000.
    pub fn parked_most(mut self, segments: usize) -> Self {
        self.settings.parked_most = segments;
        self
    }

    /// How long a stop waits for the handler that is under way, and then for what is saved. Default 10 s.
    pub fn grace(mut self, longest: Duration) -> Self {
        self.settings.grace = longest;
        self
    }

    /// Most entries of one transaction of a handler that stores how far it has come. Default 256, at least 1.
    pub fn transaction_entries(mut self, most: usize) -> Self {
        self.settings.unit = most.max(1);
        self
    }

    /// Starts it, with a cursor that is saved beside what the handler does: each entry is handled at least once.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start(self, handler: impl Handler, cursors: impl CursorStore) -> Running {
        let mut settings = self.settings;
        settings.unit = 1;
        Running::start(Beside { handler, cursors }, self.store, self.follow, settings)
    }

    /// Starts it, with a handler that stores how far it has come in its own transactions: each entry is handled exactly once.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start_transactional(self, handler: impl TransactionalHandler) -> Running {
        Running::start(Within(handler), self.store, self.follow, self.settings)
    }
}
