//! Who waits for what comes over a channel.

use bytes::Bytes;
use streamkit_protocol::v2::Frame;
use tokio::sync::{mpsc, oneshot};

use super::fault::Fault;

/// What a call comes to.
pub(super) type Outcome = Result<Bytes, Fault>;

/// What arrives for a call that has messages.
pub(super) enum Arrived {
    Message(Frame),
    Over(Outcome),
}

/// Who waits for a channel.
pub(super) enum Route {
    /// For the result alone.
    Result(oneshot::Sender<Outcome>),
    /// For messages, too, of which the server may send so many bytes.
    Messages {
        queue: mpsc::UnboundedSender<Arrived>,
        credit: i64,
        /// Whether one came.
        any: bool,
    },
    /// Nobody any more. What the server had credit for may still come.
    Cancelled(i64),
}

impl Route {
    /// Bytes that the server may send.
    pub(super) fn credit(&self) -> i64 {
        match self {
            Self::Messages { credit, .. } | Self::Cancelled(credit) => *credit,
            Self::Result(_) => 0,
        }
    }

    /// Tells who waits how the call ended; of a result alone, `told` does once nothing is locked.
    pub(super) fn tell(self, outcome: Outcome, told: &mut Told) {
        match self {
            Self::Result(waits) => told.push((waits, outcome)),
            Self::Messages { queue, .. } => _ = queue.send(Arrived::Over(outcome)),
            Self::Cancelled(_) => {}
        }
    }
}

/// Results for those who wait for them, told when the state is not locked.
pub(super) type Told = Vec<(oneshot::Sender<Outcome>, Outcome)>;
