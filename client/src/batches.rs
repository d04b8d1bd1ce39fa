//! Reads as streams of batches: entries share the bytes in which they came.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{self, Stream, StreamExt as _};
use streamkit_record::{Entry, LogCursor};

use crate::asked::Read;
use crate::call::Call;
use crate::error::Error;
use crate::verbs::Reading;

type Boxed<T> = Pin<Box<dyn Stream<Item = Result<T, Error>> + Send>>;

/// What a read yields. An entry keeps in memory what came with it: copy the payloads of the few that you keep for long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Batch {
    /// Entries. Within a batch they stand in the order of the log, also newest first.
    Entries(Vec<Entry>),
    /// The end: the place behind the last entry in the log, to read on from. It is empty for a segment.
    End(LogCursor),
}

/// The batches of a read. Behind [`Batch::End`] it yields nothing more; without one it has ended with an error. Dropping it ends
/// the read on the server. If its connection is lost, or the server leaves, it goes on over the next one behind its last entry, for as long
/// as the client's timeout, and ends at the head of then; entries that were removed meanwhile are [`Error::Removed`]. One of a log that comes
/// newest first, of which something came, is [`Error::ConnectionLost`] instead. Read it as slowly as you like: the server sends 4 MiB ahead, and nobody else waits.
pub struct Batches(Boxed<Batch>);

impl Batches {
    pub(crate) fn new(call: Call, read: Read) -> Self {
        let begins = async move {
            needs_v2(&call, "read by batches").await?;
            Reading::new(call, read)
        };
        let batches = stream::once(begins).flat_map(|reading| match reading {
            Ok(reading) => stream::unfold(Some(reading), batch).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        });
        Self(Box::pin(batches.fuse()))
    }
}

/// The next batch; behind the end, and after an error, nothing.
async fn batch(reading: Option<Reading>) -> Option<(Result<Batch, Error>, Option<Reading>)> {
    let mut reading = reading?;
    match reading.next().await {
        Ok(Some(entries)) => Some((Ok(Batch::Entries(entries)), Some(reading))),
        Ok(None) => {
            let end = reading.done().map(|done| done.cursor.clone()).unwrap_or_default();
            Some((Ok(Batch::End(end)), None))
        }
        Err(error) => Some((Err(error), None)),
    }
}

impl Stream for Batches {
    type Item = Result<Batch, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

async fn needs_v2(call: &Call, what: &'static str) -> Result<(), Error> {
    match call.is_v2().await? {
        true => Ok(()),
        false => Err(Error::NotInV1(what)),
    }
}
