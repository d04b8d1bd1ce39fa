//! A server: its routes, and its end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use streamkit_engine::Stores;
use tokio_util::sync::CancellationToken;

use super::pace::HandshakePace;
use super::places::Places;
use super::sessions::Sessions;
use super::{backup, health, streamz};
use crate::auth::Authenticate;
use crate::limits::Limits;
use crate::live::{InProcess, MessageBus, WorkerRegister};
use crate::metrics::Metrics;
use crate::shared::Shared;

/// A server over some stores. Cheap to clone; all clones are the same server.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
    auth: Arc<dyn Authenticate>,
    sessions: Arc<Sessions>,
    places: Arc<Places>,
    pace: Arc<HandshakePace>,
    backups: backup::BackupReads,
}

impl Server {
    /// A server that serves `stores` to whom `auth` lets in: bearers of tokens signed with a [`crate::Key`], or what a service of
    /// your own makes of a request.
    pub fn new(stores: Arc<dyn Stores>, auth: impl Authenticate, limits: Limits) -> Self {
        Self::on_bus(stores, auth, limits, Arc::new(InProcess::default()))
    }

    /// The same of several hosts that serve the same stores: what is committed on one is told to those who follow it on another.
    pub fn on_bus(stores: Arc<dyn Stores>, auth: impl Authenticate, limits: Limits, bus: Arc<dyn MessageBus>) -> Self {
        Self::among_hosts(stores, auth, limits, bus, None)
    }

    /// The same; who looks at the workers of a store is told of those of all hosts, if there is a register of them.
    pub fn among_hosts(
        stores: Arc<dyn Stores>,
        auth: impl Authenticate,
        limits: Limits,
        bus: Arc<dyn MessageBus>,
        workers: Option<Arc<dyn WorkerRegister>>,
    ) -> Self {
        Self {
            sessions: Arc::new(Sessions::new(limits.connections)),
            places: Places::new(limits.handshakes, limits.handshakes_per_address),
            pace: Arc::new(HandshakePace::new(limits.handshake_rate)),
            backups: backup::BackupReads::default(),
            auth: Arc::new(auth),
            shared: Arc::new(Shared::new(stores, limits, bus, workers)),
        }
    }

    pub(super) fn stopping(&self) -> CancellationToken {
        self.shared.stopping.clone()
    }

    /// Of all connections in their handshake, wherever they came from.
    pub(super) fn places(&self) -> &Arc<Places> {
        &self.places
    }

    /// Of those that come over a network.
    pub(super) fn pace(&self) -> &HandshakePace {
        &self.pace
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// [`Limits::shutdown_deadline`].
    pub fn shutdown_deadline(&self) -> Duration {
        self.shared.limits.shutdown_deadline
    }

    /// What `GET /metrics` answers with: OpenMetrics text. Waits for nothing.
    pub fn metrics_text(&self) -> String {
        health::metrics_text(&self.shared, &*self.auth, &self.sessions)
    }

    /// `GET /streamz` (the protocol), `GET /healthz` (the process lives), `GET /readyz` (storage is writable, and how it
    /// commits: [`crate::COMMIT_METHOD_HEADER`]), `GET /metrics` (what it counted), `GET /backup` and what stands below it
    /// ([`crate::backup`]). All of them are the same server's, also of several routers.
    pub fn router(&self) -> Router {
        let (shared, auth, sessions) = (&self.shared, &self.auth, &self.sessions);
        Router::new()
            .merge(streamz::routes(shared.clone(), auth.clone(), sessions.clone()))
            .merge(health::routes(shared.clone(), auth.clone(), sessions.clone()))
            .merge(backup::routes(shared.clone(), auth.clone(), self.backups.clone()))
    }

    /// Makes `/readyz` say that the server leaves, while it serves whoever comes: load balancers get time to send nobody any more.
    pub fn drain(&self) {
        self.shared.draining.cancel();
    }

    /// Ends all sessions: commits in flight are finished and answered, every open channel gets a terminal message, then
    /// the connections close. Returns when they have, or after [`Limits::shutdown_deadline`]. Closing the stores is left
    /// to whoever opened them.
    pub async fn shutdown(&self) {
        self.shared.stopping.cancel();
        self.sessions.ended(self.shutdown_deadline()).await;
    }
}
