//! One open channel: what it received, where it sends, and the promise that it ends with a terminal message.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use streamkit_engine::StoreId;
use streamkit_protocol::limits::REQUEST_BYTES_MAX;
use streamkit_protocol::{FrameHead, Request, Terminal};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::budgets::Budgets;
use super::channels::Channels;
use super::inbox::{InboxReader, Next, Received, RequestRoom, Room};
use super::outbound::{Batch, Outbound};
use super::turn::{Outgoing, Reads};
use super::{ACCESS_DENIED, Ending, OVERLOADED, STORE_UNAVAILABLE};
use crate::auth::Rights;
use crate::http::Shared;
use crate::operations::{self, Failure};
use crate::stores::StoreUnavailable;
use crate::told;

/// A channel as its operation sees it.
pub(crate) struct Channel {
    head: FrameHead,
    outbound: Outbound,
    inbox: InboxReader,
    reads: Reads,
    budgets: Arc<Budgets>,
    ending: CancellationToken,
    why: Ending,
    /// Whether none of the peer's frames overtakes another.
    in_order: bool,
    /// Whether its peer is producing.
    produces: bool,
}

/// What opened a channel.
pub(super) struct Opening {
    pub(super) message: Bytes,
    /// Held until the channel's last message is queued.
    pub(super) place: OwnedSemaphorePermit,
    /// Room that the request takes while its operation runs.
    pub(super) room: RequestRoom,
    /// Where the caller's trace is. The rest of its context is not kept.
    pub(super) traceparent: Option<String>,
    pub(super) rights: Rights,
    /// Whether the peer says that none of its frames overtakes another.
    pub(super) in_order: bool,
}

/// Messages of a channel kept until its request is here, which they have overtaken.
const EARLY_MESSAGES_MAX: usize = 64;

/// Bytes of an error's text.
const ERROR_BYTES_MAX: usize = 4096;

/// Why a read ended before it was complete, as Go servers say it.
const CANCELLED: &str = "context canceled";

/// How an operation's channel ends.
enum End {
    /// With this message.
    Terminal(Terminal),
    /// With an error frame.
    ErrorFrame(&'static str),
    /// It was ended already, or the connection is gone.
    Silent,
}

impl Channel {
    pub(super) fn new(
        head: FrameHead,
        outbound: Outbound,
        inbox: InboxReader,
        (reads, budgets): (Reads, Arc<Budgets>),
        ending: CancellationToken,
        why: Ending,
    ) -> Self {
        Self {
            head,
            outbound,
            inbox,
            reads,
            budgets,
            ending,
            why,
            in_order: true,
            produces: false,
        }
    }

    /// Runs the operation that a request asks for and ends the channel, whatever happens in between.
    pub(super) async fn serve(mut self, shared: Arc<Shared>, opening: Opening, channels: Arc<Channels>) {
        let Opening {
            message,
            place: _place,
            room,
            traceparent,
            rights,
            in_order,
        } = opening;
        self.in_order = in_order;
        let span = tracing::debug_span!("streamkit.transport.server.request", store = %self.head.store_id, traceparent);
        let end = AssertUnwindSafe(self.dispatch(&shared, rights, message))
            .catch_unwind()
            .instrument(span)
            .await
            .unwrap_or_else(|panic| {
                let text = panic_text(&*panic);
                tracing::error!(panic = text, "an operation panicked");
                End::Terminal(Terminal::CloseError(told::PANIC.to_owned()))
            });
        // From here on late frames of the channel are dropped, so that nothing follows the terminal message.
        let answered = self.produces && matches!(end, End::Terminal(Terminal::Close));
        channels.finish(self.head.channel_id, answered);
        let overloaded = self.inbox.overloaded().is_cancelled();
        // Sending the last message may have to wait; nobody shall wait meanwhile for what is not needed any more.
        drop((self.inbox, room));
        if overloaded {
            return;
        }
        match end {
            End::Terminal(terminal) => {
                let terminal = match terminal {
                    Terminal::CloseError(why) => Terminal::CloseError(shortened(why)),
                    other => other,
                };
                let mut last = Batch::new(self.head);
                last.push(&terminal.encode());
                self.outbound.send(last).await;
            }
            End::ErrorFrame(why) => {
                let terminal = Terminal::Error(why.to_owned()).encode();
                self.outbound.send_frame(self.head.error(&terminal)).await;
            }
            End::Silent => {}
        }
    }

    async fn dispatch(&mut self, shared: &Shared, rights: Rights, message: Bytes) -> End {
        if message.len() > REQUEST_BYTES_MAX {
            let bytes = message.len();
            let why = format!("request too large: {bytes} bytes, at most {REQUEST_BYTES_MAX} are allowed");
            return End::Terminal(Terminal::CloseError(why));
        }
        let request = match self.request(message).await {
            Ok(request) => request,
            Err(end) => return end,
        };
        self.produces = matches!(request, Request::Produce(_));
        if !operations::allowed(&request, rights) {
            return End::ErrorFrame(ACCESS_DENIED);
        }
        let store = tokio::select! {
            store = shared.stores.open(StoreId(self.head.store_id), operations::only_reads(&request)) => store,
            () = self.ending.cancelled() => return self.ended(),
        };
        let store = match store {
            Ok(store) => store,
            Err(error) => {
                // What is not tried again yet was counted when it was.
                if let StoreUnavailable::Open(_) = error {
                    shared.metrics.open_failed();
                }
                return End::ErrorFrame(STORE_UNAVAILABLE);
            }
        };
        match operations::run(request, &store, self, &shared.metrics).await {
            Ok(()) => End::Terminal(Terminal::Close),
            Err(Failure::Told(why)) => End::Terminal(Terminal::CloseError(why)),
            Err(Failure::Read(error)) => {
                tracing::warn!(%error, "a read failed");
                shared.metrics.read_failed(&error);
                End::Terminal(Terminal::CloseError(told::read(&error)))
            }
            // Never as if everything had been sent: a peer that only ended its own side would take it for the end.
            Err(Failure::PeerEnded) => End::Terminal(Terminal::CloseError(CANCELLED.to_owned())),
            Err(Failure::Ending) => self.ended(),
            Err(Failure::Overloaded) => End::ErrorFrame(OVERLOADED),
        }
    }

