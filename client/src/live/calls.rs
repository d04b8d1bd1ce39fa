//! The calls on a store that go on for long.

use super::presence::{NewWorker, Presence};
use super::subscribe::Subscribe;
use super::subscription::Subscription;
use super::workers::Workers;
use crate::error::Error;
use crate::store::StoreClient;

impl StoreClient {
    /// The statuses of all segments of a space: as they are, then as they change.
    ///
    /// # Errors
    /// In the stream: [`Error`].
    pub fn subscribe_space(&self, space: &str) -> Subscription {
        self.subscribe(Subscribe::space(space))
    }

    /// The status of a segment: as it is, if the segment has entries, then as it changes.
    ///
    /// # Errors
    /// In the stream: [`Error`].
    pub fn subscribe_segment(&self, space: &str, segment: &str) -> Subscription {
        self.subscribe(Subscribe::segment(space, segment))
    }

    /// The same of a segment or a space, with heartbeat and patience of one's own.
    ///
    /// # Errors
    /// In the stream: [`Error`].
    pub fn subscribe(&self, subscribe: Subscribe) -> Subscription {
        Subscription::new(self.call().clone(), subscribe)
    }

    /// The workers that are there, and each change.
    ///
    /// # Errors
    /// In the stream: [`Error`].
    pub fn workers(&self) -> Workers {
        Workers::new(self.call().clone())
    }

    /// Is there as a worker, from when this returns until what it returns is dropped.
    ///
    /// Cancel safe: dropped early, the worker leaves.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Refused`] where there are too many workers, or they say too much of themselves.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn join(&self, worker: NewWorker) -> Result<Presence, Error> {
        Presence::join(self.call().clone(), worker).await
    }
}
