//! One call: its request, further messages, the answers, and its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use streamkit_protocol::limits::MESSAGE_BYTES_MAX;
use streamkit_protocol::{FrameHead, Request, Terminal};
use uuid::Uuid;

use crate::again::Again;
use crate::connection::{Connection, INBOX_BYTES, Inbound, Inbox};
use crate::error::Error;
use crate::link::Link;
use crate::metrics::Counted;
use crate::progress::Unsent;
use crate::terminal::TOKEN_EXPIRED;

/// Why a call failed that began again on one connection after the other.
const ENDED_FIRST: &str = "the connection ended before the server began the call";

/// Frames of one channel, to be sent together.
pub(crate) struct Batch {
    head: FrameHead,
    frames: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    pub(crate) fn push(&mut self, message: &[u8]) -> Result<(), Error> {
        if message.len() > MESSAGE_BYTES_MAX {
            let bytes = message.len();
            return Err(Error::Invalid(format!(
                "message too large: {bytes} bytes encoded, at most {MESSAGE_BYTES_MAX} fit in a frame"
            )));
        }
        self.head.data_into(message, &mut self.frames);
        self.ends.push(self.frames.len());
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// What a channel yields next.
pub(crate) enum Arrival {
    Message(Bytes),
    /// The clean end.
    End,
    /// The inbox was full for a while: what came after it is lost, and the channel over.
    Overrun,
}

/// An open channel. Dropped before its end, it tells the server to stop.
pub(crate) struct Channel {
    /// What it says then.
    farewell: Terminal,
    head: FrameHead,
    link: Arc<Link>,
    connection: Arc<Connection>,
    inbox: Inbox,
    /// Bytes that its inbox holds.
    inbox_bytes: usize,
    /// Kept until something comes back.
    again: Option<Again>,
    /// The connection ends, and the call is to begin again on another one.
    left: bool,
    /// It is part of a call that was answered over this connection, and has to learn that it is lost.
    goes_on: bool,
    unsent: Arc<Unsent>,
    timeout: Duration,
    /// Whether the server may have heard of it.
    begun: bool,
    ended: bool,
    /// The call of its last request.
    counted: Option<Counted>,
}

impl Channel {
    /// A channel whose inbox overruns when its consumer is too slow.
    pub(crate) fn open(link: Arc<Link>, connection: Arc<Connection>, store: Uuid, timeout: Duration) -> Self {
        Self::with_inbox(link, connection, store, timeout, INBOX_BYTES)
    }

    fn with_inbox(
        link: Arc<Link>,
        connection: Arc<Connection>,
        store: Uuid,
        timeout: Duration,
        inbox_bytes: usize,
    ) -> Self {
        let head = FrameHead::new(store, Uuid::new_v4());
        let inbox = connection.open(head, inbox_bytes);
        Self {
            farewell: Terminal::Close,
            head,
            link,
            connection,
            inbox,
            inbox_bytes,
            again: Some(Again::default()),
            left: false,
            goes_on: false,
            unsent: Unsent::new(),
            timeout,
            begun: false,
            ended: false,
            counted: None,
        }
    }

    /// Another channel to the same store over the same connection, to go on with a call. It begins on another connection only if this one
    /// ended in good order, as for a fresher token; that it is lost is an error.
    pub(crate) fn another(&self) -> Self {
        let (link, connection) = (self.link.clone(), self.connection.clone());
        let mut another = Self::open(link, connection, self.head.store_id, self.timeout);
        another.goes_on = true;
        another
    }

    /// The same for a list, which its caller holds in memory as a whole anyway: its inbox never overruns.
    pub(crate) fn for_a_list(&self) -> Self {
        let (link, connection) = (self.link.clone(), self.connection.clone());
        Self::with_inbox(link, connection, self.head.store_id, self.timeout, usize::MAX)
    }

    /// Has the server discard what it has not committed if the channel is dropped: to a server, the clean end of a producer
    /// means that its records are complete.
    pub(crate) fn discard_when_dropped(&mut self) {
        self.farewell = Terminal::CloseError("the producer gave up".to_owned());
    }

    /// An empty batch for this channel.
    pub(crate) fn batch(&self) -> Batch {
        Batch {
            head: self.head,
            frames: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Queues a batch, which is empty then; waits while the link is full.
    ///
    /// Cancel safe: dropped early, none of it is sent and the batch stays as it is.
    pub(crate) async fn send(&mut self, batch: &mut Batch) -> Result<(), Error> {
        let sent = self.queue(batch).await;
        sent.inspect_err(|error| self.doubted(error))
    }

    async fn queue(&mut self, batch: &mut Batch) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut longest = self.timeout;
        loop {
            if self.left {
                self.begin_again(&mut longest).await?;
            }
            match self.connection.room_within(batch.frames.len(), self.timeout).await {
                Err(Error::ConnectionLost(_)) if self.was_not_begun() && self.leaves() => {}
                room => break room?,
            }
        }
        let frames = Bytes::from(std::mem::take(&mut batch.frames));
        let ends = std::mem::take(&mut batch.ends);
        self.begun = true;
        if let Some(again) = &mut self.again {
            again.keep(&frames, &ends);
        }
        match self.connection.send(frames, ends, self.unsent.clone()) {
            Err(_) if self.was_not_begun() && self.leaves() => Ok(()),
            sent => sent.map_err(Error::ConnectionLost),
        }
    }

    /// Sends over another connection all that was sent over one that has begun nothing of it. `longest`, the time that the call has left
    /// to wait, is less afterwards.
    ///
    /// Cancel safe.
    async fn begin_again(&mut self, longest: &mut Duration) -> Result<(), Error> {
        let since = Instant::now();
        let connection = loop {
            let left = longest.saturating_sub(since.elapsed());
            if left.is_zero() {
                return Err(Error::NotBegun(ENDED_FIRST.to_owned()));
            }
            let connection = self.link.connection_within(left).await?.v1()?;
            let bytes = self.again.as_ref().map_or(0, Again::bytes);
            match connection.room_within(bytes, left).await {
                Err(Error::ConnectionLost(_)) if self.leaves() => {}
                room => break room.map(|()| connection)?,
            }
        };
        *longest = longest.saturating_sub(since.elapsed());
        // From here on nothing is waited for.
        self.inbox = connection.open(self.head, self.inbox_bytes);
        self.unsent = Unsent::new();
        self.connection = connection;
        self.left = false;
        for (frames, ends) in self.again.iter().flat_map(Again::sent) {
            // If it is gone, its inbox says so.
            let _ = self.connection.send(frames, ends, self.unsent.clone());
        }
        Ok(())
    }

    /// A batch that begins with a request, which is counted from now on.
    pub(crate) fn asking(&mut self, request: &Request) -> Result<Batch, Error> {
        let mut batch = self.batch();
        batch.push(&request.encode())?;
        let counters = &self.connection.terms().counters;
        let begun = Counted::begin(counters, request.into(), self.head.store_id, Instant::now());
        self.counted = Some(begun);
        Ok(batch)
    }

    /// Sends a request.
    pub(crate) async fn request(&mut self, request: &Request) -> Result<(), Error> {
        let mut batch = self.asking(request)?;
        self.send(&mut batch).await
    }

    /// The next message; `None` at the clean end.
    ///
    /// Cancel safe.
    pub(crate) async fn receive(&mut self) -> Result<Option<Bytes>, Error> {
        self.next().await.and_then(message)
    }

    /// A message that is already here, if any.
    pub(crate) fn try_receive(&mut self) -> Option<Result<Option<Bytes>, Error>> {
        Some(self.try_next()?.and_then(message))
    }

    /// What is already here, if anything.
    pub(crate) fn try_next(&mut self) -> Option<Result<Arrival, Error>> {
        if self.ended {
            return Some(Ok(Arrival::End));
        }
        if self.left {
            return None;
        }
        let inbound = self.inbox.try_recv()?;
        self.take(inbound).transpose()
    }

    /// What comes next.
    ///
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Arrival, Error> {
        self.next_within(self.timeout).await
    }

    /// The same of a server that may be silent for this long.
    ///
    /// Cancel safe.
    pub(crate) async fn next_within(&mut self, longest: Duration) -> Result<Arrival, Error> {
        let comes = self.comes_within(longest).await;
        comes.inspect_err(|error| self.doubted(error))
    }

    async fn comes_within(&mut self, mut longest: Duration) -> Result<Arrival, Error> {
        loop {
            if self.ended {
                return Ok(Arrival::End);
            }
            if self.left {
                self.begin_again(&mut longest).await?;
            }
            // A message already here needs no timer.
            let inbound = match self.inbox.try_recv() {
                Some(inbound) => inbound,
                None => self.wait(&mut longest).await?,
            };
            if let Some(arrival) = self.take(inbound)? {
                return Ok(arrival);
            }
        }
    }

    /// Waits for what comes next, `longest` at most, which is less afterwards. Silence counts from when the server was sent everything.
    async fn wait(&mut self, longest: &mut Duration) -> Result<Option<Inbound>, Error> {
        let mut since = Instant::now();
        loop {
            let left = longest.saturating_sub(since.elapsed());
            if let Ok(inbound) = tokio::time::timeout(left, self.inbox.recv()).await {
                *longest = longest.saturating_sub(since.elapsed());
                return Ok(inbound);
            }
            let all_sent = self.unsent.all_sent();
            if all_sent <= since || self.connection.progress().stalled_for() >= self.timeout {
                return Err(Error::Timeout(self.timeout));
            }
            since = all_sent;
        }
    }

    /// What arrived; `None` if the call is to begin again on another connection.
    fn take(&mut self, inbound: Option<Inbound>) -> Result<Option<Arrival>, Error> {
        let taken = match inbound {
            Some(Inbound::Message(message)) => {
                self.again = None;
                if let Some(call) = &mut self.counted {
                    call.answered();
                }
                return Ok(Some(Arrival::Message(message)));
            }
            Some(Inbound::End(Terminal::Error(why))) if why == TOKEN_EXPIRED => {
                self.connection.retire();
                if self.leaves() {
                    return Ok(None);
                }
                Err(Error::NotBegun(why))
            }
            Some(Inbound::Left) if self.leaves() => return Ok(None),
            Some(Inbound::Left) if self.again.is_some() && !self.goes_on => {
                Err(Error::NotBegun(ENDED_FIRST.to_owned()))
            }
            Some(Inbound::Overrun) => Ok(Some(Arrival::Overrun)),
            Some(Inbound::End(Terminal::Close)) => Ok(Some(Arrival::End)),
            Some(Inbound::End(Terminal::CloseError(text) | Terminal::Error(text))) => Err(Error::from_terminal(&text)),
            Some(Inbound::End(Terminal::Unknown(kind, text))) => {
                Err(Error::Protocol(format!("unknown end {kind}: {text}")))
            }
            Some(Inbound::Left) | None => {
                let why = self.connection.ended().unwrap_or_else(|| "closed".to_owned());
                Err(Error::ConnectionLost(why))
            }
        };
        self.ended = true;
        if let Some(mut call) = self.counted.take() {
            match &taken {
                Ok(Some(Arrival::End)) => call.well(),
                Ok(_) => {}
                Err(error) => call.failed(error),
            }
        }
        taken
    }

    /// The call may have failed, unless what may still come says otherwise.
    fn doubted(&mut self, error: &Error) {
        if let Some(call) = &mut self.counted {
            call.doubted(error);
        }
    }

    /// Whether the connection is gone, and the server has certainly begun nothing of the call.
    fn was_not_begun(&mut self) -> bool {
        self.again.is_some() && (!self.begun || self.inbox.is_left())
    }

    /// Whether the call, of which nothing was begun, begins again.
    fn leaves(&mut self) -> bool {
        let has_to_learn = self.goes_on && self.connection.is_lost();
        self.left = !has_to_learn && self.again.as_mut().is_some_and(Again::once_more);
        self.left
    }
}

/// For calls that are answered with less than an inbox holds.
fn message(arrival: Arrival) -> Result<Option<Bytes>, Error> {
    match arrival {
        Arrival::Message(message) => Ok(Some(message)),
        Arrival::End => Ok(None),
        Arrival::Overrun => Err(Error::Protocol(format!(
            "more than {INBOX_BYTES} bytes came in answer to a call that has a small one"
        ))),
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if !self.ended && !self.left {
            if self.begun {
                self.connection.abandon(self.head, &self.farewell);
            }
            // It may close with its last channel.
            self.connection.forget(self.head.channel_id);
        }
    }
}
