//! Entries as a stream, with what the server promises of their order checked on the way.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{self, Stream, StreamExt as _};
use streamkit_protocol::Request;

use crate::channel::Channel;
use crate::error::Error;
use crate::model::Entry;
use crate::store::malformed;

/// Entries of a consume. Ends with `None` only if the server ended it cleanly; after an error it is over. Dropping it ends
/// the consume on the server.
pub struct Entries {
    inner: Pin<Box<dyn Stream<Item = Result<Entry, Error>> + Send>>,
}

impl Entries {
    pub(crate) fn new(
        request: Request,
        first: Option<u64>,
        open: impl Future<Output = Result<Channel, Error>> + Send + 'static,
    ) -> Self {
        let check = Check::new(&request, first);
        let state = State::Opening(Box::pin(open), check);
        Self {
            inner: Box::pin(stream::unfold(state, step).fuse()),
        }
    }
}

impl Stream for Entries {
    type Item = Result<Entry, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.inner.as_mut().poll_next(context)
    }
}

enum State {
    Opening(Pin<Box<dyn Future<Output = Result<Channel, Error>> + Send>>, Check),
    Open(Box<Channel>, Check),
    Over,
}

async fn step(state: State) -> Option<(Result<Entry, Error>, State)> {
    let (mut channel, mut check) = match state {
        State::Opening(open, check) => match open.await {
            Ok(channel) => (Box::new(channel), check),
            Err(error) => return Some((Err(error), State::Over)),
        },
        State::Open(channel, check) => (channel, check),
        State::Over => return None,
    };
    match channel.receive().await {
        Ok(None) => None,
        Ok(Some(message)) => match check.entry(&message) {
            Ok(entry) => Some((Ok(entry), State::Open(channel, check))),
            Err(error) => Some((Err(error), State::Over)),
        },
        Err(error) => Some((Err(error), State::Over)),
    }
}

/// What must hold of the next entry.
struct Check {
    /// The one segment that is read, if it is one.
    segment: Option<(String, String)>,
    /// The sequence it must have; unknown before the first entry when a time bound or a trim may skip some.
    next: Option<u64>,
    /// The least sequence it may have.
    least: u64,
    /// The space and time of the last entry, whose times never go backwards within a space.
    last_time: Option<i64>,
}

impl Check {
    fn new(request: &Request, first: Option<u64>) -> Self {
        let segment = match request {
            Request::ConsumeSegment(read) => Some((read.space.clone(), read.segment.clone())),
            _ => None,
        };
        Self {
            segment,
            next: None,
            least: first.unwrap_or(1),
            last_time: None,
        }
    }

    fn entry(&mut self, message: &[u8]) -> Result<Entry, Error> {
        let wire = streamkit_protocol::Entry::decode(message).map_err(malformed)?;
        if wire.sequence == 0 || wire.payload.0.is_none() {
            return Err(Error::Protocol("an entry without sequence or payload".to_owned()));
        }
        let entry = Entry::from_wire(wire);
        if let Some((space, segment)) = &self.segment {
            if entry.space != *space || entry.segment != *segment {
                let (s, g) = (&entry.space, &entry.segment);
                return Err(Error::Protocol(format!(
                    "an entry of {s}/{g} in a read of {space}/{segment}"
                )));
            }
            let expected = self.next.unwrap_or(entry.sequence.max(self.least));
            if entry.sequence != expected {
                let got = entry.sequence;
                return Err(Error::Protocol(format!(
                    "entries are missing: expected {expected}, got {got}"
                )));
            }
            self.next = Some(entry.sequence.saturating_add(1));
        } else {
            if self.last_time.is_some_and(|last| entry.timestamp < last) {
                return Err(Error::Protocol("an entry older than the one before it".to_owned()));
            }
            self.last_time = Some(entry.timestamp);
        }
        Ok(entry)
    }
}
