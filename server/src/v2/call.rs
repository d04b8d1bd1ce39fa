//! One call: what it asks for, and the promise that it ends with a result or an error.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use streamkit_engine::{OpenError, Store, StoreId, Timestamp};
use streamkit_protocol::v2::{self, CallError, Class, Code};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::{Instrument as _, debug_span};
use uuid::Uuid;

use super::answering::Answering;
use super::asked;
use super::failed::Failed;
use super::lines::{First, Line};
use super::room::CallRoom;
use crate::auth::{Right, Rights};
use crate::budgets::FairShare;
use crate::calls::{Call, CallerTrace, continued, serving};
use crate::metrics::{Limit, Outcome};
use crate::shared::Shared;
use crate::stores::StoreUnavailable;
use crate::told;
use crate::verbs::{self, Awaited, Commit, Failure, Kind, Next, Outgoing, Records, SignOfLife, Verb};

/// A call that was begun.
pub(super) struct Begun {
    pub(super) channel: u32,
    pub(super) store: StoreId,
    pub(super) rights: Rights,
    /// What a worker says of itself from time to time.
    pub(super) signs: Option<watch::Receiver<Timestamp>>,
    pub(super) kind: Kind,
    pub(super) caller: Option<CallerTrace>,
    pub(super) out: Outgoing<Answering>,
    /// When to stop.
    pub(super) endings: Endings,
    /// Held while the connection shall stay for it though its token has expired.
    pub(super) stays: Option<TaskTrackerToken>,
    /// Held until it is answered.
    pub(super) holds: Holds,
    pub(super) shared: Arc<Shared>,
}

/// What ends a call from outside.
pub(super) struct Endings {
    /// Its peer wants no more.
    pub(super) cancelled: CancellationToken,
    /// The connection ends.
    pub(super) ending: CancellationToken,
    /// Why it does, once it does.
    pub(super) why: Arc<std::sync::OnceLock<CallError>>,
}

/// What a call holds of what others could have.
#[derive(Default)]
pub(super) struct Holds {
    /// A place among the calls of all connections.
    pub(super) place: Option<FairShare>,
    /// Room for what it asks, if that is not to be stored.
    pub(super) request: Option<FairShare>,
    /// Room for what is to be stored.
    pub(super) room: Option<CallRoom>,
    /// Where its transaction stands in line.
    pub(super) line: Option<Line>,
}

impl Begun {
    /// Does what is asked and answers it, whatever happens in between.
    pub(super) async fn serve(mut self, asked: v2::Call) {
        let begun = self.shared.metrics.operations.begin();
        let id = Uuid::from_u64_pair(0, self.channel.into());
        let span = debug_span!("streamkit.transport.server.request", otel.kind = "server", store = %self.store, channel = self.channel);
        let span = continued(span, self.caller.as_ref());
        let call = Call::new(self.store.0, id, self.caller.as_ref());
        let operation = self.kind.operation();
        let done = serving(call, self.caught(asked)).instrument(span).await;
        let outcome = match &done {
            Ok(()) => Outcome::Done,
            Err(refused) => refused.outcome(),
        };
        self.shared.metrics.operations.ended(begun, operation, outcome);
        match done {
            Ok(()) => self.out.answers().end().await,
            Err(Failed::Verb(Failure::Ending)) => {
                // Of a connection that is gone, nobody is told.
                let why = self.endings.why.get().cloned();
                if let Some(why) = why.or_else(|| self.out.answers().gave_way()) {
                    self.out.answers().fail(&why).await;
                }
            }
            Err(refused) => self.out.answers().fail(&refused.told()).await,
        }
    }

    /// Does it, and catches a panic.
    async fn caught(&mut self, asked: v2::Call) -> Result<(), Failed> {
        match AssertUnwindSafe(self.run(asked)).catch_unwind().await {
            Ok(done) => done,
            Err(_) => {
                tracing::error!("an operation panicked");
                Err(Failed::Ending(CallError::new(
                    Code::UnknownOutcome,
                    Class::Unknown,
                    told::PANIC,
                )))
            }
        }
    }

