//! One open channel: a request, the verb that it asks for, and the promise that it ends with a terminal message.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use streamkit_engine::{OpenError, Store, StoreId};
use streamkit_protocol::{FrameHead, Terminal};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::answers::Replies;
use super::channels::Channels;
use super::goodbye::Ending;
use super::inbox::RequestRoom;
use super::records::Incoming;
use super::refused::Refused;
use super::requests;
use crate::auth::Rights;
use crate::budgets::FairShare;
use crate::calls::{Call, CallerTrace, continued, serving};
use crate::metrics::{Limit, Operation, Outcome};
use crate::shared::Shared;
use crate::stores::StoreUnavailable;
use crate::told;
use crate::verbs::{self, Failure, Kind, Outgoing};

/// Bytes of an error's text.
const ERROR_BYTES_MAX: usize = 4096;

/// A channel.
pub(super) struct Channel {
    pub(super) head: FrameHead,
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing<Replies>,
    pub(super) why: Ending,
    /// Held while the connection shall stay for it though its token has expired.
    pub(super) call: Option<TaskTrackerToken>,
    pub(super) shared: Arc<Shared>,
}

/// What opened a channel.
pub(super) struct Opening {
    pub(super) message: Bytes,
    /// Held until the channel's last message is queued.
    pub(super) place: (OwnedSemaphorePermit, FairShare),
    /// Room that the request takes while its verb runs.
    pub(super) room: RequestRoom,
    /// The trace of the caller.
    pub(super) caller: Option<CallerTrace>,
    pub(super) rights: Rights,
}

/// How a channel ends.
enum End {
    /// With this message.
    Terminal(Terminal),
    /// With an error frame.
    ErrorFrame(String),
    /// It was ended already, or the connection is gone.
    Silent,
}

impl Channel {
    /// Runs the verb that a request asks for and ends the channel, whatever happens in between.
    pub(super) async fn serve(mut self, opening: Opening, channels: Arc<Channels>) {
        let Opening {
            message,
            place: _place,
            room,
            caller,
            rights,
        } = opening;
        let FrameHead {
            store_id, channel_id, ..
        } = self.head;
        let begun = self.shared.metrics.operations.begin();
        let span = continued(span(&self.head), caller.as_ref());
        let call = Call::new(store_id, channel_id, caller.as_ref());
        let mut asked = None;
        let run = serving(call, self.caught(rights, message, &mut asked));
        let (end, outcome) = run.instrument(span.clone()).await;
        let operation = asked.map_or(Operation::Unknown, Kind::operation);
        self.shared.metrics.operations.ended(begun, operation, outcome);
        told_to(&span, outcome);
        drop(span);
        // From here on late frames of the channel are dropped, so that nothing follows the terminal message.
        let answered = asked == Some(Kind::Append) && matches!(end, End::Terminal(Terminal::Close));
        channels.finish(self.head.channel_id, answered);
        let overloaded = self.incoming.is_overloaded();
        // Sending the last message may have to wait; nobody shall wait meanwhile for what is not needed any more.
        drop((self.incoming, room));
        let out = self.outgoing.answers();
        match end {
            _ if overloaded => {}
            End::Terminal(terminal) => out.end(&terminal.encode()).await,
            End::ErrorFrame(why) => out.end_with_error(&Terminal::Error(why).encode()).await,
            End::Silent => {}
        }
    }

    /// Runs it, and catches a panic.
    async fn caught(&mut self, rights: Rights, message: Bytes, asked: &mut Option<Kind>) -> (End, Outcome) {
        match AssertUnwindSafe(self.run(rights, message, asked)).catch_unwind().await {
            Ok(Ok(())) => (End::Terminal(Terminal::Close), Outcome::Done),
            Ok(Err(refused)) => {
                let outcome = refused.outcome();
                (self.end_of(refused), outcome)
            }
            Err(panic) => {
                let text = panic_text(&*panic);
                tracing::error!(panic = text, "an operation panicked");
                let end = Terminal::CloseError(told::PANIC.to_owned());
                (End::Terminal(end), Outcome::Failed)
            }
        }
    }

