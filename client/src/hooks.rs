//! What a program wants to be told, and asked, about connections and calls.

use std::sync::Arc;

use streamkit_protocol::v2::Trace;
use streamkit_record::FencingToken;
use uuid::Uuid;

type Hook<T> = Option<Arc<dyn Fn(T) + Send + Sync>>;
/// Tells the trace, and the span in it, for which a call is made.
pub(crate) type TraceSource = Arc<dyn Fn() -> Option<Trace> + Send + Sync>;
/// Hears what happens to what goes on for long.
pub(crate) type LiveHook = Arc<dyn Fn(&LiveEvent) + Send + Sync>;

/// Callbacks about connections and calls; they must not block.
#[derive(Clone, Default)]
pub struct Hooks {
    pub(crate) dial_failed: Hook<String>,
    pub(crate) reconnected: Hook<u64>,
    pub(crate) trace: Option<TraceSource>,
    pub(crate) live: Option<LiveHook>,
}

/// What happens to what goes on for long: to count, to log, to raise an alarm.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LiveEvent {
    /// The server tells statuses; for the first time, or again over another connection.
    SubscriptionLive {
        /// Of this space.
        space: String,
        /// Of this segment; `None`: of all.
        segment: Option<String>,
    },
    /// A subscription broke off, and is made anew.
    SubscriptionBroken {
        /// Of this space.
        space: String,
        /// Of this segment; `None`: of all.
        segment: Option<String>,
        /// Why it broke off.
        why: String,
    },
    /// A subscription failed for good.
    SubscriptionFailed {
        /// Of this space.
        space: String,
        /// Of this segment; `None`: of all.
        segment: Option<String>,
        /// Why it failed.
        why: String,
    },
    /// A handler of a status panicked. The subscription goes on.
    HandlerPanicked {
        /// The space of the status.
        space: String,
        /// The segment of the status.
        segment: String,
        /// What the panic said.
        why: String,
    },
    /// A handler of a status took too long, and was dropped. The subscription goes on.
    HandlerTimedOut {
        /// The space of the status.
        space: String,
        /// The segment of the status.
        segment: String,
    },
    /// A worker is there; for the first time, or again over another connection.
    WorkerPresent {
        /// Its id.
        worker: Uuid,
    },
    /// A worker is there no longer as far as the client knows, and comes again.
    WorkerBroken {
        /// Its id.
        worker: Uuid,
        /// Why it is there no longer.
        why: String,
    },
    /// A worker is there no longer, for good.
    WorkerFailed {
        /// Its id.
        worker: Uuid,
        /// Why it failed.
        why: String,
    },
    /// A lease is held, under this fencing token.
    LeaseHeld {
        /// Its key.
        key: String,
        /// The number of the grant; 0 from a Go server, which counts none.
        token: FencingToken,
    },
    /// A lease is lost while it was needed.
    LeaseLost {
        /// Its key.
        key: String,
        /// The number of the grant.
        token: FencingToken,
        /// Why it is lost.
        why: String,
    },
    /// A lease that is not needed any more could not be given back. It runs out by itself.
    LeaseNotReleased {
        /// Its key.
        key: String,
        /// Why the server could not be told.
        why: String,
    },
}
