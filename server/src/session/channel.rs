//! One open channel: what it received, where it sends, and the promise that it ends with a terminal message.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use streamkit_engine::StoreId;
use streamkit_protocol::{FrameHead, Terminal, TraceContext};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::channels::Channels;
use super::outbound::{Batch, Outbound};
use super::{ACCESS_DENIED, Ending, STORE_UNAVAILABLE};
use crate::auth::Rights;
use crate::http::Shared;
use crate::limits::Limits;
use crate::operations::{self, Failure};

/// What a message costs in an inbox beside its bytes.
const MESSAGE_OVERHEAD_BYTES: usize = 64;

/// Makes inboxes that share a connection's bound.
pub(super) struct Inboxes {
    connection: Arc<Semaphore>,
    channel_bytes: usize,
    wait: Duration,
}

/// The sending end of a channel's inbox.
#[derive(Clone)]
pub(super) struct Inbox {
    queue: mpsc::UnboundedSender<Received>,
    room: Arc<Semaphore>,
    overloaded: CancellationToken,
}

/// The channel did not take its messages.
pub(super) struct Overloaded;

/// One message of the peer, or its end. Holds its room in the inbox until dropped.
pub(crate) struct Received {
    pub(crate) message: Bytes,
    pub(crate) terminal: Option<Terminal>,
    pub(crate) room: Vec<OwnedSemaphorePermit>,
}

impl Inboxes {
    pub(super) fn new(limits: &Limits) -> Self {
        let most = u32::MAX as usize >> 4;
        Self {
            connection: Arc::new(Semaphore::new(limits.connection_inbound_bytes.min(most))),
            channel_bytes: limits.channel_inbound_bytes.min(most),
            wait: limits.inbound_wait,
        }
    }

    pub(super) fn channel(&self) -> (Inbox, InboxReader) {
        let (queue, received) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(self.channel_bytes));
        let overloaded = CancellationToken::new();
        let reader = InboxReader {
            received,
            overloaded: overloaded.clone(),
        };
        (
            Inbox {
                queue,
                room,
                overloaded,
            },
            reader,
        )
    }

    /// Puts a message into an inbox, waiting for room there but not forever.
    pub(super) async fn deliver(
        &self,
        inbox: &Inbox,
        message: Bytes,
        terminal: Option<Terminal>,
    ) -> Result<(), Overloaded> {
        let bytes = (message.len() + MESSAGE_OVERHEAD_BYTES).min(self.channel_bytes);
        let bytes = u32::try_from(bytes).map_err(|_| Overloaded)?;
        let whole = self
            .connection
            .clone()
            .try_acquire_many_owned(bytes)
            .map_err(|_| Overloaded)?;
        let own = match inbox.room.clone().try_acquire_many_owned(bytes) {
            Ok(permit) => permit,
            Err(_) => tokio::select! {
                permit = tokio::time::timeout(self.wait, inbox.room.clone().acquire_many_owned(bytes)) => {
                    permit.map_err(|_| Overloaded)?.map_err(|_| Overloaded)?
                }
                // The operation ended meanwhile: the message is late, and dropped.
                () = inbox.queue.closed() => return Ok(()),
            },
        };
        let room = vec![whole, own];
        let _ = inbox.queue.send(Received {
            message,
            terminal,
            room,
        });
        Ok(())
    }
}

impl Inbox {
    /// Ends the channel: it was told so by an error frame already.
    pub(super) fn overload(&self) {
        self.overloaded.cancel();
    }
}

/// The receiving end of a channel's inbox.
pub(super) struct InboxReader {
    received: mpsc::UnboundedReceiver<Received>,
    overloaded: CancellationToken,
}

