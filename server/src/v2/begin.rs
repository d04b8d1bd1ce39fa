//! How a call begins: whether it may, what it holds until it is answered, and who serves it.

use std::sync::Arc;

use futures_util::{FutureExt as _, poll};
use streamkit_engine::{StoreId, Timestamp};
use streamkit_protocol::v2::{self, CallError, Class, Code, Frame, Kind, Malformed, TRACE, frame};
use tokio::sync::watch;
use tokio::task::unconstrained;
use tokio_util::sync::CancellationToken;

use super::answering::Answering;
use super::asked;
use super::call::{Begun, Endings, Holds, read};
use super::calls::OpenCall;
use super::conversation::{Conversation, ServedCall, give_back, serve};
use super::credit::Credit;
use super::failed::Failed;
use super::room::CallRoom;
use crate::auth::Rights;
use crate::budgets::FairShare;
use crate::calls::CallerTrace;
use crate::metrics::{Limit, Operation};
use crate::verbs::{self, Outgoing};

impl Conversation {
    /// Begins a call, unless it is refused, or its cancel is here as well. It waits for room alone.
    ///
    /// # Errors
    /// [`Malformed`]: the peer broke the rules.
    pub(super) async fn begin(&mut self, came: Frame, is_cancelled: bool) -> Result<(), Malformed> {
        if !self.window.take(came.bytes()) {
            return Err(Malformed::credit());
        }
        if Some(came.channel) != self.last.checked_add(1) {
            return Err(Malformed::order());
        }
        // Unpacked into room that it has: a few bytes may become a whole frame's.
        let (came, unpacked) = match came.is_packed() {
            true => match self.room(came.bytes()).await {
                Some(room) => (came.unpack()?, Some(room)),
                None => {
                    self.refuse(&came, None, &verbs::Failure::Overloaded.into()).await;
                    return Ok(());
                }
            },
            false => (came, None),
        };
        let (verb, store) = v2::Call::head(&came.body)?;
        let mut asked = self.asked(&came, verb, store);
        let is_append = matches!(asked, Ok((verbs::Kind::Append, _)));
        if is_cancelled && asked.is_ok() && !is_append {
            asked = Err(verbs::Failure::PeerEnded.into());
        }
        let unfolded = asked.as_ref().map_or(0, |(_, call)| asked::unfolded_bytes(call));
        let size = (is_append, came.body.len() + unfolded);
        let (asked, mut holds) = self.holds(store, asked, size, unpacked).await;
        // Until here, and until it is refused, it may be as if it had not come: who is told of the last call that was begun makes it anew.
        let (kind, asked) = match asked {
            Ok(asked) => asked,
            Err(refused) => {
                self.refuse(&came, asked::kind(verb), &refused).await;
                return Ok(());
            }
        };
        self.last = came.channel;
        if is_append {
            holds.line = Some(self.lines.before(store));
        }
        let credit = match asked::credit(&asked) {
            u32::MAX => self.unbounded.clone(),
            credit => Arc::new(Credit::new(credit)),
        };
        let cancelled = match is_append {
            true => self.ending.clone(),
            false => CancellationToken::new(),
        };
        let answers = Answering::new(
            (came.channel, self.is_packing),
            self.outbound.clone(),
            (credit.clone(), self.credit.clone()),
            self.shared.limits.give_way,
        );
        let (channel, bytes) = (came.channel, came.bytes());
        let (signs, heard) = match kind {
            verbs::Kind::Watch => Some(watch::channel(Timestamp(0))).unzip(),
            _ => (None, None),
        };
        let call = Begun {
            channel,
            store,
            rights: self.scopes.on(store),
            kind,
            signs: heard,
            caller: caller(&came),
            out: Outgoing::new(store, answers, self.reads.clone()),
            endings: Endings {
                cancelled: cancelled.clone(),
                ending: self.ending.clone(),
                why: self.why.clone(),
            },
            stays: Some(self.under_way.token()),
            holds,
            shared: self.shared.clone(),
        };
        if !is_append {
            let open = OpenCall {
                credit,
                cancelled,
                signs,
            };
            self.calls.open(channel, open);
            let (served, calls) = (self.served(call, asked, bytes), self.calls.clone());
            self.tasks.spawn(async move {
                served.await;
                calls.over(channel);
            });
            return Ok(());
        }
        let mut served = self.served(call, asked, bytes);
        // Whatever budget of its turn this task has left: so it stands in line before what comes behind it.
        if poll!(unconstrained(&mut served)).is_pending() {
            self.appends.push(served);
        }
        Ok(())
    }

