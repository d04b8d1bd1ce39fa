//! Handlers of statuses: several at a time, of one segment one at a time, and whatever becomes of one is of no concern to the others.

use std::any::Any;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use streamkit_protocol::SegmentStatus;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::standing::{LivePhase, Standing, SubscriptionState};
use super::subscribe::Subscribe;
use super::subscription::Subscription;
use crate::call::Call;
use crate::error::Error;
use crate::hooks::LiveEvent;

/// Handlers at a time, unless told otherwise.
const AT_ONCE: usize = 16;

type OnFailed = Box<dyn FnOnce(Error) + Send>;

/// How handlers are called.
pub struct Handlers {
    subscription: Subscription,
    at_once: usize,
    timeout: Duration,
    on_failed: Option<OnFailed>,
}

impl Handlers {
    pub(super) fn new(subscription: Subscription) -> Self {
        Self {
            timeout: subscription.call().timeout(),
            subscription,
            at_once: AT_ONCE,
            on_failed: None,
        }
    }

    /// So many segments may be handled at a time; 1 at least. Default 16. Of one segment never more than one status is.
    #[must_use]
    pub fn at_once(mut self, segments: usize) -> Self {
        self.at_once = segments.max(1);
        self
    }

    /// The longest that a handler may take; then it is dropped, and the subscription goes on. Default: the client's timeout.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Called once, if the subscription fails for good, after the last handler.
    #[must_use]
    pub fn on_failed(mut self, failed: impl FnOnce(Error) + Send + 'static) -> Self {
        self.on_failed = Some(Box::new(failed));
        self
    }

    /// Begins, in a task of its own. While a segment is handled, or as many as may be, newer statuses take the place of those that wait. A
    /// handler that panics or takes too long is counted, logged and told to [`crate::Builder::on_live`]; the next status of its segment
    /// is handled all the same.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn run<Handler, Handled>(self, handler: Handler) -> Running
    where
        Handler: Fn(SegmentStatus) -> Handled + Send + Sync + 'static,
        Handled: Future<Output = ()> + Send + 'static,
    {
        let standing = self.subscription.standing().clone();
        let (stop, stops) = watch::channel(false);
        let (over, is_over) = watch::channel(None);
        let driver = Driver {
            call: self.subscription.call().clone(),
            of: self.subscription.of().clone(),
            standing: standing.clone(),
            handler: Arc::new(handler),
            timeout: self.timeout,
            at_once: self.at_once,
            at_work: JoinSet::new(),
            busy: HashMap::new(),
        };
        let (subscription, on_failed) = (self.subscription, self.on_failed);
        let task = tokio::spawn(async move {
            let ended = driver.run(subscription, stops).await;
            over.send_replace(Some(ended.clone()));
            if let (Err(error), Some(on_failed)) = (ended, on_failed) {
                on_failed(error);
            }
        });
        Running {
            standing,
            stop,
            is_over,
            task: task.abort_handle(),
        }
    }
}

/// A subscription whose statuses are handled. Dropping it ends it: handlers under way are dropped, too.
pub struct Running {
    standing: Arc<Standing>,
    stop: watch::Sender<bool>,
    is_over: watch::Receiver<Option<Result<(), Error>>>,
    task: AbortHandle,
}

impl Running {
    /// How it stands.
    pub fn state(&self) -> SubscriptionState {
        self.standing.now()
    }

