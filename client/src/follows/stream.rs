//! A follow as a stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{self, Stream, StreamExt as _};

use super::composed::Composed;
use crate::asked::{Follow, Followed};
use crate::error::Error;
use crate::store::StoreClient;
use crate::verbs::Following;

/// What a follow tells, for as long as it is polled. If its connection is lost, or the server leaves, it goes on behind its last cursor, for
/// as long as the client's timeout: no entry is missing or comes twice, and that it has caught up is told once. It ends with an error
/// alone, such as [`Error::OtherLog`] if the server has another log now, or [`Error::Removed`] if entries of a segment it had begun were
/// trimmed before it came to them; whoever can do without those follows again from the last cursor. Dropping it ends the follow on
/// the server. Whoever pauses costs the server nothing, and the client 4 MiB and one batch.
pub struct Follows(Pin<Box<dyn Stream<Item = Result<Followed, Error>> + Send>>);

enum Running {
    V2(Box<Following>),
    Composed(Box<Composed>),
}

impl Follows {
    pub(super) fn new(store: StoreClient, follow: Follow) -> Self {
        Self::of(async move {
            // A cursor from before the server learnt v2 is gone on with as it was begun.
            if !follow.behind.is_of_places() && store.call().is_v2().await? {
                let following = Following::new(store.call().clone(), follow)?;
                return Ok(Running::V2(Box::new(following)));
            }
            Ok(Running::Composed(Box::new(Composed::new(store, follow)?)))
        })
    }

    /// One in the order of the log, which only a server of v2 has.
    pub(crate) fn in_log_order(store: StoreClient, follow: Follow) -> Self {
        Self::of(async move {
            if !store.call().is_v2().await? {
                return Err(Error::NotInV1("follow in the order of the log"));
            }
            let following = Following::new(store.call().clone(), follow)?;
            Ok(Running::V2(Box::new(following)))
        })
    }

    fn of(begins: impl Future<Output = Result<Running, Error>> + Send + 'static) -> Self {
        let told = stream::once(begins).flat_map(|running| match running {
            Ok(running) => stream::unfold(Some(running), next).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        });
        Self(Box::pin(told.fuse()))
    }
}

async fn next(running: Option<Running>) -> Option<(Result<Followed, Error>, Option<Running>)> {
    let mut running = running?;
    let told = match &mut running {
        Running::V2(following) => following.next().await,
        Running::Composed(composed) => composed.next().await,
    };
    match told {
        Ok(told) => Some((Ok(told), Some(running))),
        Err(error) => Some((Err(error), None)),
    }
}

impl Stream for Follows {
    type Item = Result<Followed, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}
