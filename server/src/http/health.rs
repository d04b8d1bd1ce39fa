//! What whoever watches a server asks: `GET /healthz`, `GET /readyz`, `GET /metrics`. None of it needs a token.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::sessions::Sessions;
use crate::auth::{Authenticate, KeysStanding};
use crate::metrics::{self, Moment};
use crate::shared::Shared;
use crate::told;

/// The header in which `/readyz` says how the stores commit: `io_uring` or `threads`. The body is `ok` alone, as whoever
/// watches servers expects it.
pub const COMMIT_METHOD_HEADER: &str = "streamkit-commit-method";

/// The header in which `/readyz` says by how many seconds the clock is behind the last commit of a store, where it is.
pub const CLOCK_BEHIND_HEADER: &str = "streamkit-clock-behind";

/// What `/readyz` says while nobody could be let in. Keys that are here once stay.
const NO_KEYS: &str = "the keys that tokens are checked with are not here yet";

/// What is looked at.
#[derive(Clone)]
struct Watched {
    shared: Arc<Shared>,
    auth: Arc<dyn Authenticate>,
    sessions: Arc<Sessions>,
}

/// Whether tokens are checked, and there is nothing to check them with.
fn has_no_keys(standing: Option<KeysStanding>) -> bool {
    standing.is_some_and(|standing| standing.keys == 0)
}

/// The routes.
pub(super) fn routes(shared: Arc<Shared>, auth: Arc<dyn Authenticate>, sessions: Arc<Sessions>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Watched { shared, auth, sessions })
}

async fn readyz(State(watched): State<Watched>) -> Response {
    let shared = &watched.shared;
    if shared.is_leaving() {
        return (StatusCode::SERVICE_UNAVAILABLE, "shutting down").into_response();
    }
    let stores = shared.stores.all();
    let mut answer = match stores.ready() {
        Ok(()) if has_no_keys(watched.auth.standing()) => (StatusCode::SERVICE_UNAVAILABLE, NO_KEYS).into_response(),
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

async fn metrics(State(watched): State<Watched>) -> Response {
    let Watched { shared, auth, sessions } = &watched;
    let text = metrics_text(shared, &**auth, sessions);
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

/// All that was counted, and what is so now.
pub(super) fn metrics_text(shared: &Shared, auth: &dyn Authenticate, sessions: &Sessions) -> String {
    let stores = shared.stores.all();
    let keys = auth.standing();
    shared.metrics.text(Moment {
        ready: !shared.is_leaving() && stores.ready().is_ok() && !has_no_keys(keys),
        connections: sessions.count(),
        clock_behind: stores.clock_behind().map_or(Duration::ZERO, |(_, by)| by),
        queued_bytes: stores.queued_bytes().unwrap_or(0),
        budgets: shared.budgets.held(),
        figures: stores.figures(),
        bus: shared.bus.figures(),
        keys,
    })
}