    /// Ends it: no handler begins any more, and those under way come to their end. A handler may call it, too.
    pub fn unsubscribe(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until it is over, and its last handler with it. A handler must not wait for that.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// Why it failed for good; no error if [`Running::unsubscribe`] or [`crate::Client::close`] ended it.
    pub async fn ended(&self) -> Result<(), Error> {
        let mut is_over = self.is_over.clone();
        let over = is_over.wait_for(Option::is_some).await;
        over.map_or(Ok(()), |ended| ended.clone().unwrap_or(Ok(())))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What became of a handler.
enum Outcome {
    Done,
    TimedOut,
    Panicked(String),
}

struct Driver<Handler> {
    call: Call,
    of: Subscribe,
    standing: Arc<Standing>,
    handler: Arc<Handler>,
    timeout: Duration,
    at_once: usize,
    /// Each tells whose it was.
    at_work: JoinSet<(String, Outcome)>,
    /// The segments that are handled, and the newest status of each that came meanwhile.
    busy: HashMap<String, Option<SegmentStatus>>,
}

impl<Handler, Handled> Driver<Handler>
where
    Handler: Fn(SegmentStatus) -> Handled + Send + Sync + 'static,
    Handled: Future<Output = ()> + Send + 'static,
{
    async fn run(mut self, mut subscription: Subscription, mut stops: watch::Receiver<bool>) -> Result<(), Error> {
        let mut closing = self.call.closing();
        let ended = loop {
            tokio::select! {
                biased;
                _ = stops.wait_for(|stops| *stops) => break Ok(()),
                () = closing.begins() => break Ok(()),
                Some(done) = self.at_work.join_next() => self.done(done.ok(), true),
                told = subscription.next(), if self.at_work.len() < self.at_once => match told {
                    Some(Ok(status)) => self.take(status),
                    Some(Err(error)) => break Err(error),
                    None => break Ok(()),
                },
            }
        };
        // It ends on the server at once.
        drop(subscription);
        if ended.is_ok() {
            self.standing.change(|state| state.phase = LivePhase::Ended);
        }
        while let Some(done) = self.at_work.join_next().await {
            // What was told is handled, unless the caller wants no more.
            self.done(done.ok(), ended.is_err());
        }
        ended
    }

    fn take(&mut self, status: SegmentStatus) {
        match self.busy.get_mut(&status.segment) {
            Some(waits) => {
                if waits.replace(status).is_some() {
                    self.standing.change(|state| state.coalesced += 1);
                }
            }
            None => {
                self.busy.insert(status.segment.clone(), None);
                self.handle(status);
            }
        }
    }

    fn handle(&mut self, status: SegmentStatus) {
        let (handler, longest) = (self.handler.clone(), self.timeout);
        let segment = status.segment.clone();
        self.at_work.spawn(async move {
            let handled = AssertUnwindSafe(async { handler(status).await });
            let outcome = match tokio::time::timeout(longest, handled.catch_unwind()).await {
                Ok(Ok(())) => Outcome::Done,
                Ok(Err(panic)) => Outcome::Panicked(said(&*panic)),
                Err(_) => Outcome::TimedOut,
            };
            (segment, outcome)
        });
    }

    /// A handler has come to its end: the next status of its segment has its turn, if there is to be one.
    fn done(&mut self, done: Option<(String, Outcome)>, goes_on: bool) {
        // A panic is caught, and nobody aborts it.
        let Some((segment, outcome)) = done else { return };
        self.count(&segment, outcome);
        match self.busy.remove(&segment).flatten() {
            Some(status) if goes_on => {
                self.busy.insert(segment, None);
                self.handle(status);
            }
            _ => {}
        }
    }

    fn count(&self, segment: &str, outcome: Outcome) {
        let (space, segment) = (self.of.space.clone(), segment.to_owned());
        match outcome {
            Outcome::Done => self.standing.change(|state| state.handled += 1),
            Outcome::TimedOut => {
                tracing::warn!(space, segment, longest = ?self.timeout, "a handler of a status took too long");
                self.standing.change(|state| state.timed_out += 1);
                self.call.tell(&LiveEvent::HandlerTimedOut { space, segment });
            }
            Outcome::Panicked(why) => {
                tracing::error!(space, segment, why, "a handler of a status panicked");
                self.standing.change(|state| state.panicked += 1);
                self.call.tell(&LiveEvent::HandlerPanicked { space, segment, why });
            }
        }
    }
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no text").to_owned()
}
