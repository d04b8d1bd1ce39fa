//! The loop of one connection: it reads the socket, begins calls in their order, and writes what they answer.

use std::pin::pin;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use streamkit_engine::StoreId;
use streamkit_protocol::v2::{
    self, CallError, Class, Code, Credit as Grant, Frame, GoAway, Hello, Kind, Malformed, TRACE, frame,
};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answering::Answering;
use super::asked;
use super::call::{Begun, read};
use super::calls::{Calls, OpenCall};
use super::credit::{Credit, Window};
use super::failed::Failed;
use crate::auth::Scopes;
use crate::budgets::Reads;
use crate::calls::CallerTrace;
use crate::limits::FRAME_BYTES_MAX;
use crate::metrics::Limit;
use crate::peer::Peer;
use crate::shared::Shared;
use crate::term::Term;
use crate::verbs::Outgoing;
use crate::websocket::{Arrived, Broken, Form, Heard, Outbound, Taken, Wire};

struct Conversation {
    shared: Arc<Shared>,
    scopes: Scopes,
    outbound: Outbound,
    calls: Arc<Calls>,
    /// The last channel that was opened.
    last: u32,
    /// What the peer may send.
    window: Arc<Window>,
    /// What the peer wants to hear.
    credit: Arc<Credit>,
    was_greeted: bool,
    reads: Reads,
    ending: CancellationToken,
    why: Arc<OnceLock<CallError>>,
    tasks: TaskTracker,
    /// Calls that end by themselves. Closed when the token has expired.
    under_way: TaskTracker,
}

/// Why a connection ends, and how the WebSocket says so.
struct Parting(CallError, CloseCode);

fn in_order(code: Code, text: &str) -> Parting {
    Parting(CallError::new(code, Class::Transient, text), CloseCode::Normal)
}

fn against_the_rules(why: Malformed) -> Parting {
    let error = CallError::new(Code::Protocol, Class::Permanent, why.to_string());
    Parting(error, CloseCode::Protocol)
}

/// Serves one connection until the peer leaves, its term is over or the server stops.
pub(crate) async fn run(
    upgraded: Upgraded,
    taken: Option<Taken>,
    shared: Arc<Shared>,
    Peer { scopes, expiry, .. }: Peer,
    stopping: CancellationToken,
) {
    let (mut wire, outbound) = Wire::open(upgraded, taken.clone(), shared.clone(), Form::Binary).await;
    let under_way = TaskTracker::new();
    let mut term = Term::new(expiry, shared.limits.token_grace, under_way.clone());
    let mut session = Conversation {
        calls: Arc::default(),
        last: 0,
        window: Arc::new(Window::new()),
        credit: Arc::new(Credit::new(0)),
        was_greeted: false,
        reads: Reads::new(&shared.limits, shared.budgets.clone()),
        ending: CancellationToken::new(),
        why: Arc::default(),
        tasks: TaskTracker::new(),
        under_way,
        shared,
        scopes,
        outbound,
    };
    session.greet();
    let mut heard = Heard::new(taken);
    let silence = session.shared.limits.silence;
    let mut ping = pin!(tokio::time::sleep(silence / 3));
    let goodbye = loop {
        let arrived = tokio::select! {
            biased;
            () = stopping.cancelled() => break Some(in_order(Code::ShuttingDown, "the server is shutting down")),
            () = term.over() => break Some(in_order(Code::TokenExpired, "the token expired")),
            () = &mut ping => {
                if heard.nothing_since() && heard.last().elapsed() > silence {
                    session.shared.metrics.peers.limit_hit(Limit::Silence);
                    break None;
                }
                session.ping();
                ping.set(tokio::time::sleep(silence / 3));
                continue;
            }
            arrived = wire.next() => arrived,
        };
        let message = match arrived {
            Arrived::Frame(message) => message,
            Arrived::Unreadable { too_large: true } => {
                session.shared.metrics.peers.limit_hit(Limit::FrameBytes);
                let error = CallError::new(Code::Protocol, Class::Permanent, "a frame that is too large");
                break Some(Parting(error, CloseCode::Size));
            }
            Arrived::Unreadable { too_large: false } => break Some(against_the_rules(Malformed::text())),
            Arrived::TooSlow => {
                let error = CallError::new(Code::TooSlow, Class::Transient, "a large frame comes too slowly");
                break Some(Parting(error, CloseCode::Again));
            }
            Arrived::Over => break None,
        };
        heard.now();
        tokio::select! {
            biased;
            done = wire.while_writing(session.message(message)) => match done {
                Ok(Ok(())) => {}
                Ok(Err(why)) => break Some(against_the_rules(why)),
                Err(Broken) => break None,
            },
            () = stopping.cancelled() => break Some(in_order(Code::ShuttingDown, "the server is shutting down")),
            () = term.over() => break Some(in_order(Code::TokenExpired, "the token expired")),
        }
        heard.read_on();
    };
    session.end(goodbye, wire).await;
}

