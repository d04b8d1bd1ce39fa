//! A call that has messages, and their credit: what its consumer has not taken is bounded, however slow it is.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::begun::Begun;
use super::connection::Connection;
use super::fault::Fault;
use super::patience::Patience;
use super::route::Arrived;
use crate::here::here;
use crate::metrics::Counted;

/// Bytes of messages that a server may send ahead to the consumer of a read. An inbox holds as much, and one frame.
pub(crate) const WINDOW_BYTES: u32 = 4 << 20;

/// For a list, which its caller holds in memory as a whole anyway.
pub(crate) const UNBOUNDED: u32 = u32::MAX;

/// What a channel yields next.
pub(crate) enum Heard {
    Message(Bytes),
    /// The result, and the end.
    End(Bytes),
}

/// An open channel. Dropped before its end, it tells the server to stop.
pub(crate) struct Channel {
    connection: Arc<Connection>,
    number: u32,
    heard_up_to: u64,
    arrives: mpsc::UnboundedReceiver<Arrived>,
    window: u32,
    /// Bytes that were taken, and that the server has no credit for yet.
    taken: u32,
    counted: Counted,
    /// Whether it goes on though nobody hears of it.
    is_kept: bool,
    is_over: bool,
}

impl Channel {
    pub(super) fn new(
        connection: Arc<Connection>,
        begun: Begun,
        arrives: mpsc::UnboundedReceiver<Arrived>,
        window: u32,
    ) -> Self {
        Self {
            connection,
            number: begun.channel,
            heard_up_to: begun.heard_up_to,
            counted: begun.counted,
            arrives,
            window,
            taken: 0,
            is_kept: false,
            is_over: false,
        }
    }

    /// The same, which is not cancelled when it is dropped.
    pub(crate) fn kept(self) -> Self {
        let mut kept = self;
        kept.is_kept = true;
        kept
    }

    /// What the server may send at first.
    pub(super) fn credit(window: u32) -> i64 {
        match window {
            UNBOUNDED => i64::MAX,
            window => window.into(),
        }
    }

    /// What comes next.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`Fault`]; the channel is then over.
    pub(crate) async fn next(&mut self, patience: Patience) -> Result<Heard, Fault> {
        if self.is_over {
            return Err(Fault::protocol("nothing comes behind the end"));
        }
        // What is here needs no timer.
        if let Ok(arrived) = here(&mut self.arrives) {
            return self.take(Some(arrived));
        }
        let comes = patience.wait(&self.connection, self.heard_up_to, self.arrives.recv());
        let arrived = comes.await.inspect_err(|error| self.counted.doubted(error));
        let arrived = arrived.map_err(Fault::Silent)?;
        self.take(arrived)
    }

    /// What is here already, if anything.
    ///
    /// # Errors
    /// [`Fault`]; the channel is then over.
    pub(crate) fn try_next(&mut self) -> Option<Result<Heard, Fault>> {
        let arrived = here(&mut self.arrives).ok()?;
        Some(self.take(Some(arrived)))
    }

    /// Says something further, if the server has credit for it now; whether it had.
    pub(crate) fn more(&self, put: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.connection.change(|state| state.more(self.number, put))
    }

    fn take(&mut self, arrived: Option<Arrived>) -> Result<Heard, Fault> {
        let taken = match arrived {
            Some(Arrived::Message(came)) => {
                self.give_back(u32::try_from(came.bytes()).unwrap_or(u32::MAX));
                match came.unpack() {
                    Ok(message) => return Ok(Heard::Message(message.body)),
                    Err(error) => {
                        self.connection.change(|state| state.cancel(self.number));
                        Err(Fault::protocol(error))
                    }
                }
            }
            Some(Arrived::Over(outcome)) => outcome.map(Heard::End),
            None => Err(self.connection.lost()),
        };
        self.is_over = true;
        match &taken {
            Ok(_) => self.counted.well(),
            Err(fault) => self.counted.failed(&fault.clone().into()),
        }
        taken
    }

    /// Lets the server send more, a quarter of the window at a time.
    fn give_back(&mut self, bytes: u32) {
        if self.window == UNBOUNDED {
            return;
        }
        self.taken = self.taken.saturating_add(bytes);
        if self.taken >= self.window / 4 {
            let bytes = std::mem::take(&mut self.taken);
            self.connection.change(|state| state.give_back(self.number, bytes));
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if !self.is_over && !self.is_kept {
            self.connection.change(|state| state.cancel(self.number));
        }
    }
}
