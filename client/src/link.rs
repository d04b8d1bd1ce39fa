//! The one connection that all calls of a client share. A call that finds none begins to dial; calls that come
//! meanwhile wait for the same dial and share its outcome. Nobody waits while holding a lock.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::connected::Connected;
use crate::dial::Dialler;
use crate::error::Error;
use crate::metrics::Counters;

type Dialled = Result<Connected, Error>;

/// The link of a client to its server.
pub(crate) struct Link {
    dialler: Dialler,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The last dial: running, connected, lost since, or failed.
    dial: Option<Dial>,
    /// The dial for a connection with a fresher token, while the last one serves.
    renewal: Renewal,
    closed: bool,
}

/// What is done about the age of the token.
#[derive(Default)]
enum Renewal {
    #[default]
    NotYet,
    Dials(Dial),
    /// There was no fresher token, or no connection. The server will say when it takes no further calls.
    Failed,
}

struct Dial {
    dialled: watch::Receiver<Option<Dialled>>,
    task: AbortHandle,
}

impl Dial {
    /// Whether it is worth waiting for, or has led to a connection that still serves.
    fn useful(&self) -> bool {
        match &*self.dialled.borrow() {
            // Its task may have gone with its runtime.
            None => self.dialled.has_changed().is_ok(),
            Some(Ok(connection)) => connection.is_usable(),
            Some(Err(_)) => false,
        }
    }

    /// Whether its outcome is still to come.
    fn is_running(&self) -> bool {
        self.dialled.borrow().is_none() && self.dialled.has_changed().is_ok()
    }

    /// The connection that it has led to.
    fn connection(&self) -> Option<Connected> {
        match &*self.dialled.borrow() {
            Some(Ok(connection)) => Some(connection.clone()),
            Some(Err(_)) | None => None,
        }
    }

    /// Stops dialling; returns the connection if there is one already.
    fn stop(self) -> Option<Connected> {
        self.task.abort();
        self.connection()
    }
}

impl Link {
    pub(crate) fn new(dialler: Dialler) -> Self {
        Self {
            dialler,
            state: Mutex::default(),
        }
    }

    /// The live connection, dialled if there is none.
    ///
    /// Cancel safe: the dial goes on for who comes next.
    ///
    /// # Errors
    /// [`Error::Connect`] after `longest`; what dialling came to.
    pub(crate) async fn connection_within(&self, longest: Duration) -> Dialled {
        if let Some(connection) = self.ready() {
            return Ok(connection);
        }
        match tokio::time::timeout(longest, self.connection()).await {
            Ok(dialled) => dialled,
            Err(_) => Err(self.without(format!("no connection within {longest:?}"))),
        }
    }

    /// The connection that serves, if there is one already.
    fn ready(&self) -> Option<Connected> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        self.renew(&mut state);
        let connection = state.dial.as_ref().and_then(Dial::connection);
        connection.filter(Connected::is_usable)
    }

    fn without(&self, cause: String) -> Error {
        let url = self.dialler.url.clone();
        Error::Connect { url, cause }
    }

    async fn connection(&self) -> Dialled {
        // Without an outcome the link was closed, the dial ended with its runtime, or what the caller gave it panicked: look again, once.
        for _ in 0..2 {
            let mut dialled = self.dialled()?;
            if let Ok(outcome) = dialled.wait_for(Option::is_some).await
                && let Some(outcome) = outcome.clone()
            {
                return self.unless_closed(outcome);
            }
        }
        Err(self.without("the dial broke off: its token source, transport or hook may have panicked".to_owned()))
    }

    /// Closing may have come too late to stop the dial.
    fn unless_closed(&self, dialled: Dialled) -> Dialled {
        let closed = self.lock().closed;
        if closed && let Ok(connection) = &dialled {
            connection.close();
            return Err(Error::Closed);
        }
        dialled
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The outcome, to come, of the running dial or of a new one.
    fn dialled(&self) -> Result<watch::Receiver<Option<Dialled>>, Error> {
        let mut state = self.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        self.renew(&mut state);
        if let Some(dial) = state.dial.as_ref().filter(|dial| dial.useful()) {
            return Ok(dial.dialled.clone());
        }
        // One that was begun for its fresher token comes in time.
        let dial = match std::mem::take(&mut state.renewal) {
            Renewal::Dials(dial) if dial.useful() => dial,
            _ => self.dial(),
        };
        let dialled = dial.dialled.clone();
        state.dial = Some(dial);
        Ok(dialled)
    }

    /// Looks for a connection with a fresher token before that of the last one expires, and lets it take over.
    fn renew(&self, state: &mut State) {
        let current = state.dial.as_ref().and_then(Dial::connection);
        let Some(current) = current.filter(|current| current.terms().is_aging()) else {
            return;
        };
        state.renewal = match std::mem::take(&mut state.renewal) {
            Renewal::NotYet => Renewal::Dials(self.dial()),
            Renewal::Failed => Renewal::Failed,
            Renewal::Dials(dial) if dial.is_running() => Renewal::Dials(dial),
            Renewal::Dials(dial) => match dial.connection() {
                Some(next) if next.is_usable() && next.terms().outlasts(current.terms()) => {
                    state.dial = Some(dial);
                    current.retire();
                    Renewal::NotYet
                }
                Some(same) => {
                    same.retire();
                    Renewal::Failed
                }
                None => Renewal::Failed,
            },
        };
    }

    fn dial(&self) -> Dial {
        let (outcome, dialled) = watch::channel(None);
        let dialler = self.dialler.clone();
        let task = tokio::spawn(async move {
            let dialled = dialler.dial_with_retries().await;
            if dialled.is_ok() {
                let connections = dialler.counters.connected();
                if let Some(hook) = dialler.hooks.reconnected.as_ref().filter(|_| connections > 1) {
                    hook(connections);
                }
            }
            // Nobody left to take it: the client was dropped.
            if let Err(watch::error::SendError(Some(Ok(connection)))) = outcome.send(Some(dialled)) {
                connection.close();
            }
        });
        Dial {
            dialled,
            task: task.abort_handle(),
        }
    }

    /// What is counted of it.
    pub(crate) fn counters(&self) -> &Counters {
        &self.dialler.counters
    }

    /// Ends the connection or the dial for good; returns the connection, which ends after what is queued.
    pub(crate) fn close(&self) -> Option<Connected> {
        let mut state = self.lock();
        state.closed = true;
        if let Renewal::Dials(dial) = std::mem::take(&mut state.renewal) {
            dial.stop().inspect(|connection| connection.close());
        }
        let connection = state.dial.take().and_then(Dial::stop)?;
        connection.close();
        Some(connection)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.close();
    }
}
