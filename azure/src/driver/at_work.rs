//! The task of a log.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use streamkit_engine::clock::Clock;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use super::commands::Command;
use crate::log::{Action, Call, CallId, CallerId, Event, Ledger, LogMeter, Now, Outcome, Place, Said, SharedLog, Why};
use crate::medium::{Medium, Unanswered};

/// A log at work.
pub(super) struct AtWork<L: Ledger> {
    log: SharedLog<L>,
    medium: Arc<dyn Medium>,
    clock: Arc<dyn Clock>,
    place: watch::Sender<Option<Place>>,
    calls: FuturesUnordered<BoxFuture<'static, (CallId, Result<Said, Unanswered>)>>,
    waits: HashMap<CallerId, Waits<L>>,
    meter: Arc<LogMeter>,
}

/// One who waits for an answer.
enum Waits<L: Ledger> {
    ForOutcome(oneshot::Sender<Outcome<L>>),
    ForLook(oneshot::Sender<Result<(), Why>>),
}

impl<L: Ledger + Send> AtWork<L>
where
    L::Home: Send,
{
    pub(super) fn new(
        log: SharedLog<L>,
        medium: Arc<dyn Medium>,
        clock: Arc<dyn Clock>,
        place: watch::Sender<Option<Place>>,
        meter: Arc<LogMeter>,
    ) -> Self {
        Self {
            log,
            medium,
            clock,
            place,
            calls: FuturesUnordered::new(),
            waits: HashMap::new(),
            meter,
        }
    }

    /// Runs until the log is left.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command<L>>) {
        let mut event = Event::Open;
        let mut has_handles = true;
        while !self.happens(event) {
            let wakes = self.log.wakes().map(|at| at.saturating_sub(self.clock.uptime()));
            let tick = async {
                match wakes {
                    Some(after) => sleep(after).await,
                    None => pending().await,
                }
            };
            event = tokio::select! {
                biased;
                Some((call, said)) = self.calls.next() => Event::Said(call, said),
                command = commands.recv(), if has_handles => match command {
                    Some(command) => self.told(command),
                    None => {
                        has_handles = false;
                        Event::Leave
                    }
                },
                () = tick => Event::Tick,
            };
        }
    }

    /// Something happens to the log, and what it wants to be done begins. Whether it is left.
    fn happens(&mut self, event: Event<L::Request>) -> bool {
        let now = Now {
            uptime: self.clock.uptime(),
            wall: self.clock.now(),
        };
        let mut is_left = false;
        // Only what the medium said makes the ledger wait for its disk.
        let actions = match matches!(event, Event::Said(..)) {
            true => may_wait(|| self.log.step(now, event)),
            false => self.log.step(now, event),
        };
        for action in actions {
            match action {
                Action::Call(id, call) => self.begin(id, call),
                Action::Answer(caller, outcome) => {
                    if let Some(Waits::ForOutcome(answer)) = self.waits.remove(&caller) {
                        let _ = answer.send(outcome);
                    }
                }
                Action::Looked(caller, looked) => {
                    if let Some(Waits::ForLook(answer)) = self.waits.remove(&caller) {
                        let _ = answer.send(looked);
                    }
                }
                Action::Hint(_) => {}
                Action::Left => is_left = true,
            }
        }
        self.meter.did(&self.log.take_done());
        let place = self.log.place();
        self.place
            .send_if_modified(|told| std::mem::replace(told, place) != place);
        is_left
    }

    fn begin(&self, id: CallId, call: Call) {
        let (medium, patience) = (self.medium.clone(), call.patience());
        self.calls.push(Box::pin(async move {
            let said = timeout(patience, call.of(&*medium)).await;
            let late = |_| Err(Unanswered::Unknown(format!("no answer within {patience:?}")));
            (id, said.unwrap_or_else(late))
        }));
    }

    fn told(&mut self, command: Command<L>) -> Event<L::Request> {
        match command {
            Command::Ask(caller, request, deadline, answer) => {
                self.waits.insert(caller, Waits::ForOutcome(answer));
                Event::Ask(caller, request, deadline)
            }
            Command::Look(caller, deadline, answer) => {
                self.waits.insert(caller, Waits::ForLook(answer));
                Event::Look(caller, deadline)
            }
            Command::Forget(caller) => {
                self.waits.remove(&caller);
                Event::Forget(caller)
            }
            Command::Hint(place) => Event::Hint(place),
            Command::Leave => Event::Leave,
        }
    }
}

/// Does what may wait for a disk. The other tasks of this thread go on elsewhere meanwhile, where there is an elsewhere.
fn may_wait<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => work(),
        _ => tokio::task::block_in_place(work),
    }
}