    /// A call of so many bytes, served. In a box: it is large, and an idle connection is not to hold room for it.
    fn served(&self, call: Begun, asked: v2::Call, bytes: usize) -> ServedCall {
        let (window, outbound) = (self.window.clone(), self.outbound.clone());
        // No block around it, which would hold room for the call a second time.
        let served = call.serve(asked);
        Box::pin(served.map(move |()| give_back(&window, bytes, &outbound)))
    }

    /// Ends a call with an error as soon as it begins, without a task of its own. It waits for refusals before it that the peer has not taken: while it
    /// does, nothing further is read of the peer.
    async fn refuse(&mut self, came: &Frame, kind: Option<verbs::Kind>, refused: &Failed) {
        let operations = &self.shared.metrics.operations;
        let operation = kind.map_or(Operation::Unknown, verbs::Kind::operation);
        operations.ended(operations.begin(), operation, refused.outcome());
        let mut out = Vec::new();
        let error = refused.told();
        frame(&mut out, (came.channel, Kind::Error), |_| {}, |out| error.put(out));
        let outbound = self.outbound.clone();
        tokio::select! {
            biased;
            () = outbound.refuse(out) => {}
            never = serve(&mut self.appends) => match never {},
        }
        self.last = came.channel;
        self.answered(came.bytes());
    }

    /// What a call asks for, or why it is not begun.
    fn asked(&self, came: &Frame, verb: u8, store: StoreId) -> Result<(verbs::Kind, v2::Call), Failed> {
        let rights = self.scopes.on(store);
        if rights == Rights::NONE {
            return Err(Failed::AccessDenied);
        }
        let kind = asked::kind(verb).ok_or(Failed::UnknownVerb(verb))?;
        if !rights.has(kind.needs()) {
            return Err(Failed::AccessDenied);
        }
        if let Some(name) = came.fields.unknown(&[TRACE]) {
            return Err(Failed::UnknownField(name.to_owned()));
        }
        if self.under_way.is_closed() {
            let why = CallError::new(Code::TokenExpired, Class::Transient, "the token expired");
            return Err(Failed::Ending(why));
        }
        if self.calls.count() + self.appends.len() >= self.shared.limits.channels {
            self.shared.metrics.peers.limit_hit(Limit::Channels);
            return Err(Failed::TooManyChannels);
        }
        Ok((kind, read(&came.body, verb)?))
    }

    /// What a call of so many bytes holds, if it may be begun.
    async fn holds<T>(
        &mut self,
        store: StoreId,
        asked: Result<T, Failed>,
        (is_append, bytes): (bool, usize),
        unpacked: Option<CallRoom>,
    ) -> (Result<T, Failed>, Holds) {
        let mut holds = Holds::default();
        let asked = match asked {
            Ok(asked) => asked,
            Err(refused) => return (Err(refused), holds),
        };
        holds.place = self.place(store);
        if holds.place.is_none() {
            return (Err(Failed::TooManyChannels), holds);
        }
        let has_room = match is_append {
            true => {
                holds.room = match unpacked {
                    Some(room) => Some(room),
                    None => self.room(bytes).await,
                };
                holds.room.is_some()
            }
            false => {
                holds.request = self.shared.budgets.requests.try_take(store.0, bytes);
                holds.request.is_some()
            }
        };
        if !has_room {
            self.shared.metrics.peers.limit_hit(Limit::Inbound);
            return (Err(verbs::Failure::Overloaded.into()), holds);
        }
        (Ok(asked), holds)
    }

    fn place(&self, store: StoreId) -> Option<FairShare> {
        let place = self.shared.budgets.channels.try_take(store.0, 1);
        if place.is_none() {
            self.shared.metrics.peers.limit_hit(Limit::AllChannels);
        }
        place
    }

    /// Room for an append. While it waits, those before it go on.
    async fn room(&mut self, bytes: usize) -> Option<CallRoom> {
        tokio::select! {
            biased;
            room = self.rooms.take(bytes) => room,
            never = serve(&mut self.appends) => match never {},
        }
    }
}

fn caller(came: &Frame) -> Option<CallerTrace> {
    came.fields.trace().map(|trace| CallerTrace {
        trace_id: u128::from_be_bytes(trace.trace_id),
        span_id: u64::from_be_bytes(trace.span_id),
        flags: trace.flags,
        state: None,
    })
}