    async fn run(&mut self, asked: v2::Call) -> Result<(), Failed> {
        let kind = self.kind;
        if kind.is_endless() {
            self.stays = None;
        }
        let _subscription = match kind.is_endless() {
            true => Some(self.subscription()?),
            false => None,
        };
        let verb = match (asked::verb(asked), self.rights.has(Right::Read)) {
            // What stands behind the heads is told to those who may read it.
            (Verb::Commit(commit), false) => Verb::Commit(Commit {
                conflict_bytes: 0,
                ..commit
            }),
            (verb, _) => verb,
        };
        let first = match &self.holds.line {
            Some(line) => Some(line.first().await),
            None => None,
        };
        let store = self.store(kind).await?;
        let around = (&self.shared.live, &*self.shared.metrics);
        let mut whole = Whole {
            first,
            room: self.holds.room.take(),
            signs: self.signs.take(),
            endings: &self.endings,
        };
        verbs::run(verb, store, &mut whole, &self.out, around).await
    }

    fn subscription(&self) -> Result<FairShare, Failed> {
        let place = self.shared.budgets.subscriptions.try_take(self.store.0, 1);
        place.ok_or_else(|| {
            self.shared.metrics.peers.limit_hit(Limit::Subscriptions);
            Failed::TooManyChannels
        })
    }

    async fn store(&self, kind: Kind) -> Result<Arc<dyn Store>, Failed> {
        let opened = tokio::select! {
            opened = self.shared.stores.open(self.store, kind.only_reads()) => opened,
            ended = self.endings.ended() => return Err(ended),
        };
        opened.map_err(|error| {
            if let StoreUnavailable::Open(error) = &error {
                self.shared.metrics.stores.open_failed();
                if let OpenError::TooManyStores(_) | OpenError::TooManyFiles(_) = error {
                    self.shared.metrics.peers.limit_hit(Limit::OpenStores);
                }
            }
            Failure::not_open(error).into()
        })
    }
}

/// A call is here as a whole: nothing comes behind it, but what a worker says of itself.
struct Whole<'a> {
    first: Option<First>,
    room: Option<CallRoom>,
    signs: Option<watch::Receiver<Timestamp>>,
    endings: &'a Endings,
}

impl Records for Whole<'_> {
    type Error = Failed;

    async fn next(&mut self, _: Awaited<'_>) -> Result<Next, Failed> {
        Ok(Next::End)
    }

    fn queued(&mut self) {
        self.first = None;
    }

    fn settled(&mut self) {
        self.room = None;
    }

    async fn sign_of_life(&mut self) -> Result<SignOfLife, Failed> {
        let signs = &mut self.signs;
        let comes = async {
            let Some(signs) = signs else {
                return std::future::pending().await;
            };
            // Its other end lives as long as the call.
            match signs.changed().await {
                Ok(()) => *signs.borrow_and_update(),
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ended = self.endings.ended() => Err(ended),
            at = comes => Ok(SignOfLife { worker: Uuid::nil(), at: Some(at) }),
        }
    }

    fn ended(&mut self) -> impl Future<Output = Failed> {
        self.endings.ended()
    }
}

impl Endings {
    async fn ended(&self) -> Failed {
        tokio::select! {
            biased;
            () = self.ending.cancelled() => Failure::Ending.into(),
            () = self.cancelled.cancelled() => Failure::PeerEnded.into(),
        }
    }
}

/// What a call asks for, as far as it can be read.
pub(super) fn read(body: &Bytes, verb: u8) -> Result<v2::Call, Failed> {
    v2::Call::decode(body)?.ok_or(Failed::UnknownVerb(verb))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn future_bytes<A, B, F>(_: impl FnOnce(A, B) -> F) -> usize {
        size_of::<F>()
    }

    /// A connection may have thousands of appends under way, and each is in a box of this size, or a few bytes more.
    #[test]
    fn an_append_holds_no_room_for_what_other_calls_need() {
        let bytes = future_bytes(Begun::serve);
        assert!(bytes <= 4608, "{bytes}");
    }
}
