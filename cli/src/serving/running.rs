//! A server at work, and how it leaves in good order.

use std::net::SocketAddr;
use std::time::Duration;

use streamkit_engine::Stores as _;
use streamkit_server_core::Server;

use super::notify::Manager;
use super::reload::Reloads;
use super::served::Served;
use crate::failure::Failure;
use crate::output::note;
use crate::signals::{Asked, StopSignals};

/// A server at work.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    served: Served,
    server: Server,
}

impl Running {
    pub(super) fn new(address: SocketAddr, served: Served, server: Server) -> Self {
        Self {
            address,
            served,
            server,
        }
    }

    /// Serves until a signal asks to stop, and reads again what may have changed when one asks for that. Then leaves in good order, after
    /// it was red in `/readyz` for `drain`; or at once on a second signal, or when a disk does not let the stores close. What
    /// was acknowledged is stored either way.
    pub(crate) async fn until_stopped(
        self,
        mut signals: StopSignals,
        reloads: Reloads,
        drain: Duration,
    ) -> Result<(), Failure> {
        let manager = Manager::of_environment();
        let status = format!("serving on {}", self.address);
        manager.ready(&status);
        let watched = manager.watched(self.served.engine.clone());
        let asked = async {
            let mut asked = signals.asked().await?;
            while asked == Asked::Reload {
                manager.reloading();
                let meanwhile = reload(&reloads, &mut signals).await?;
                manager.ready(&status);
                asked = match meanwhile {
                    Some(meanwhile) => meanwhile,
                    None => signals.asked().await?,
                };
            }
            std::io::Result::Ok(())
        };
        tokio::select! {
            asked = asked => asked?,
            () = watched => {}
        }
        manager.stopping();
        let watched = manager.watched(self.served.engine.clone());
        tokio::select! {
            left = self.leave(signals, drain) => left,
            () = watched => Ok(()),
        }
    }

    /// The same, when the first signal is here.
    pub(crate) async fn leave(self, mut signals: StopSignals, drain: Duration) -> Result<(), Failure> {
        note("streamkit: stopping");
        let served = self.served.clone();
        let deadline = self.server.shutdown_deadline();
        let in_order = async {
            self.server.drain();
            let (known, ()) = tokio::join!(self.served.retire(), tokio::time::sleep(drain));
            self.server.shutdown().await;
            self.served.leave(known).await;
            closed(&self.served, deadline).await
        };
        let stopped = tokio::select! {
            stopped = in_order => stopped,
            again = signals.next() => again.map_err(Failure::from).and(Err(Failure::interrupted())),
        };
        if stopped.is_err() {
            // Dropped for the last time, an engine waits for its threads, and they for the disk.
            std::mem::forget(served);
        }
        stopped
    }

    /// Ends sessions, then closes the stores.
    pub(crate) async fn stop(self) {
        self.server.shutdown().await;
        self.served.leave(None).await;
        self.served.engine.close().await;
    }
}

/// Reads again what may have changed, until that is done, or until a signal asks to stop: a file on a disk that hangs never comes to its
/// end. Returns what was asked for meanwhile.
async fn reload(reloads: &Reloads, signals: &mut StopSignals) -> std::io::Result<Option<Asked>> {
    let mut reading = std::pin::pin!(reloads.run());
    let mut meanwhile = None;
    loop {
        tokio::select! {
            () = &mut reading => return Ok(meanwhile),
            asked = signals.asked() => meanwhile = Some(asked?),
        }
        if meanwhile == Some(Asked::Stop) {
            return Ok(meanwhile);
        }
    }
}

/// Closes the stores, as long as they go on closing: what they hold is synced long before, and a disk that hangs would keep us
/// for ever.
async fn closed(served: &Served, deadline: Duration) -> Result<(), Failure> {
    const NAMED: usize = 5;
    let engine = &served.engine;
    let mut closing = std::pin::pin!(engine.close());
    let mut left = engine.unfinished();
    // Some time without sessions, too.
    let deadline = deadline.max(Duration::from_secs(1));
    while tokio::time::timeout(deadline, &mut closing).await.is_err() {
        let now_left = engine.unfinished();
        if now_left.len() >= left.len() {
            let named: Vec<String> = now_left.iter().take(NAMED).map(ToString::to_string).collect();
            let more = match now_left.len() {
                0 => "what they had begun in the background did not end".to_owned(),
                count if count > NAMED => format!("{} and {} more did not close", named.join(", "), count - NAMED),
                _ => format!("{} did not close", named.join(", ")),
            };
            return Err(Failure::new(format!(
                "the disk hangs: {more} within {deadline:?}; what was acknowledged is stored"
            )));
        }
        left = now_left;
    }
    Ok(())
}
