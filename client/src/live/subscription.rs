//! Subscriptions as streams.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt as _};
use streamkit_protocol::SegmentStatus;

use super::handlers::{Handlers, Running};
use super::resuming::Resuming;
use super::standing::{Standing, SubscriptionState};
use super::statuses::{Statuses, failed_for_good};
use super::subscribe::Subscribe;
use crate::call::Call;
use crate::error::Error;

/// The statuses of a segment, or of all segments of a space: first as they are, then as they change, for as long as it is polled. Whoever
/// is slow is told the newest status of each segment, never an old one behind it; what waits is bounded. If its connection ends, it is made
/// anew over the next one: then come the statuses as they are, so that nothing newer is missed. A status of a space may come twice, then
/// and when two changes are close to each other. Trims and deletes are not told by themselves. Nothing is sent before it is polled, and no
/// status is lost by waiting for the next again and again. It ends with an error alone. Dropping it ends it on the server.
pub struct Subscription {
    call: Call,
    of: Subscribe,
    standing: Arc<Standing>,
    told: Pin<Box<dyn Stream<Item = Result<SegmentStatus, Error>> + Send>>,
}

impl Subscription {
    pub(super) fn new(call: Call, of: Subscribe) -> Self {
        Self::resuming(call, of, Resuming::new)
    }

    /// As part of something else that has begun: whatever breaks off before the server answers it passes by itself, too.
    pub(crate) fn of_what_has_begun(call: Call, of: Subscribe) -> Self {
        Self::resuming(call, of, |patience| {
            let mut resuming = Resuming::new(patience);
            resuming.has_begun();
            resuming
        })
    }

    fn resuming(call: Call, of: Subscribe, resuming: impl FnOnce(Duration) -> Resuming) -> Self {
        let standing = Arc::new(Standing::new());
        let statuses = Statuses::new(call.clone(), of.clone(), standing.clone(), resuming);
        let statuses = statuses.inspect_err(|error| failed_for_good(&call, &of, error, &standing));
        let told = match statuses {
            Ok(statuses) => stream::unfold(Some(statuses), next).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        };
        Self {
            call,
            of,
            standing,
            told: Box::pin(told.fuse()),
        }
    }

    /// How it stands.
    pub fn state(&self) -> SubscriptionState {
        self.standing.now()
    }

    /// Has a handler called for each status, in a task of its own. [`Subscription::handlers`] sets how many at a time, and more.
    pub fn run<Handler, Handled>(self, handler: Handler) -> Running
    where
        Handler: Fn(SegmentStatus) -> Handled + Send + Sync + 'static,
        Handled: Future<Output = ()> + Send + 'static,
    {
        self.handlers().run(handler)
    }

    /// Settings for handlers.
    pub fn handlers(self) -> Handlers {
        Handlers::new(self)
    }

    pub(super) fn call(&self) -> &Call {
        &self.call
    }

    pub(super) fn of(&self) -> &Subscribe {
        &self.of
    }

    pub(super) fn standing(&self) -> &Arc<Standing> {
        &self.standing
    }
}

async fn next(statuses: Option<Statuses>) -> Option<(Result<SegmentStatus, Error>, Option<Statuses>)> {
    let mut statuses = statuses?;
    match statuses.next().await {
        Ok(status) => Some((Ok(status), Some(statuses))),
        Err(error) => Some((Err(error), None)),
    }
}

impl Stream for Subscription {
    type Item = Result<SegmentStatus, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.told.as_mut().poll_next(context)
    }
}
