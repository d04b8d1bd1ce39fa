//! What the task of a log is told.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::log::{CallerId, Ledger, Outcome, Place, Why};

/// A command to the task of a log. Times are of the clock's uptime.
pub(super) enum Command<L: Ledger> {
    /// A request is to be stored.
    Ask(CallerId, L::Request, Duration, oneshot::Sender<Outcome<L>>),
    /// Somebody waits for what is durable now.
    Look(CallerId, Duration, oneshot::Sender<Result<(), Why>>),
    /// Somebody waits no longer.
    Forget(CallerId),
    /// Another host has come so far.
    Hint(Place),
    /// The log is to be left.
    Leave,
}

/// Tells the log when somebody waits no longer for an answer.
pub(super) struct Leaves<'a, L: Ledger> {
    caller: CallerId,
    commands: Option<&'a mpsc::UnboundedSender<Command<L>>>,
}

impl<'a, L: Ledger> Leaves<'a, L> {
    pub(super) fn new(caller: CallerId, commands: &'a mpsc::UnboundedSender<Command<L>>) -> Self {
        let commands = Some(commands);
        Self { caller, commands }
    }

    /// There is nothing to tell.
    pub(super) fn has_answer(mut self) {
        self.commands = None;
    }
}

impl<L: Ledger> Drop for Leaves<'_, L> {
    fn drop(&mut self) {
        if let Some(commands) = self.commands {
            let _ = commands.send(Command::Forget(self.caller));
        }
    }
}