    async fn run(&mut self, rights: Rights, message: Bytes, asked: &mut Option<Kind>) -> Result<(), Refused> {
        let request = self.incoming.request(message).await?;
        let kind = requests::kind(&request);
        *asked = Some(kind);
        if kind.is_endless() {
            self.call = None;
        }
        if !rights.has(kind.needs()) {
            return Err(Refused::AccessDenied);
        }
        let _subscription = match kind.is_endless() {
            true => Some(self.subscription()?),
            false => None,
        };
        let store = self.store(kind).await?;
        let verb = match requests::verb(request) {
            Err(Refused::Lease(why)) => {
                self.outgoing.answers().invalid_lease(why).await;
                return Ok(());
            }
            verb => verb?,
        };
        debug_assert_eq!(verb.kind(), kind, "rights were asked for another verb");
        let around = (&self.shared.live, &*self.shared.metrics);
        verbs::run(verb, store, &mut self.incoming, &self.outgoing, around).await
    }

    /// A place among all that stay open until somebody ends them.
    fn subscription(&self) -> Result<FairShare, Refused> {
        let place = self.shared.budgets.subscriptions.try_take(self.head.store_id, 1);
        place.ok_or_else(|| {
            self.shared.metrics.peers.limit_hit(Limit::Subscriptions);
            Refused::TooManyStreams
        })
    }

    async fn store(&self, kind: Kind) -> Result<Arc<dyn Store>, Refused> {
        let id = StoreId(self.head.store_id);
        let opened = tokio::select! {
            opened = self.shared.stores.open(id, kind.only_reads()) => opened,
            () = self.incoming.ending() => return Err(Failure::Ending.into()),
        };
        opened.map_err(|error| {
            // What is not tried again yet was counted when it was.
            if let StoreUnavailable::Open(error) = &error {
                self.shared.metrics.stores.open_failed();
                if let OpenError::TooManyStores(_) | OpenError::TooManyFiles(_) = error {
                    self.shared.metrics.peers.limit_hit(Limit::OpenStores);
                }
            }
            Failure::not_open(error).into()
        })
    }

    fn end_of(&self, refused: Refused) -> End {
        match refused {
            Refused::Failed(Failure::Ending) => match self.why.get() {
                Some(why) => End::Terminal(Terminal::CloseError((*why).to_owned())),
                None => End::Silent,
            },
            Refused::AccessDenied
            | Refused::TooManyStreams
            | Refused::Failed(Failure::Overloaded | Failure::StoreUnavailable) => End::ErrorFrame(refused.to_string()),
            other => End::Terminal(Terminal::CloseError(shortened(other.to_string()))),
        }
    }
}

/// The span of a request: all that is done for one channel.
fn span(
    FrameHead {
        store_id, channel_id, ..
    }: &FrameHead,
) -> Span {
    tracing::debug_span!(
        "streamkit.transport.server.request",
        otel.kind = "server",
        store = %store_id,
        channel = %channel_id,
        outcome = Empty,
        otel.status_code = Empty,
    )
}

/// Tells a span how its request ended.
fn told_to(span: &Span, outcome: Outcome) {
    if !span.is_disabled() {
        span.record("outcome", outcome.name());
        if matches!(outcome, Outcome::Failed | Outcome::Unavailable | Outcome::Overloaded) {
            span.record("otel.status_code", "ERROR");
        }
    }
}

/// A text that may quote what the peer sent, which may be long.
fn shortened(mut why: String) -> String {
    if why.len() > ERROR_BYTES_MAX {
        why.truncate(why.floor_char_boundary(ERROR_BYTES_MAX));
        why.push('…');
        why.shrink_to_fit();
    }
    why
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("unknown")
}
