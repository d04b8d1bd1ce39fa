//! What the frames of a connection ask for, one after the other.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::poll;
use futures_util::stream::FuturesUnordered;
use streamkit_engine::StoreId;
use streamkit_protocol::v2::{
    self, CallError, Class, Code, Credit as Grant, FRAME_BYTES_MAX, Frame, GoAway, Hello, Kind, Malformed, TRACE, frame,
};
use tokio::task::unconstrained;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answering::Answering;
use super::asked;
use super::call::{Begun, Endings, Holds, read};
use super::calls::{Calls, OpenCall};
use super::credit::{Credit, Window};
use super::failed::Failed;
use super::lines::Lines;
use super::room::{CallRoom, Rooms};
use crate::auth::{Rights, Scopes};
use crate::budgets::{FairShare, Reads};
use crate::calls::CallerTrace;
use crate::metrics::Limit;
use crate::shared::Shared;
use crate::verbs::{self, Outgoing};
use crate::websocket::Outbound;

/// One with a peer.
pub(super) struct Conversation {
    shared: Arc<Shared>,
    scopes: Scopes,
    outbound: Outbound,
    calls: Arc<Calls>,
    /// Appends, which this task serves itself.
    appends: FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send>>>,
    lines: Lines,
    /// The last channel that was begun.
    last: u32,
    /// What the peer may send.
    window: Arc<Window>,
    rooms: Rooms,
    /// What the peer wants to hear.
    credit: Arc<Credit>,
    /// That of a call which bounds nothing itself.
    unbounded: Arc<Credit>,
    was_greeted: bool,
    reads: Reads,
    ending: CancellationToken,
    why: Arc<OnceLock<CallError>>,
    tasks: TaskTracker,
    /// Calls that end by themselves. Closed when the token has expired.
    under_way: TaskTracker,
}

/// Says that the server lives.
pub(super) struct Pinger(Outbound);

impl Pinger {
    pub(super) fn ping(&self) {
        self.0.ping(|| {
            let mut out = Vec::new();
            frame(&mut out, (0, Kind::Ping), |_| {}, |out| out.extend_from_slice(&[0; 8]));
            out
        });
    }
}

impl Conversation {
    pub(super) fn new(shared: Arc<Shared>, scopes: Scopes, outbound: Outbound, under_way: TaskTracker) -> Self {
        Self {
            scopes,
            outbound,
            calls: Arc::default(),
            appends: FuturesUnordered::new(),
            lines: Lines::default(),
            last: 0,
            window: Arc::new(Window::new()),
            rooms: Rooms::new(shared.budgets.inbound.clone()),
            credit: Arc::new(Credit::new(0)),
            unbounded: Arc::new(Credit::unbounded()),
            was_greeted: false,
            reads: Reads::new(&shared.limits, shared.budgets.clone()),
            ending: CancellationToken::new(),
            why: Arc::default(),
            tasks: TaskTracker::new(),
            under_way,
            shared,
        }
    }

    pub(super) fn pings(&self) -> Pinger {
        Pinger(self.outbound.clone())
    }

    /// Sends the first frame.
    pub(super) fn greet(&self) {
        let hello = Hello {
            frame_bytes: u32::try_from(FRAME_BYTES_MAX).unwrap_or(u32::MAX),
            channels: u32::try_from(self.shared.limits.channels).unwrap_or(u32::MAX),
            credit: Window::BYTES,
            features: Vec::new(),
        };
        let mut out = Vec::new();
        hello.put(&mut out);
        self.outbound.last(out);
    }

    /// Goes on with appends for ever.
    ///
    /// Cancel safe.
    pub(super) async fn serve(&mut self) -> Infallible {
        serve(&mut self.appends).await
    }

    /// Does what the frames of a message ask for. It waits for room alone.
    ///
    /// # Errors
    /// [`Malformed`]: the peer broke the rules.
    pub(super) async fn message(&mut self, mut message: Bytes) -> Result<(), Malformed> {
        while let Some(came) = Frame::take(&mut message)? {
            if (came.kind == Kind::Hello) == self.was_greeted {
                return Err(Malformed::order());
            }
            match came.kind {
                Kind::Hello => self.greeted(&Hello::decode(&came)?)?,
                Kind::Ping => self.outbound.pong(|| {
                    let mut out = Vec::new();
                    let body = |out: &mut Vec<u8>| out.extend_from_slice(came.body.get(..8).unwrap_or_default());
                    frame(&mut out, (0, Kind::Pong), |_| {}, body);
                    out
                }),
                Kind::Pong => {}
                Kind::Credit => self.wants(&Grant::decode(&came)?),
                Kind::Call => self.begin(came).await?,
                Kind::Cancel => {
                    if let Some(call) = self.calls.find(came.channel) {
                        call.cancelled.cancel();
                    }
                }
                // No call takes any.
                Kind::More | Kind::GoAway | Kind::Data | Kind::End | Kind::Error => return Err(Malformed::side()),
            }
        }
        Ok(())
    }

