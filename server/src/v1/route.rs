//! What a frame of the peer does: it opens a channel, goes into the inbox of one, or is refused. It waits for nothing but room.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use bytes::Bytes;
use streamkit_engine::StoreId;
use streamkit_protocol::{Control, Frame, FrameHead, Terminal, TraceContext};
use uuid::Uuid;

use super::answers::Replies;
use super::channel::{Channel, Opening};
use super::channels::Admission;
use super::ends::{Doubt, Waiting, What};
use super::goodbye::TOKEN_EXPIRED;
use super::inbox::{Ask, Inbox};
use super::records::Incoming;
use super::refused::{ACCESS_DENIED, OTHER_STORE, OVERLOADED, TOO_LATE, TOO_MANY_STREAMS, UNPROVEN};
use super::session::{Seen, Session, Work};
use crate::auth::Rights;
use crate::calls::CallerTrace;
use crate::metrics::Limit;
use crate::verbs::Outgoing;

impl Session {
    pub(super) async fn work(&mut self, work: Work) -> ControlFlow<()> {
        match work {
            Work::Route(frame, bytes) => self.route(frame, bytes).await,
            Work::Settle(seen) => {
                self.settle(seen);
                ControlFlow::Continue(())
            }
        }
    }

    async fn route(&mut self, frame: Frame, bytes: usize) -> ControlFlow<()> {
        let now = Instant::now();
        if self.ends.frame_came(bytes) {
            self.settle(Seen {
                empty: false,
                quiet: Duration::ZERO,
            });
        }
        if !self.in_order {
            self.ping_if_wanted(now);
        }
        match frame.control {
            Control::Data => self.data(frame).await,
            Control::Error => self.error(frame).await,
            Control::Ping => self.outbound.pong(|| Frame::connection(Control::Pong).encode()),
            Control::Pong => {
                self.ends.ponged(now);
                if !self.in_order {
                    self.ping_if_wanted(now);
                }
            }
            Control::Unknown(_) => {}
            Control::Close => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    pub(super) fn ping(&mut self) {
        if self.outbound.ping(|| Frame::connection(Control::Ping).encode()) {
            self.ends.pinged(Instant::now());
        }
    }

    fn ping_if_wanted(&mut self, now: Instant) {
        if self.ends.wants_ping(now) {
            self.ping();
        }
    }

    /// Does what a channel asks for.
    pub(super) fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::Overtaken => self.ends.overtaken(Instant::now()),
            Ask::Mark(id) => {
                if let Admission::Open(_, inbox) = self.channels.find(id) {
                    self.let_wait(FrameHead::new(Uuid::nil(), id), inbox, What::Mark, Doubt::Much);
                }
            }
        }
    }

    fn let_wait(&mut self, head: FrameHead, inbox: Inbox, what: What, doubt: Doubt) {
        let now = Instant::now();
        self.ends.wait(head, inbox, what, doubt, (self.channels.count(), now));
        self.ping_if_wanted(now);
    }

    /// Gives channels the ends and marks that have waited long enough.
    fn settle(&mut self, Seen { empty, quiet }: Seen) {
        self.ends.later(self.stood.more(), Instant::now());
        for waiting in self.ends.take(empty, quiet, Instant::now()) {
            self.give(waiting);
        }
    }

    pub(super) fn give(&self, Waiting { head, inbox, what, .. }: Waiting) {
        match what {
            What::Mark => inbox.mark(),
            What::End(_) => inbox.end(Terminal::Close),
            What::Unproven => {
                tracing::warn!(store = %head.store_id, "{UNPROVEN}");
                inbox.end(Terminal::CloseError(UNPROVEN.to_owned()));
            }
        }
    }

    async fn data(&mut self, mut frame: Frame) {
        let head = FrameHead::new(frame.store_id, frame.channel_id);
        let rights = self.scopes.on(StoreId(frame.store_id));
        let found = self.channels.find(head.channel_id);
        if let Admission::Open(store, inbox) = &found
            && *store != head.store_id
        {
            self.ends.forget(head.channel_id);
            return self.break_off(inbox, head, OTHER_STORE).await;
        }
        if rights == Rights::NONE {
            return self.refuse(head, ACCESS_DENIED).await;
        }
        let context = frame.trace_context.take();
        let message = frame.message();
        let terminal = Terminal::decode(&message);
        match found {
            Admission::Open(_, inbox) => self.received(inbox, head, message, terminal).await,
            Admission::Finished => {
                if terminal.is_some() || !self.channels.came_late(head.channel_id) {
                    return;
                }
                self.came_late(head).await;
            }
            // A stray end of something we do not know ends nothing and is not answered, but it may have overtaken its request.
            Admission::Unknown | Admission::Full if terminal.is_some() => {
                if !self.in_order && terminal == Some(Terminal::Close) {
                    self.channels.ended_early(head.channel_id);
                }
            }
            Admission::Full => {
                self.channels.finish(head.channel_id, false);
                self.shared.metrics.peers.limit_hit(Limit::Channels);
                self.refuse(head, TOO_MANY_STREAMS).await;
            }
            Admission::Unknown if self.calls.is_closed() => {
                self.channels.finish(head.channel_id, false);
                // As an error frame: nothing of the call was begun.
                self.refuse(head, TOKEN_EXPIRED.why).await;
            }
            Admission::Unknown => {
                let Some(room) = self.inboxes.request(head.store_id, message.len()) else {
                    self.channels.finish(head.channel_id, false);
                    self.shared.metrics.peers.limit_hit(Limit::Requests);
                    return self.refuse(head, OVERLOADED).await;
                };
                let Some(of_all) = self.shared.budgets.channels.try_take(head.store_id, 1) else {
                    self.channels.finish(head.channel_id, false);
                    self.shared.metrics.peers.limit_hit(Limit::AllChannels);
                    return self.refuse(head, TOO_MANY_STREAMS).await;
                };
                let Ok(place) = self.places.clone().acquire_owned().await else {
                    return;
                };
                let opening = Opening {
                    message,
                    place: (place, of_all),
                    room,
                    caller: context.as_ref().and_then(caller),
                    rights,
                };
                let inbox = self.open(head, opening);
                if self.channels.take_early_end(head.channel_id) {
                    self.ends.overtaken(Instant::now());
                    let end = Bytes::from(Terminal::Close.encode());
                    self.let_wait(head, inbox, What::End(end), Doubt::Much);
                }
            }
        }
    }

