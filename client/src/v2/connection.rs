//! A connection as its calls see it: they queue frames in it, and wait for what the server answers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use streamkit_protocol::v2::{Call, Frame, Hello};
use streamkit_record::StoreId;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::channel::Channel;
use super::fault::Fault;
use super::patience::Patience;
use super::pending::Pending;
use super::state::{Begin, Phase, Route, State, Told};
use crate::progress::Progress;
use crate::terms::Terms;

/// Why a call goes elsewhere.
const ENDED_FIRST: &str = "the connection ended before the server began the call";

/// The state of a connection that its task and calls share.
pub(crate) struct Connection {
    terms: Terms,
    state: Mutex<State>,
    /// When the server last took something.
    progress: Arc<Progress>,
    /// Why the connection ended, once it has.
    ended: watch::Sender<Option<String>>,
}

impl Connection {
    pub(super) fn new(hello: &Hello, progress: Arc<Progress>, terms: Terms) -> Arc<Self> {
        Arc::new(Self {
            terms,
            state: Mutex::new(State::new(hello, 1)),
            progress,
            ended: watch::Sender::new(None),
        })
    }

    /// What it was made with.
    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Whether further calls may use it.
    pub(crate) fn is_usable(&self) -> bool {
        self.state().phase == Phase::Serves
    }

    /// Most bytes of a frame that the server takes.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.state().frame_bytes()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes the writer if there is something to write.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let done = change(&mut state);
        let has_work = state.queued_bytes() > 0 || state.is_closing();
        let writer = if has_work { state.writer.take() } else { None };
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
        done
    }

    /// Lets it go on for the calls that are open, and close with the last of them.
    pub(crate) fn retire(&self) {
        self.change(State::retire);
    }

    /// Ends the connection after what is queued.
    pub(crate) fn close(&self) {
        self.change(State::close);
    }

    /// It is gone.
    pub(super) fn end(&self, why: &str) {
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            if first {
                *ended = Some(why.to_owned());
            }
            first
        });
        self.state().end();
    }

    /// Resolves to why it ended.
    pub(crate) async fn wait_ended(&self) -> String {
        let mut ended = self.ended.subscribe();
        match ended.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "closed".to_owned(),
        }
    }

    /// That it was lost, and why.
    pub(super) fn lost(&self) -> Fault {
        Fault::Lost(self.ended.borrow().clone().unwrap_or_else(|| "closed".to_owned()))
    }

    /// Since when the server has heard all up to a byte, as far as that is known: now, while the socket still takes what was queued
    /// before it. `None`: it has heard it for long, or takes nothing.
    pub(super) fn still_sends(&self, up_to: u64, longest: Duration) -> Option<Instant> {
        let is_sent = self.state().has_taken(up_to);
        (!is_sent && self.progress.stalled_for() < longest).then(Instant::now)
    }

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
        let (channel, heard_up_to) = self.begin(store, call, patience, route).await?;
        let result = result.ok_or_else(|| Fault::protocol("a call without a route"))?;
        Ok(Pending::new(self.clone(), channel, heard_up_to, result, is_kept))
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
        let (channel, heard_up_to) = self.begin(store, call, patience, route).await?;
        Ok(Channel::new(self.clone(), channel, heard_up_to, arrives, window))
    }

    async fn begin(
        &self,
        store: StoreId,
        call: &Call,
        patience: Patience,
        route: impl FnOnce() -> Route,
    ) -> Result<(u32, u64), Fault> {
        let mut turn = None;
        let mut route = Some(route);
        loop {
            let begun = self.change(|state| {
                let has_turn = turn.take().map(|turn: Turn<'_>| turn.take(state)).is_some();
                let route = || route.take().map_or(Route::Cancelled, |route| route());
                let begun = state.begin(store, call, has_turn, route);
                match begun {
                    Begin::Waits => turn = Some(Turn::join(self, state)),
                    _ => state.pass_on(),
                }
                begun
            });
            match begun {
                Begin::Begun(channel, heard_up_to) => return Ok((channel, heard_up_to)),
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

    /// Does what the frames of a message say.
    ///
    /// # Errors
    /// Why the connection ends.
    pub(super) fn hear(&self, mut message: Bytes, told: &mut Told) -> Result<(), String> {
        let mut state = self.state();
        let mut heard = Ok(());
        while heard.is_ok() {
            match Frame::take(&mut message) {
                Ok(Some(frame)) => heard = state.hear(frame, told),
                Ok(None) => break,
                Err(error) => heard = Err(error),
            }
        }
        drop(state);
        for (waits, outcome) in told.drain(..) {
            // Whoever gave it up does not wait.
            let _ = waits.send(outcome);
        }
        heard.map_err(|error| format!("the server broke the protocol: {error}"))
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
            if self.waits.try_recv().is_ok() {
                // It came too late: the next one has it.
                state.waiting.turn_is_over();
                state.pass_on();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use streamkit_protocol::v2::Credit;
    use uuid::Uuid;

    use super::*;

    /// A connection to a server that gives so much credit.
    pub(crate) fn connection(credit: u32) -> Arc<Connection> {
        let hello = Hello {
            frame_bytes: 1 << 20,
            channels: 100,
            credit,
            features: Vec::new(),
        };
        Connection::new(&hello, Progress::new(), Terms::default())
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
