//! The HTTP side: the routes, the token check, and the hand-over of an upgraded connection to a session.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use hyper::upgrade::OnUpgrade;
use streamkit_engine::Stores;
use streamkit_protocol::{FRAMES_HEADER, FRAMES_IN_ORDER};
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::{Access, Key};
use crate::limits::Limits;
use crate::metrics::{self, Metrics};
use crate::session;
use crate::socket::Taken;
use crate::stores::OpenStores;
use crate::told;

/// The header in which `/readyz` says how the stores commit: `io_uring` or `threads`. The body is `ok` alone, as whoever
/// watches servers expects it.
pub const COMMIT_METHOD_HEADER: &str = "streamkit-commit-method";

/// The header in which `/readyz` says by how many seconds the clock is behind the last commit of a store, where it is.
pub const CLOCK_BEHIND_HEADER: &str = "streamkit-clock-behind";

/// A server over some stores. Cheap to clone; all clones are the same server.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

/// What all sessions share.
pub(crate) struct Shared {
    pub(crate) stores: OpenStores,
    pub(crate) limits: Limits,
    pub(crate) key: Key,
    pub(crate) metrics: Metrics,
    connections: Arc<Semaphore>,
    pub(crate) budgets: Arc<session::Budgets>,
    /// Of backups being read.
    pub(crate) backups: Arc<Semaphore>,
    pub(crate) stopping: CancellationToken,
    sessions: TaskTracker,
}

impl Server {
    /// A server that serves `stores` to bearers of tokens signed with `key`.
    pub fn new(stores: Arc<dyn Stores>, key: Key, limits: Limits) -> Self {
        let shared = Shared {
            stores: OpenStores::new(stores, limits.clone()),
            connections: Arc::new(Semaphore::new(limits.connections)),
            budgets: Arc::new(session::Budgets::new(&limits)),
            backups: Arc::new(Semaphore::new(crate::backup::READS_MAX)),
            key,
            metrics: Metrics::new(),
            stopping: CancellationToken::new(),
            sessions: TaskTracker::new(),
            limits,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    pub(crate) fn stopping(&self) -> CancellationToken {
        self.shared.stopping.clone()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// [`Limits::shutdown_deadline`].
    pub fn shutdown_deadline(&self) -> Duration {
        self.shared.limits.shutdown_deadline
    }

    /// `GET /streamz` (the protocol), `GET /healthz` (the process lives), `GET /readyz` (storage is writable, and how it
    /// commits: [`COMMIT_METHOD_HEADER`]), `GET /metrics` (what it counted), `GET /backup` and what stands below it ([`crate::backup`]).
    pub fn router(&self) -> Router {
        Router::new()
            .route("/streamz", get(streamz))
            .route("/healthz", get(async || "ok"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .merge(crate::backup::routes())
            .with_state(self.shared.clone())
    }

    /// Ends all sessions: commits in flight are finished and answered, every open channel gets a terminal message, then
    /// the connections close. Returns when they have, or after [`Limits::shutdown_deadline`]. Closing the stores is left
    /// to whoever opened them.
    pub async fn shutdown(&self) {
        self.shared.stopping.cancel();
        self.shared.sessions.close();
        let deadline = self.shared.limits.shutdown_deadline;
        if tokio::time::timeout(deadline, self.shared.sessions.wait())
            .await
            .is_err()
        {
            tracing::warn!(sessions = self.shared.sessions.len(), "sessions did not end in time");
        }
    }
}

async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    if shared.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "shutting down").into_response();
    }
    let stores = shared.stores.all();
    let mut answer = match stores.ready() {
        Ok(()) => "ok".into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, told::storage(&error)).into_response(),
    };
    if let Some(method) = stores.commit_method() {
        let method = HeaderValue::from_static(method);
        answer.headers_mut().insert(COMMIT_METHOD_HEADER, method);
    }
    if let Some((_, by)) = stores.clock_behind() {
        let seconds = HeaderValue::from(by.as_secs());
        answer.headers_mut().insert(CLOCK_BEHIND_HEADER, seconds);
    }
    answer
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let ready = !shared.stopping.is_cancelled() && shared.stores.all().ready().is_ok();
    let connections = shared.limits.connections - shared.connections.available_permits();
    let clock_behind = shared.stores.all().clock_behind();
    shared.metrics.queued(shared.stores.all().queued_bytes().unwrap_or(0));
    let clock_behind = clock_behind.map_or(Duration::ZERO, |(_, by)| by);
    let text = shared
        .metrics
        .text(ready, connections, clock_behind, shared.budgets.held());
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

async fn streamz(
    State(shared): State<Arc<Shared>>,
    taken: Option<Extension<Taken>>,
    headers: HeaderMap,
    upgraded: Option<Extension<OnUpgrade>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let access = match authenticate(&shared.key, &headers) {
        Ok(access) => access,
        Err(refused) => {
            let nosniff = (header::X_CONTENT_TYPE_OPTIONS, "nosniff");
            return (refused.0, [nosniff], format!("{}\n", refused.1)).into_response();
        }
    };
    let upgraded = match (upgrade, upgraded) {
        (Ok(_), Some(Extension(upgraded))) => upgraded,
        (Ok(_), None) => return StatusCode::UPGRADE_REQUIRED.into_response(),
        (Err(rejection), _) => return rejection.into_response(),
    };
    if shared.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n").into_response();
    }
    let Ok(permit) = shared.connections.clone().try_acquire_owned() else {
        tracing::warn!(limit = shared.limits.connections, "too many connections");
        return (StatusCode::SERVICE_UNAVAILABLE, "too many connections\n").into_response();
    };
    let in_order = headers.get(FRAMES_HEADER).is_some_and(|value| value == FRAMES_IN_ORDER);
    let ending = shared.stopping.child_token();
    let tracked = shared.sessions.token();
    tokio::spawn(async move {
        match upgraded.await {
            Ok(upgraded) => {
                let Access { scopes, expires_in } = access;
                // Timers do not reach further than some years; a token may.
                let expiry = tokio::time::sleep(expires_in.min(Duration::from_secs(365 * 86_400)));
                let taken = taken.map(|Extension(taken)| taken);
                let peer = session::Admitted {
                    scopes,
                    expiry,
                    in_order,
                };
                session::run(upgraded, taken, shared, peer, ending).await;
            }
            Err(error) => tracing::debug!(%error, "a connection ended while it was upgraded"),
        }
        drop((permit, tracked));
    });
    switched(&headers)
}

/// The answer with which HTTP ends and the WebSocket begins. Other than the library's own way, which has the same checks, it
/// leaves the connection's bytes to us.
fn switched(headers: &HeaderMap) -> Response {
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
        // HTTP/2 has no such key, and no such status.
        return StatusCode::OK.into_response();
    };
    let accept = derive_accept_key(key.as_bytes());
    let headers = [
        (header::CONNECTION, "upgrade"),
        (header::UPGRADE, "websocket"),
        (header::SEC_WEBSOCKET_ACCEPT, accept.as_str()),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// `Authorization: Bearer <token>`: the scheme in any case, one space, the rest is the token. Otherwise with what it is refused.
pub(crate) fn authenticate(key: &Key, headers: &HeaderMap) -> Result<Access, (StatusCode, &'static str)> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next();
    if values.next().is_some() {
        // A proxy might have looked at the other one.
        return Err((StatusCode::BAD_REQUEST, "more than one Authorization header"));
    }
    let access = value.and_then(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.verify(token))?
    });
    access.ok_or((StatusCode::UNAUTHORIZED, "Unauthorized"))
}
