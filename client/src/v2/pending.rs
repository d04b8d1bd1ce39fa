//! A call that waits for its result.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::begun::Begun;
use super::connection::Connection;
use super::fault::Fault;
use super::patience::Patience;
use super::route::Outcome;
use crate::metrics::Counted;

/// A call that was begun. Dropped before its result, it is cancelled, unless it is kept: then it goes on, and nobody hears of it.
pub(crate) struct Pending {
    connection: Arc<Connection>,
    channel: u32,
    heard_up_to: u64,
    result: oneshot::Receiver<Outcome>,
    counted: Counted,
    is_kept: bool,
    is_over: bool,
}

impl Pending {
    pub(super) fn new(
        connection: Arc<Connection>,
        begun: Begun,
        result: oneshot::Receiver<Outcome>,
        is_kept: bool,
    ) -> Self {
        let Begun {
            channel,
            heard_up_to,
            counted,
        } = begun;
        Self {
            connection,
            channel,
            heard_up_to,
            result,
            counted,
            is_kept,
            is_over: false,
        }
    }

    /// Its result.
    ///
    /// Cancel safe: it can be waited for again.
    ///
    /// # Errors
    /// [`Fault`]; but for [`Fault::Silent`], the call is over.
    pub(crate) async fn result(&mut self, patience: Patience) -> Outcome {
        let comes = patience.wait(&self.connection, self.heard_up_to, &mut self.result);
        let outcome = comes.await.inspect_err(|error| self.counted.doubted(error));
        let outcome = outcome.map_err(Fault::Silent)?;
        self.is_over = true;
        let outcome = outcome.unwrap_or_else(|_| Err(self.connection.lost()));
        match &outcome {
            Ok(_) => self.counted.well(),
            Err(fault) => self.counted.failed(&fault.clone().into()),
        }
        outcome
    }

    /// Whether its result is here.
    pub(crate) fn is_answered(&self) -> bool {
        !self.is_over && !self.result.is_empty()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.is_kept && !self.is_over {
            self.connection.change(|state| state.cancel(self.channel));
        }
    }
}
