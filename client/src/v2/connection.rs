//! A connection as its calls see it: they queue frames in it, and wait for what the server answers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use streamkit_protocol::v2::{Frame, Hello, Kind, Trace, ZSTD};
use tokio::sync::watch;
use tokio::time::Instant;

use super::breach::Breach;
use super::doubt::{Doubt, Then};
use super::fault::Fault;
use super::route::Told;
use super::state::{Phase, State};
use crate::hooks::TraceSource;
use crate::progress::Progress;
use crate::terms::Terms;

/// The state of a connection that its task and calls share.
pub(crate) struct Connection {
    terms: Terms,
    trace: Option<TraceSource>,
    state: Mutex<State>,
    /// When the server last took something.
    progress: Arc<Progress>,
    doubt: Doubt,
    /// Why the connection ended, once it has.
    ended: watch::Sender<Option<String>>,
}

impl Connection {
    pub(super) fn new(hello: &Hello, progress: Arc<Progress>, terms: Terms, trace: Option<TraceSource>) -> Arc<Self> {
        let state = State::new(hello, 1);
        let state = match terms.compresses && hello.has(ZSTD) {
            true => state.packing(),
            false => state,
        };
        Arc::new(Self {
            terms,
            trace,
            state: Mutex::new(state),
            progress,
            doubt: Doubt::default(),
            ended: watch::Sender::new(None),
        })
    }

    /// What it was made with.
    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The trace for which a call is made now.
    pub(super) fn trace(&self) -> Option<Trace> {
        self.trace.as_ref().and_then(|trace| trace())
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
        let why = match &self.state().farewell {
            Some(farewell) => format!("{why}: {farewell}"),
            None => why.to_owned(),
        };
        let first = self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            if first {
                *ended = Some(why);
            }
            first
        });
        let mut state = self.state();
        if first && !state.is_closing() {
            self.terms.counters.connection_lost();
        }
        state.end();
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

    /// A call that began then waited in vain for the server.
    pub(super) fn is_doubted(&self, began: Instant) {
        match self.doubt.grows(began) {
            Then::Ask => self.change(State::ping),
            Then::Wait => {}
            Then::Leave => self.retire(),
        }
    }

    /// Does what the frames of a message say.
    ///
    /// # Errors
    /// Why the connection ends.
    pub(super) fn hear(&self, mut message: Bytes, told: &mut Told) -> Result<(), String> {
        self.doubt.dispel();
        let most = message.len();
        let mut state = self.state();
        let mut heard = Ok(());
        while heard.is_ok() {
            match Frame::take(&mut message) {
                Ok(Some(frame)) => heard = state.hear(on_its_own(frame, most), told),
                Ok(None) => break,
                Err(error) => heard = Err(Breach::from(error)),
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

/// A frame that keeps no message of so many bytes in memory of which it is a small part: it may wait in an inbox for long.
fn on_its_own(mut frame: Frame, message_bytes: usize) -> Frame {
    if frame.kind == Kind::Data && frame.body.len() < message_bytes / 8 {
        frame.body = Bytes::copy_from_slice(&frame.body);
    }
    frame
}
