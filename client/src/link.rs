//! The one connection that all calls of a client share. A call that finds none begins to dial; calls that come
//! meanwhile wait for the same dial and share its outcome. Nobody waits while holding a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::connection::Connection;
use crate::dial::Dialler;
use crate::error::Error;

type Dialled = Result<Arc<Connection>, Error>;

/// The link of a client to its server.
pub(crate) struct Link {
    dialler: Dialler,
    state: Mutex<State>,
    /// Connections there have been.
    connected: Arc<AtomicU64>,
}

#[derive(Default)]
struct State {
    /// The last dial: running, connected, lost since, or failed.
    dial: Option<Dial>,
    closed: bool,
}

struct Dial {
    dialled: watch::Receiver<Option<Dialled>>,
    task: AbortHandle,
}

impl Dial {
    /// Whether it is worth waiting for, or has led to a connection that still lives.
    fn useful(&self) -> bool {
        match &*self.dialled.borrow() {
            // Its task may have gone with its runtime.
            None => self.dialled.has_changed().is_ok(),
            Some(Ok(connection)) => connection.ended().is_none(),
            Some(Err(_)) => false,
        }
    }

    /// Stops dialling; returns the connection if there is one already.
    fn stop(self) -> Option<Arc<Connection>> {
        self.task.abort();
        match &*self.dialled.borrow() {
            Some(Ok(connection)) => Some(connection.clone()),
            Some(Err(_)) | None => None,
        }
    }
}

impl Link {
    pub(crate) fn new(dialler: Dialler) -> Self {
        Self {
            dialler,
            state: Mutex::default(),
            connected: Arc::default(),
        }
    }

    /// The address dialled.
    pub(crate) fn url(&self) -> &str {
        &self.dialler.url
    }

    /// The live connection, dialled if there is none.
    ///
    /// Cancel safe: the dial goes on for who comes next.
    pub(crate) async fn connection(&self) -> Dialled {
        loop {
            let mut dialled = self.dialled()?;
            // Without an outcome the link was closed, or the dial ended with its runtime: look again.
            if let Ok(outcome) = dialled.wait_for(Option::is_some).await
                && let Some(outcome) = outcome.clone()
            {
                return self.unless_closed(outcome);
            }
        }
    }

    /// Closing may have come too late to stop the dial.
    fn unless_closed(&self, dialled: Dialled) -> Dialled {
        let closed = self.state.lock().unwrap_or_else(PoisonError::into_inner).closed;
        if closed && let Ok(connection) = &dialled {
            connection.close();
            return Err(Error::Closed);
        }
        dialled
    }

    /// The outcome, to come, of the running dial or of a new one.
    fn dialled(&self) -> Result<watch::Receiver<Option<Dialled>>, Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(Error::Closed);
        }
        if let Some(dial) = state.dial.as_ref().filter(|dial| dial.useful()) {
            return Ok(dial.dialled.clone());
        }
        let (outcome, dialled) = watch::channel(None);
        let (dialler, connected) = (self.dialler.clone(), self.connected.clone());
        let task = tokio::spawn(async move {
            let dialled = dialler.dial_with_retries().await;
            if dialled.is_ok() {
                let connections = connected.fetch_add(1, Ordering::Relaxed) + 1;
                if let Some(hook) = dialler.hooks.reconnected.as_ref().filter(|_| connections > 1) {
                    hook(connections);
                }
            }
            // Nobody left to take it: the client was dropped.
            if let Err(watch::error::SendError(Some(Ok(connection)))) = outcome.send(Some(dialled)) {
                connection.close();
            }
        });
        state.dial = Some(Dial {
            dialled: dialled.clone(),
            task: task.abort_handle(),
        });
        Ok(dialled)
    }

    /// Ends the connection or the dial for good; returns the connection, which ends after what is queued.
    pub(crate) fn close(&self) -> Option<Arc<Connection>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
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