/// A channel as its operation sees it.
pub(crate) struct Channel {
    head: FrameHead,
    outbound: Outbound,
    inbox: InboxReader,
    ending: CancellationToken,
    why: Ending,
}

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
        ending: CancellationToken,
        why: Ending,
    ) -> Self {
        Self {
            head,
            outbound,
            inbox,
            ending,
            why,
        }
    }

    /// Runs the operation that `message` asks for and ends the channel, whatever happens in between.
    pub(super) async fn serve(
        mut self,
        shared: Arc<Shared>,
        rights: Rights,
        message: Bytes,
        trace: Option<TraceContext>,
        channels: Arc<Channels>,
    ) {
        let traceparent = trace.as_ref().and_then(|trace| trace.get("traceparent"));
        let span = tracing::debug_span!("streamkit.transport.server.request", store = %self.head.store_id, traceparent);
        let end = AssertUnwindSafe(self.dispatch(&shared, rights, message))
            .catch_unwind()
            .instrument(span)
            .await
            .unwrap_or_else(|panic| {
                let text = panic_text(&*panic);
                tracing::error!(panic = text, "an operation panicked");
                End::Terminal(Terminal::CloseError(format!("panic: {text}")))
            });
        // From here on late frames of the channel are dropped, so that nothing follows the terminal message.
        channels.finish(self.head.channel_id);
        if self.inbox.overloaded.is_cancelled() {
            return;
        }
        match end {
            End::Terminal(terminal) => {
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
        let request = match streamkit_protocol::Request::decode(&message) {
            Ok(request) => request,
            Err(error) => return End::Terminal(Terminal::CloseError(error.to_string())),
        };
        drop(message);
        if !operations::allowed(&request, rights) {
            return End::ErrorFrame(ACCESS_DENIED);
        }
        let store = tokio::select! {
            store = shared.stores.open(StoreId(self.head.store_id)) => store,
            () = self.ending.cancelled() => return self.ended(),
        };
        let Ok(store) = store else {
            return End::ErrorFrame(STORE_UNAVAILABLE);
        };
        match operations::run(request, &*store, self).await {
            Ok(()) => End::Terminal(Terminal::Close),
            Err(Failure::Told(why)) => End::Terminal(Terminal::CloseError(why)),
            Err(Failure::PeerEnded) => End::Terminal(Terminal::Close),
            Err(Failure::Ending) => self.ended(),
        }
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

    /// Sends a batch, waiting for the peer to make room, unless the channel ends first.
    ///
    /// # Errors
    /// [`Failure::Ending`]: stop; nobody will read more.
    pub(crate) async fn send(&self, batch: Batch) -> Result<(), Failure> {
        tokio::select! {
            biased;
            sent = self.outbound.send(batch) => if sent { Ok(()) } else { Err(Failure::Ending) },
            () = self.inbox.overloaded.cancelled() => Err(Failure::Ending),
            () = self.ending.cancelled() => Err(Failure::Ending),
        }
    }

    /// The peer's next message or end.
    ///
    /// # Errors
    /// [`Failure::Ending`]: the channel or the connection ends.
    pub(crate) async fn receive(&mut self) -> Result<Received, Failure> {
        tokio::select! {
            biased;
            () = self.ending.cancelled() => Err(Failure::Ending),
            () = self.inbox.overloaded.cancelled() => Err(Failure::Ending),
            received = self.inbox.received.recv() => received.ok_or(Failure::Ending),
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
        let outgoing = Outgoing {
            head: self.head,
            outbound: self.outbound.clone(),
        };
        tokio::select! {
            done = work(&outgoing) => done,
            ended = self.peer_ended() => Err(ended),
        }
    }

    async fn peer_ended(&mut self) -> Failure {
        loop {
            match self.receive().await {
                Ok(received) if received.terminal.is_some() => return Failure::PeerEnded,
                Ok(_) => {}
                Err(failure) => return failure,
            }
        }
    }
}

/// The sending half of a channel.
pub(crate) struct Outgoing {
    head: FrameHead,
    outbound: Outbound,
}

impl Outgoing {
    /// An empty batch for this channel.
    pub(crate) fn batch(&self) -> Batch {
        Batch::new(self.head)
    }

    /// Sends a batch, waiting for the peer to make room.
    ///
    /// # Errors
    /// [`Failure::Ending`]: the connection is gone.
    pub(crate) async fn send(&self, batch: Batch) -> Result<(), Failure> {
        if self.outbound.send(batch).await {
            Ok(())
        } else {
            Err(Failure::Ending)
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("unknown")
}
