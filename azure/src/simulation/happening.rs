//! What happens in a run, at some time.

use super::faults::Fate;
use super::hosts::Machine;
use super::storage::Work;
use crate::log::{CallId, Place, Said};
use crate::medium::Unanswered;

/// What happens.
pub enum Happening {
    /// The storage carries out a step of a call.
    Step(Work, Option<ReplyTo>, Fate),
    /// An answer arrives, or comes no more.
    Answer(ReplyTo, Result<Said, Unanswered>),
    /// A host, in one of its starts, is woken.
    Wake(usize, u64),
    /// A host starts.
    Start(usize),
    /// A host begins to collect.
    Collect(usize, u64),
    /// A hint arrives at a host.
    Hint(usize, Place),
    /// A client does the next thing.
    Act(usize),
    /// A client waits no longer.
    GiveUp(usize, u64),
}

/// Who waits for an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplyTo {
    pub host: usize,
    /// Which start of it.
    pub boot: u64,
    pub machine: Machine,
    pub call: CallId,
}