    /// The channel's request: its first message, or one that a record has overtaken.
    async fn request(&mut self, message: Bytes) -> Result<Request, End> {
        let error = match Request::decode(&message) {
            Ok(request) => return Ok(request),
            Err(error) => End::Terminal(Terminal::CloseError(error.to_string())),
        };
        if self.in_order || streamkit_protocol::Record::decode(&message).map_or(0, |record| record.sequence) == 0 {
            return Err(error);
        }
        self.inbox.ask_for_mark();
        let mut early = VecDeque::from([Received {
            message,
            terminal: None,
            mark: false,
            room: Room::default(),
        }]);
        while early.len() < EARLY_MESSAGES_MAX {
            match self.receive(0).await {
                Ok(Some(received)) if received.mark || received.terminal.is_some() => return Err(error),
                Ok(Some(received)) => match Request::decode(&received.message) {
                    Ok(request) => {
                        self.overtaken();
                        self.inbox.put_back(early);
                        return Ok(request);
                    }
                    Err(_) => early.push_back(received),
                },
                Ok(None) => return Err(error),
                Err(_) => return Err(self.ended()),
            }
        }
        Err(error)
    }

    /// Whether none of the peer's frames overtakes another, as it says.
    pub(crate) fn in_order(&self) -> bool {
        self.in_order
    }

    /// Asks for a mark: see [`Received::mark`].
    pub(crate) fn ask_for_mark(&self) {
        self.inbox.ask_for_mark();
    }

    /// Frames of this peer have overtaken each other.
    pub(crate) fn overtaken(&self) {
        self.inbox.overtaken();
    }

    fn ended(&self) -> End {
        match self.why.get() {
            Some(why) => End::Terminal(Terminal::CloseError((*why).to_owned())),
            None => End::Silent,
        }
    }

    /// An empty batch for this channel.
    pub(crate) fn batch(&self) -> Batch {
        Batch::new(self.head)
    }

    /// Sends what was committed, waiting for the peer to make room. It is told even when its session ends: it would not
    /// know otherwise that its records are stored.
    ///
    /// # Errors
    /// [`Failure::Ending`]: stop; nobody will read more. [`Failure::Overloaded`]: the peer has not made room for so long that
    /// others wait for what the channel has received.
    pub(crate) async fn acknowledge(&self, batch: Batch) -> Result<(), Failure> {
        tokio::select! {
            biased;
            sent = self.outbound.send(batch) => if sent { Ok(()) } else { Err(Failure::Ending) },
            () = self.inbox.overloaded().cancelled() => Err(Failure::Ending),
            () = self.inbox.gives_way() => Err(Failure::Overloaded),
        }
    }

    /// The peer's next message or end. `None` if the connection is short of room, nothing is waiting to be received, and
    /// `held` bytes are too much to keep.
    ///
    /// # Errors
    /// [`Failure::Ending`]: the channel or the connection ends.
    pub(crate) async fn receive(&mut self, held: usize) -> Result<Option<Received>, Failure> {
        let overloaded = self.inbox.overloaded().clone();
        tokio::select! {
            biased;
            () = self.ending.cancelled() => Err(Failure::Ending),
            () = overloaded.cancelled() => Err(Failure::Ending),
            next = self.inbox.next(held) => match next {
                Next::Received(received) => Ok(Some(received)),
                Next::TooLarge => Ok(None),
                Next::Over => Err(Failure::Ending),
            },
        }
    }

    /// Does `work`, which answers on its own, until the peer ends the channel. Anything else it sends is ignored.
    ///
    /// # Errors
    /// What `work` fails with; [`Failure::PeerEnded`], [`Failure::Ending`].
    pub(crate) async fn until_ended<T>(
        &mut self,
        work: impl AsyncFnOnce(&Outgoing) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.inbox.end_at_once();
        let outgoing = Outgoing {
            head: self.head,
            outbound: self.outbound.clone(),
            reads: self.reads.clone(),
            budgets: self.budgets.clone(),
        };
        tokio::select! {
            biased;
            // What is complete is not given up, and its peer often ends its side just then.
            done = work(&outgoing) => done,
            ended = self.peer_ended() => Err(ended),
        }
    }

    async fn peer_ended(&mut self) -> Failure {
        loop {
            match self.receive(0).await {
                Ok(Some(received)) if received.terminal.is_some() => return Failure::PeerEnded,
                Ok(_) => {}
                Err(failure) => return failure,
            }
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