impl Conversation {
    fn greet(&self) {
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

    fn ping(&self) {
        self.outbound.ping(|| {
            let mut out = Vec::new();
            frame(&mut out, (0, Kind::Ping), |_| {}, |out| out.extend_from_slice(&[0; 8]));
            out
        });
    }

    /// Does what the frames of a message ask for. It waits for nothing but room for what refuses them.
    async fn message(&mut self, mut message: Bytes) -> Result<(), Malformed> {
        while let Some(came) = Frame::take(&mut message)? {
            if (came.kind == Kind::Hello) == self.was_greeted {
                return Err(Malformed::order());
            }
            match came.kind {
                Kind::Hello => self.greeted(&Hello::decode(&came)?)?,
                Kind::Ping => self.outbound.pong(|| {
                    let mut out = Vec::new();
                    frame(
                        &mut out,
                        (0, Kind::Pong),
                        |_| {},
                        |out| out.extend_from_slice(&came.body),
                    );
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
                Kind::More => self.take_window(&came)?,
                Kind::GoAway | Kind::Data | Kind::End | Kind::Error => return Err(Malformed::side()),
            }
        }
        Ok(())
    }

    fn greeted(&mut self, hello: &Hello) -> Result<(), Malformed> {
        if hello.unknown(&[]).is_some() {
            return Err(Malformed::feature());
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

    fn take_window(&mut self, came: &Frame) -> Result<(), Malformed> {
        match self.window.take(came.bytes()) {
            true => Ok(()),
            false => Err(Malformed::credit()),
        }
    }

    async fn begin(&mut self, came: Frame) -> Result<(), Malformed> {
        self.take_window(&came)?;
        if came.channel != self.last.wrapping_add(1) {
            return Err(Malformed::order());
        }
        self.last = came.channel;
        let (verb, store) = v2::Call::head(&came.body)?;
        let rights = self.scopes.on(store);
        let kind = asked::kind(verb);
        let asked = self.asked(&came, verb, store);
        let credit = asked.as_ref().map_or(0, asked::credit);
        let own = Arc::new(Credit::new(credit));
        let cancelled = CancellationToken::new();
        let answers = Answering::new(came.channel, self.outbound.clone(), (own.clone(), self.credit.clone()));
        let (place, asked) = self.place(store, asked);
        let call = Begun {
            channel: came.channel,
            store,
            rights,
            kind: asked.as_ref().ok().and(kind),
            asked,
            caller: came.fields.trace().map(|trace| CallerTrace {
                trace_id: u128::from_be_bytes(trace.trace_id),
                span_id: u64::from_be_bytes(trace.span_id),
                flags: trace.flags,
                state: None,
            }),
            out: Outgoing::new(store, answers, self.reads.clone()),
            cancelled: cancelled.clone(),
            ending: self.ending.clone(),
            why: self.why.clone(),
            stays: Some(self.under_way.token()),
            place,
            shared: self.shared.clone(),
        };
        self.calls.open(came.channel, OpenCall { credit: own, cancelled });
        let (calls, window, outbound) = (self.calls.clone(), self.window.clone(), self.outbound.clone());
        let (channel, bytes) = (came.channel, came.bytes());
        self.tasks.spawn(async move {
            call.serve().await;
            calls.over(channel);
            if let Some(bytes) = window.answered(bytes) {
                let mut out = Vec::new();
                Grant { channel: 0, bytes }.put(&mut out);
                outbound.last(out);
            }
        });
        Ok(())
    }

    fn asked(&self, came: &Frame, verb: u8, store: StoreId) -> Result<v2::Call, Failed> {
        if self.scopes.on(store) == crate::auth::Rights::NONE {
            return Err(Failed::AccessDenied);
        }
        if let Some(name) = came.fields.unknown(&[TRACE]) {
            return Err(Failed::UnknownField(name.to_owned()));
        }
        if self.under_way.is_closed() {
            let why = CallError::new(Code::TokenExpired, Class::Transient, "the token expired");
            return Err(Failed::Ending(why));
        }
        if self.calls.count() >= self.shared.limits.channels {
            self.shared.metrics.peers.limit_hit(Limit::Channels);
            return Err(Failed::TooManyChannels);
        }
        read(&came.body, verb)
    }

    /// A place among the calls of all connections, if it may be begun.
    fn place(
        &self,
        store: StoreId,
        asked: Result<v2::Call, Failed>,
    ) -> (Option<crate::budgets::FairShare>, Result<v2::Call, Failed>) {
        if asked.is_err() {
            return (None, asked);
        }
        match self.shared.budgets.channels.try_take(store.0, 1) {
            Some(place) => (Some(place), asked),
            None => {
                self.shared.metrics.peers.limit_hit(Limit::AllChannels);
                (None, Err(Failed::TooManyChannels))
            }
        }
    }

    /// Ends every call, then the connection. With a goodbye the peer still listens and is told.
    async fn end(self, goodbye: Option<Parting>, mut wire: Wire) {
        wire.waits_no_longer();
        match &goodbye {
            Some(Parting(why, _)) => {
                let _ = self.why.set(why.clone());
                let mut out = Vec::new();
                let (last, why) = (self.last, why.clone());
                GoAway { last, why }.put(&mut out);
                self.outbound.last(out);
            }
            None => wire.close_queue(),
        }
        // Those that wait for credit are told as well.
        self.credit.end();
        self.calls.end_credit();
        self.ending.cancel();
        self.tasks.close();
        if wire.while_writing(self.tasks.wait()).await.is_err() {
            // Nobody listens any more, but what was begun is brought to its end.
            self.tasks.wait().await;
        }
        drop(self);
        let close = goodbye.map(|Parting(why, code)| CloseFrame {
            code,
            reason: match code {
                CloseCode::Normal => "".into(),
                _ => why.text.chars().take(100).collect::<String>().into(),
            },
        });
        wire.finish(close).await;
    }
}
