//! Entries as a stream. Over v1 the server sends as fast as the link allows, and a consumer may be slower. When its inbox
//! overruns, the client ends the channel; once the inbox is empty, it asks for the rest, from the position after the
//! last entry.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{self, Stream, StreamExt as _};
use streamkit_protocol::Request;

use crate::call::Call;
use crate::channel::{Arrival, Channel};
use crate::error::Error;
use crate::lookup;
use crate::model::Entry;
use crate::position::{DELETED, Gap, Position, Taken};
use crate::verbs::Consuming;

/// The entries of a consume. Ends with `None` only if the server ended it cleanly; after an error it is over. Dropping
/// it ends the consume on the server.
///
/// Read it as slowly as you like; nobody else waits for it. Over v2 the server sends 4 MiB ahead, and waits; a read of a segment whose
/// connection is lost goes on over the next one. Over v1 the client keeps
/// 16 MiB of the entries sent ahead, and asks for the rest of a slow read later, over the same connection; it neither misses nor repeats an entry.
/// Such a read may continue past the moment of its request: to the moment at which it first fell behind (with a Go
/// server, which cannot bound a read that way, the last time).
pub struct Entries {
    inner: Pin<Box<dyn Stream<Item = Result<Entry, Error>> + Send>>,
}

impl Entries {
    pub(crate) fn new(call: Call, request: Request) -> Self {
        let begins = Box::new(Running::Begins(call, request));
        Self {
            inner: Box::pin(stream::unfold(Some(begins), step).fuse()),
        }
    }
}

impl Stream for Entries {
    type Item = Result<Entry, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.inner.as_mut().poll_next(context)
    }
}

/// A running consume.
struct Reading {
    call: Call,
    position: Position,
    /// `None` before it is opened.
    channel: Option<Channel>,
    /// Whether it was opened a second time because the first connection was lost before its first entry.
    repeated: bool,
    /// Whether it ends at a moment already.
    bounded: bool,
    /// The last sequence that a read of one segment was known to reach when it was opened again.
    last: u64,
}

/// A consume over either version.
enum Running {
    /// It is not known yet which one the server speaks.
    Begins(Call, Request),
    V1(Box<Reading>),
    V2(Box<Consuming>),
}

type Step = (Result<Entry, Error>, Option<Box<Running>>);

/// The next entry; after an error nothing.
async fn step(running: Option<Box<Running>>) -> Option<Step> {
    let mut running = running?;
    match running.next().await {
        Ok(Some(entry)) => Some((Ok(entry), Some(running))),
        Ok(None) => None,
        Err(error) => Some((Err(error), None)),
    }
}

impl Running {
    async fn next(&mut self) -> Result<Option<Entry>, Error> {
        loop {
            match self {
                Self::Begins(call, request) => {
                    *self = match call.is_v2().await? {
                        true => Self::V2(Box::new(Consuming::new(call.clone(), request.clone())?)),
                        false => Self::V1(Box::new(Reading::new(call.clone(), request.clone()))),
                    };
                }
                Self::V1(reading) => return reading.next().await,
                Self::V2(consuming) => return consuming.next().await,
            }
        }
    }
}

impl Reading {
    fn new(call: Call, request: Request) -> Self {
        Self {
            call,
            position: Position::new(request),
            channel: None,
            repeated: false,
            bounded: false,
            last: 0,
        }
    }

    async fn next(&mut self) -> Result<Option<Entry>, Error> {
        loop {
            let channel = match &mut self.channel {
                Some(channel) => channel,
                None => {
                    let Some(request) = self.position.rest() else {
                        return Ok(None);
                    };
                    self.channel.insert(self.call.open(&request).await?)
                }
            };
            match channel.next().await {
                Ok(Arrival::Message(message)) => match self.position.take(entry(&message)?)? {
                    Taken::Entry(entry) => return Ok(Some(entry)),
                    Taken::Again => {}
                    Taken::Gap(gap) => {
                        let removed = removed(channel.another(), &gap).await;
                        return Err(removed.unwrap_or_else(|| gap.unexplained()));
                    }
                },
                Ok(Arrival::End) => {
                    let Some(gap) = self.position.missing_up_to(self.last) else {
                        return Ok(None);
                    };
                    // If nothing was removed, a bound in time ended it.
                    return removed(channel.another(), &gap).await.map_or(Ok(None), Err);
                }
                Ok(Arrival::Overrun) => {
                    let next = channel.another();
                    if !self.reopen(next).await? {
                        return Ok(None);
                    }
                }
                // The link may have been dead for long, and this call the first to notice.
                Err(Error::ConnectionLost(_)) if self.position.at_beginning() && !self.repeated => {
                    self.repeated = true;
                    self.channel = None;
                }
                // The server noticed it first.
                Err(Error::Refused(why)) if why.ends_with(DELETED) => {
                    let gone = match self.position.missing_up_to(u64::MAX) {
                        Some(gap) => removed(channel.another(), &gap).await,
                        None => None,
                    };
                    return Err(gone.unwrap_or(Error::Refused(why)));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks for the rest over a new channel of the same connection; the consumer must learn of a lost one. False if
    /// nothing is left.
    async fn reopen(&mut self, mut channel: Channel) -> Result<bool, Error> {
        let first_time = !self.bounded;
        if first_time {
            // Without it a consumer that appends to what it reads would never reach the end.
            match lookup::status(channel.another(), "", "").await {
                Ok(status) if status.last_timestamp > 0 => self.position.end_at(status.last_timestamp),
                // A Go server does not know the question.
                Ok(_) | Err(Error::Refused(_)) => {}
                Err(error) => return Err(error),
            }
            self.bounded = true;
        }
        let Some(rest) = self.position.rest() else {
            return Ok(false);
        };
        // More was sent than was kept, so something is missing if nothing is left.
        if let Some(gap) = self.position.missing_up_to(u64::MAX) {
            match lookup::status(channel.another(), &gap.space, &gap.segment).await {
                Ok(status) => {
                    if first_time {
                        self.last = status.last_sequence;
                    }
                    if let Some(error) = gap.removed(&status) {
                        return Err(error);
                    }
                }
                // A Go server does not know the question.
                Err(Error::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        channel.request(&rest).await?;
        self.position.reopened();
        self.channel = Some(channel);
        Ok(true)
    }
}

/// An entry as v1 tells it.
fn entry(message: &[u8]) -> Result<Entry, Error> {
    let wire = streamkit_protocol::Entry::decode(message).map_err(Error::malformed)?;
    if wire.sequence == 0 || wire.payload.0.is_none() {
        return Err(Error::Protocol("an entry without sequence or payload".to_owned()));
    }
    Ok(Entry::from_wire(wire))
}

/// Asks what became of a segment with missing entries; `None` if none was removed.
async fn removed(channel: Channel, gap: &Gap) -> Option<Error> {
    match lookup::status(channel, &gap.space, &gap.segment).await {
        Ok(status) => gap.removed(&status),
        Err(error) if error.is_transient() => Some(error),
        // A Go server does not know the question.
        Err(_) => Some(gap.unexplained()),
    }
}
