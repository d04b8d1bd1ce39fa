//! How a call begins on a connection: in its turn, once the server has credit for it.

use std::sync::Arc;
use std::time::Instant;

use streamkit_protocol::v2::Call;
use streamkit_record::StoreId;
use tokio::sync::{mpsc, oneshot};

use super::begun::Begun;
use super::channel::Channel;
use super::connection::Connection;
use super::fault::Fault;
use super::patience::Patience;
use super::pending::Pending;
use super::route::Route;
use super::state::{Begin, Opening, State};
use crate::metrics::Counted;

/// Why a call goes elsewhere.
const ENDED_FIRST: &str = "the connection ended before the server began the call";

impl Connection {
    /// Begins a call that has a result alone. One that is not `kept` is cancelled when nobody waits for it any more.
    ///
    /// Cancel safe: dropped early, nothing of it is sent.
    ///
    /// # Errors
    /// [`Fault::NotBegun`], [`Fault::Invalid`].
    pub(crate) async fn ask(
        self: &Arc<Self>,
        store: StoreId,
        call: &Call,
        patience: Patience,
        is_kept: bool,
    ) -> Result<Pending, Fault> {
        let mut result = None;
        let route = || {
            let (sender, receiver) = oneshot::channel();
            result = Some(receiver);
            Route::Result(sender)
        };
        let begun = self.begin(store, call, patience, route).await?;
        let result = result.ok_or_else(|| Fault::protocol("a call without a route"))?;
        Ok(Pending::new(self.clone(), begun, result, is_kept))
    }

    /// Begins a call that has messages, of which the server may send so many bytes ahead.
    ///
    /// Cancel safe: dropped early, nothing of it is sent.
    ///
    /// # Errors
    /// [`Fault::NotBegun`], [`Fault::Invalid`].
    pub(crate) async fn open(
        self: &Arc<Self>,
        store: StoreId,
        call: &Call,
        patience: Patience,
        window: u32,
    ) -> Result<Channel, Fault> {
        let (queue, arrives) = mpsc::unbounded_channel();
        let route = || Route::Messages {
            queue,
            credit: Channel::credit(window),
            any: false,
        };
        let begun = self.begin(store, call, patience, route).await?;
        Ok(Channel::new(self.clone(), begun, arrives, window))
    }

    async fn begin(
        &self,
        store: StoreId,
        call: &Call,
        patience: Patience,
        route: impl FnOnce() -> Route,
    ) -> Result<Begun, Fault> {
        let since = Instant::now();
        let trace = self.trace();
        let opening = Opening { store, call, trace };
        let mut turn = None;
        let mut route = Some(route);
        loop {
            let begun = self.change(|state| {
                let has_turn = turn.take().map(|turn: Turn<'_>| turn.take(state)).is_some();
                let route = || route.take().map_or(Route::Cancelled(0), |route| route());
                let begun = state.begin(&opening, has_turn, route);
                match begun {
                    Begin::Waits => turn = Some(Turn::join(self, state)),
                    _ => state.pass_on(),
                }
                begun
            });
            match begun {
                Begin::Begun(channel, heard_up_to) => {
                    return Ok(Begun {
                        channel,
                        heard_up_to,
                        counted: Counted::begin(&self.terms().counters, call.into(), store.0, since),
                    });
                }
                Begin::Elsewhere => return Err(Fault::NotBegun(ENDED_FIRST.to_owned())),
                Begin::TooLarge(bytes) => {
                    let most = self.frame_bytes();
                    return Err(Fault::Invalid(format!(
                        "call too large: {bytes} bytes, and the server takes at most {most} at a time"
                    )));
                }
                Begin::Waits => {
                    let Some(turn) = &mut turn else { continue };
                    // While something is on its way: it is by its answers that there is credit again.
                    let comes = patience.wait(self, u64::MAX, turn.comes()).await;
                    comes.map_err(|_| Fault::NotBegun("the server gave no credit in time".to_owned()))?;
                }
            }
        }
    }
}

/// A place among those who wait.
struct Turn<'a> {
    connection: &'a Connection,
    waits: oneshot::Receiver<()>,
    /// Whether it is of no use any more.
    is_over: bool,
}

impl<'a> Turn<'a> {
    fn join(connection: &'a Connection, state: &mut State) -> Self {
        Self {
            connection,
            waits: state.waiting.join(),
            is_over: false,
        }
    }

    /// Until it is this one's turn, or nobody's any more.
    async fn comes(&mut self) {
        let _ = (&mut self.waits).await;
    }

    /// Takes the turn, once it has come.
    fn take(mut self, state: &mut State) {
        self.is_over = true;
        state.waiting.turn_is_over();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.connection.change(|state| {
            self.waits.close();
            match self.waits.try_recv() {
                // It came too late: the next one has it.
                Ok(()) => {
                    state.waiting.turn_is_over();
                    state.pass_on();
                }
                Err(_) => state.waiting.leave(),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use streamkit_protocol::v2::{Credit, Hello};
    use uuid::Uuid;

    use super::super::route::Told;
    use super::*;
    use crate::progress::Progress;
    use crate::terms::Terms;

    /// A connection to a server that gives so much credit.
    pub(crate) fn connection(credit: u32) -> Arc<Connection> {
        let hello = Hello {
            frame_bytes: 1 << 20,
            channels: 100,
            credit,
            features: Vec::new(),
        };
        Connection::new(&hello, Progress::new(), Terms::default(), None)
    }

    #[tokio::test]
    async fn whoever_gives_up_while_it_waits_takes_no_number_and_leaves_its_turn_to_the_next() {
        let connection = connection(1);
        let patience = Patience::new(Duration::from_secs(60));
        let ask = || connection.ask(StoreId(Uuid::nil()), &Call::Spaces, patience, true);
        let _first = ask().await.unwrap();
        let mut second = Box::pin(ask());
        let mut third = pin!(ask());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        let mut credit = Vec::new();
        Credit {
            channel: 0,
            bytes: u32::MAX,
        }
        .put(&mut credit);
        connection.hear(credit.into(), &mut Told::new()).unwrap();
        // It was its turn, and it does not come any more.
        drop(second);
        assert!(third.as_mut().now_or_never().is_some_and(|begun| begun.is_ok()));
        assert_eq!(connection.state().open_count(), 2);
    }
}
