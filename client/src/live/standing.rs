//! How what goes on for long stands, for whoever asks.

use tokio::sync::watch;

use crate::error::Error;

/// What a subscription, or a worker that is there, does now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LivePhase {
    /// It has not heard of the server yet.
    Begins,
    /// The server tells what changes, or that the worker is there.
    Live,
    /// It broke off, for this reason, and is made anew.
    Reconnecting(String),
    /// It is over, for this reason.
    Failed(Error),
    /// Its caller has ended it, or closed the client.
    Ended,
}

/// How a subscription stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SubscriptionState {
    /// What it does now.
    pub phase: LivePhase,
    /// Statuses that were told.
    pub statuses: u64,
    /// Statuses that were not, since a newer one of their segment came before; those that the server left out are not among them.
    pub coalesced: u64,
    /// How often it became live.
    pub connections: u64,
    /// Handlers that came to their end.
    pub handled: u64,
    /// Handlers that panicked.
    pub panicked: u64,
    /// Handlers that took too long.
    pub timed_out: u64,
}

/// It, for those who change it.
pub(super) struct Standing(watch::Sender<SubscriptionState>);

impl Standing {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(SubscriptionState {
            phase: LivePhase::Begins,
            statuses: 0,
            coalesced: 0,
            connections: 0,
            handled: 0,
            panicked: 0,
            timed_out: 0,
        }))
    }

    pub(super) fn now(&self) -> SubscriptionState {
        self.0.borrow().clone()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut SubscriptionState)) {
        self.0.send_modify(change);
    }
}