    /// A record came behind the end of its produce, and after that was taken for the end.
    async fn came_late(&mut self, head: FrameHead) {
        self.ends.overtaken(Instant::now());
        self.shared.metrics.arrivals.record_came_late();
        tracing::warn!(store = %head.store_id, "{TOO_LATE}");
        self.refuse(head, TOO_LATE).await;
    }

    /// A message of an open channel, or its end.
    async fn received(&mut self, inbox: Inbox, head: FrameHead, message: Bytes, terminal: Option<Terminal>) {
        match terminal {
            Some(Terminal::Close) if !self.in_order => {
                let doubt = self.ends.doubt(&inbox, Instant::now());
                self.let_wait(head, inbox, What::End(message), doubt);
            }
            Some(_) => {
                self.ends.forget(head.channel_id);
                self.deliver(&inbox, head, message, terminal).await;
            }
            None if !self.in_order && inbox.has_ended() => {
                // Its produce is just being stored without this.
                self.channels.finish(head.channel_id, false);
                inbox.overload();
                self.came_late(head).await;
            }
            None => {
                self.ends.message_came(head.channel_id, Instant::now());
                inbox.count();
                self.deliver(&inbox, head, message, None).await;
            }
        }
    }

    fn open(&mut self, head: FrameHead, opening: Opening) -> Inbox {
        self.ends.opened();
        let (inbox, received) = self.inboxes.channel(head.channel_id);
        self.channels.open(head, inbox.clone());
        let replies = Replies::new(head, self.outbound.clone(), received.pressure().clone());
        let ending = self.ending.child_token();
        let channel = Channel {
            head,
            incoming: Incoming::new(received, self.in_order, ending, self.shared.clone()),
            outgoing: Outgoing::new(StoreId(head.store_id), replies, self.reads.clone()),
            why: self.why.clone(),
            call: Some(self.calls.token()),
            shared: self.shared.clone(),
        };
        self.tasks.spawn(channel.serve(opening, self.channels.clone()));
        inbox
    }

    /// An error frame ends the channel as an error message in a data frame does.
    async fn error(&mut self, frame: Frame) {
        let head = FrameHead::new(frame.store_id, frame.channel_id);
        if let Admission::Open(_, inbox) = self.channels.find(head.channel_id) {
            self.ends.forget(head.channel_id);
            let message = frame.message();
            let terminal = Terminal::decode(&message).unwrap_or_else(|| Terminal::Error("unknown".to_owned()));
            self.deliver(&inbox, head, message, Some(terminal)).await;
        }
    }

    async fn deliver(&mut self, inbox: &Inbox, head: FrameHead, message: Bytes, terminal: Option<Terminal>) {
        let holding = || self.channels.holding_room();
        if self.inboxes.deliver(inbox, message, terminal, holding).await.is_err() {
            self.shared.metrics.peers.limit_hit(Limit::Inbound);
            self.break_off(inbox, head, OVERLOADED).await;
        }
    }

    /// Ends a channel with an error frame: what its peer meant cannot be done.
    async fn break_off(&mut self, inbox: &Inbox, head: FrameHead, why: &str) {
        self.channels.finish(head.channel_id, false);
        inbox.overload();
        self.refuse(head, why).await;
    }

    async fn refuse(&mut self, head: FrameHead, why: &str) {
        let terminal = Terminal::Error(why.to_owned()).encode();
        let frame = self.refusing.insert(head.error(&terminal)).clone();
        self.outbound.refuse(frame).await;
        self.refusing = None;
    }
}

/// The trace of the caller, if the frame brings one.
fn caller(context: &TraceContext) -> Option<CallerTrace> {
    let state = context.get("tracestate").map(String::as_str);
    CallerTrace::read(context.get("traceparent")?, state)
}
