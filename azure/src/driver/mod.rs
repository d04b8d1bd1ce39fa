//! Runs a shared log on a host: makes its calls of the medium, tells it their answers and the time, and answers who asks.
//!
//! The log is one task, which nobody waits for while it is at work: whoever asks sends a command, and is answered over a channel of his own.

mod at_work;
mod commands;

use std::sync::Arc;
use std::time::Duration;

use streamkit_engine::clock::Clock;
use tokio::sync::{mpsc, oneshot, watch};

use crate::log::{Boot, CallerId, Ledger, LogMeter, Outcome, Place, Settings, SharedLog, Why};
use crate::medium::Medium;
use at_work::AtWork;
use commands::{Command, Leaves};

/// The log of a store at this host. Dropped, it is left: what is pinned is still resolved, and nobody hears of it.
pub struct Driver<L: Ledger> {
    commands: mpsc::UnboundedSender<Command<L>>,
    place: watch::Receiver<Option<Place>>,
    ended: watch::Receiver<bool>,
    callers: std::sync::atomic::AtomicU64,
    clock: Arc<dyn Clock>,
}

impl<L> Driver<L>
where
    L: Ledger + Send + 'static,
    L::Home: Send,
    L::Request: Send,
    L::Answer: Send,
    L::Refusal: Send,
{
    /// Opens the log, in the background. `boot` is another one for each start; `seed` decides pauses; `meter` counts what it does.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(
        medium: Arc<dyn Medium>,
        settings: Settings,
        home: L::Home,
        boot: Boot,
        seed: u64,
        clock: Arc<dyn Clock>,
        meter: Arc<LogMeter>,
    ) -> Self {
        let (commands, received) = mpsc::unbounded_channel();
        let (tells_place, place) = watch::channel(None);
        let (tells_end, ended) = watch::channel(false);
        let task = AtWork::new(
            SharedLog::new(settings, home, boot, seed),
            medium,
            clock.clone(),
            tells_place,
            meter,
        );
        tokio::spawn(async move {
            task.run(received).await;
            tells_end.send_replace(true);
        });
        Self {
            commands,
            place,
            ended,
            callers: Default::default(),
            clock,
        }
    }

    /// Stores a request; waits for so long.
    ///
    /// # Cancel safety
    /// Dropping the future takes back what is not pinned yet; what is pinned may be stored. The log tells, under the id of its transaction.
    pub async fn ask(&self, request: L::Request, patience: Duration) -> Outcome<L> {
        let id = L::id(&request);
        let (answer, comes) = oneshot::channel();
        let (caller, deadline) = self.caller(patience);
        let leaves = Leaves::new(caller, &self.commands);
        self.send(Command::Ask(caller, request, deadline, answer));
        let outcome = comes.await;
        leaves.has_answer();
        // The task is gone, by a bug or since its runtime ends: nobody knows what it had pinned.
        outcome.unwrap_or(Outcome::Unknown(id, Why::Closed))
    }

    /// Waits until the ledger has everything that was durable when this was called; for so long.
    ///
    /// # Errors
    /// [`Why`] it may not.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn look(&self, patience: Duration) -> Result<(), Why> {
        let (answer, comes) = oneshot::channel();
        let (caller, deadline) = self.caller(patience);
        let leaves = Leaves::new(caller, &self.commands);
        self.send(Command::Look(caller, deadline, answer));
        let looked = comes.await;
        leaves.has_answer();
        looked.unwrap_or(Err(Why::Closed))
    }

    /// Another host says that the log has come to this place.
    pub fn hint(&self, place: Place) {
        self.send(Command::Hint(place));
    }

    /// How far the log has come, as far as this host knows; other hosts may be told.
    pub fn place(&self) -> watch::Receiver<Option<Place>> {
        self.place.clone()
    }

    /// Leaves the log: refuses what is not pinned, and waits until what is pinned is resolved. That may take as long as the storage is away: whoever
    /// waits no longer drops the future.
    pub async fn leave(&self) {
        self.send(Command::Leave);
        let mut ended = self.ended.clone();
        // Its other end is dropped with the task.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    fn caller(&self, patience: Duration) -> (CallerId, Duration) {
        let number = self.callers.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        (CallerId(number), self.clock.uptime().saturating_add(patience))
    }

    fn send(&self, command: Command<L>) {
        // Without its task, what a command waits for is dropped, which tells.
        let _ = self.commands.send(command);
    }
}
