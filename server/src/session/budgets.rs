//! What the connections of a server may hold together: one budget for each kind of bytes, on their way through it.
//!
//! ```text
//! socket ─▶ frames ─▶ inbound (requests beside it) ─▶ disk ─▶ outgoing ─▶ socket
//! ```
//!
//! **Nobody waits for ever.** Who holds a share waits only for budgets to the right of it, never for its own or one to the
//! left, so there is no circle:
//! 1. *outgoing* is waited for with nothing in hand of it, and its holders wait for the disk or for their own socket alone;
//! 2. *requests* are not waited for at all: there is room at once that the store may take ([`super::fair`]), or the request is
//!    refused;
//! 3. *inbound*: see [`super::inbound`]. Its holders wait for the disk, and for the answer to their peer: for outgoing;
//! 4. *frames*: its holders wait for the rest of a frame, then for inbound.
//!
//! What waits for a peer alone, which may do nothing for ever, has a deadline ([`super::patience`]): while others wait for
//! what it holds, a short one.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::budget::Budget;
use super::fair::FairBudget;
use super::heavy::Heavy;
use super::inbound::Inbound;
use super::turn::{PROBES, TURN_BYTES};
use crate::limits::Limits;
use streamkit_protocol::limits::FRAME_BYTES_MAX;

/// All of them.
pub(crate) struct Budgets {
    /// Messages that arrive, before all of them is here, and until there is room for them in an inbox.
    pub(super) frames: Arc<Budget>,
    /// Messages that are not stored yet.
    pub(super) inbound: Arc<Inbound>,
    /// Requests at work, and open readers.
    pub(super) requests: Arc<FairBudget>,
    /// What was read for peers, until their sockets have taken it.
    pub(super) outgoing: Arc<Budget>,
    /// Places of reads that look whether they are small, while there is no room for a large one.
    pub(super) probes: Arc<Semaphore>,
    /// Turns of work that grows with what a store holds.
    pub(super) heavy: Arc<Heavy>,
}

/// What a budget holds.
pub(crate) struct Held {
    pub(crate) budget: &'static str,
    pub(crate) bytes: usize,
    pub(crate) waiting: usize,
}

impl Budgets {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            frames: Budget::new(limits.frames_bytes.max(FRAME_BYTES_MAX)),
            inbound: Inbound::new(limits.inbound_bytes),
            requests: FairBudget::new(limits.inbound_bytes / 2),
            outgoing: Budget::new(limits.outgoing_bytes.max(TURN_BYTES)),
            probes: Arc::new(Semaphore::new(PROBES)),
            heavy: Heavy::new(),
        }
    }

    /// What each of them holds now.
    pub(crate) fn held(&self) -> [Held; 4] {
        let of = |budget, of: &Budget| Held {
            budget,
            bytes: of.held(),
            waiting: of.waiting(),
        };
        [
            of("frames", &self.frames),
            Held {
                budget: "inbound",
                bytes: self.inbound.held(),
                waiting: self.inbound.waiting(),
            },
            of("requests", self.requests.all()),
            of("outgoing", &self.outgoing),
        ]
    }
}
