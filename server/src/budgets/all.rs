//! All budgets of a server.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::budget::Budget;
use super::fair::FairBudget;
use super::frames::FramesBudget;
use super::heavy::Heavy;
use super::inbound::Inbound;
use crate::limits::{BATCH_BYTES_MAX, FRAME_BYTES_MAX, Limits};

/// Reads that look at a time whether they are small.
const PROBES: usize = 4;

/// All of them.
pub(crate) struct Budgets {
    /// Messages that arrive, before all of them is here, and until there is room for them in an inbox.
    pub(crate) frames: Arc<FramesBudget>,
    /// Messages that are not stored yet.
    pub(crate) inbound: Arc<Inbound>,
    /// Requests at work, and open readers.
    pub(crate) requests: Arc<FairBudget>,
    /// What was read for peers, until their sockets have taken it.
    pub(crate) outgoing: Arc<Budget>,
    /// Places of reads that look whether they are small, while there is no room for a large one.
    pub(crate) probes: Arc<Semaphore>,
    /// Turns of work that grows with what a store holds.
    pub(crate) heavy: Arc<Heavy>,
    /// Places of open channels, shared by stores.
    pub(crate) channels: Arc<FairBudget>,
    /// Places of those among them that stay open until somebody ends them, shared likewise.
    pub(crate) subscriptions: Arc<FairBudget>,
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
            frames: FramesBudget::new(limits.frames_bytes.max(FRAME_BYTES_MAX)),
            inbound: Inbound::new(limits.inbound_bytes),
            requests: FairBudget::new(limits.inbound_bytes / 2),
            outgoing: Budget::new(limits.outgoing_bytes.max(BATCH_BYTES_MAX)),
            probes: Arc::new(Semaphore::new(PROBES)),
            heavy: Heavy::new(),
            channels: FairBudget::new(limits.all_channels),
            subscriptions: FairBudget::new(limits.subscriptions),
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
            Held {
                budget: "frames",
                bytes: self.frames.held(),
                waiting: self.frames.waiting(),
            },
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