    fn greeted(&mut self, hello: &Hello) -> Result<(), Malformed> {
        if hello.unknown(&[]).is_some() {
            return Err(Malformed::feature());
        }
        if (hello.frame_bytes as usize) < FRAME_BYTES_MAX {
            return Err(Malformed::frame_bytes());
        }
        self.was_greeted = true;
        self.credit.add(hello.credit);
        Ok(())
    }

    fn wants(&self, grant: &Grant) {
        match grant.channel {
            0 => self.credit.add(grant.bytes),
            channel => {
                if let Some(call) = self.calls.find(channel) {
                    call.credit.add(grant.bytes);
                }
            }
        }
    }

    async fn begin(&mut self, came: Frame) -> Result<(), Malformed> {
        if !self.window.take(came.bytes()) {
            return Err(Malformed::credit());
        }
        if Some(came.channel) != self.last.checked_add(1) {
            return Err(Malformed::order());
        }
        let (verb, store) = v2::Call::head(&came.body)?;
        let kind = asked::kind(verb);
        let asked = self.asked(&came, verb, store);
        let is_append = asked.is_ok() && kind == Some(verbs::Kind::Append);
        let (asked, mut holds) = self.holds(store, asked, (is_append, came.body.len())).await;
        // Until here, it may be as if it had not come: who is told of the last call that was begun makes it anew.
        self.last = came.channel;
        if is_append {
            holds.line = Some(self.lines.before(store));
        }
        let credit = match asked.as_ref().map_or(0, asked::credit) {
            u32::MAX => self.unbounded.clone(),
            credit => Arc::new(Credit::new(credit)),
        };
        let cancelled = match is_append {
            true => self.ending.clone(),
            false => CancellationToken::new(),
        };
        let answers = Answering::new(
            came.channel,
            self.outbound.clone(),
            (credit.clone(), self.credit.clone()),
        );
        let (channel, bytes) = (came.channel, came.bytes());
        let call = Begun {
            channel,
            store,
            rights: self.scopes.on(store),
            kind: asked.as_ref().ok().and(kind),
            asked,
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
        let (calls, window, outbound) = (self.calls.clone(), self.window.clone(), self.outbound.clone());
        let serves = async move {
            call.serve().await;
            if !is_append {
                calls.over(channel);
            }
            if let Some(bytes) = window.answered(bytes) {
                let mut out = Vec::new();
                Grant { channel: 0, bytes }.put(&mut out);
                outbound.last(out);
            }
        };
        if !is_append {
            self.calls.open(channel, OpenCall { credit, cancelled });
            self.tasks.spawn(serves);
            return Ok(());
        }
        let mut serves: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(serves);
        // Whatever budget of its turn this task has left: so it stands in line before what comes behind it.
        if poll!(unconstrained(&mut serves)).is_pending() {
            self.appends.push(serves);
        }
        Ok(())
    }

    fn asked(&self, came: &Frame, verb: u8, store: StoreId) -> Result<v2::Call, Failed> {
        if self.scopes.on(store) == Rights::NONE {
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
        read(&came.body, verb)
    }

    /// What a call of so many bytes holds, if it may be begun.
    async fn holds(
        &mut self,
        store: StoreId,
        asked: Result<v2::Call, Failed>,
        (is_append, bytes): (bool, usize),
    ) -> (Result<v2::Call, Failed>, Holds) {
        let mut holds = Holds::default();
        let asked = match asked {
            Ok(asked) => asked,
            refused => return (refused, holds),
        };
        holds.place = self.place(store);
        if holds.place.is_none() {
            return (Err(Failed::TooManyChannels), holds);
        }
        let has_room = match is_append {
            true => {
                holds.room = self.room(bytes).await;
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

    /// Tells the peer why the connection ends, and what was not begun.
    pub(super) fn part(&self, why: CallError) {
        let _ = self.why.set(why.clone());
        let mut out = Vec::new();
        GoAway { last: self.last, why }.put(&mut out);
        self.outbound.last(out);
    }

    /// Endings all calls, and waits until each has ended.
    pub(super) async fn end(mut self) {
        // Those that wait for credit are told as well.
        self.credit.end();
        self.unbounded.end();
        self.calls.end_credit();
        self.ending.cancel();
        self.tasks.close();
        while self.appends.next().await.is_some() {}
        self.tasks.wait().await;
    }
}

async fn serve(appends: &mut FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send>>>) -> Infallible {
    poll_fn(|cx| {
        while let Poll::Ready(Some(())) = appends.poll_next_unpin(cx) {}
        Poll::Pending
    })
    .await
}

fn caller(came: &Frame) -> Option<CallerTrace> {
    came.fields.trace().map(|trace| CallerTrace {
        trace_id: u128::from_be_bytes(trace.trace_id),
        span_id: u64::from_be_bytes(trace.span_id),
        flags: trace.flags,
        state: None,
    })
}
