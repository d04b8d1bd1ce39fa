//! `GET /streamz`: the WebSocket handshake, and the hand-over of an upgraded connection to a session.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{FromRef, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use hyper::upgrade::OnUpgrade;
use streamkit_protocol::{FRAMES_HEADER, FRAMES_IN_ORDER};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::admitted::Admitted;
use super::origin::OfAllowedOrigin;
use super::sessions::Sessions;
use crate::auth::{Access, Authenticate, Subprotocol, subprotocol};
use crate::metrics::{Limit, Metrics};
use crate::peer::Peer;
use crate::shared::Shared;
use crate::websocket::Taken;
use crate::{v1, v2};

/// Timers do not reach further than some years; what a session may do may.
const SESSION_MAX: Duration = Duration::from_secs(365 * 86_400);

/// What a session begins with.
#[derive(Clone)]
struct Door {
    shared: Arc<Shared>,
    auth: Arc<dyn Authenticate>,
    sessions: Arc<Sessions>,
}

impl FromRef<Door> for Arc<dyn Authenticate> {
    fn from_ref(door: &Door) -> Self {
        door.auth.clone()
    }
}

impl FromRef<Door> for Arc<Shared> {
    fn from_ref(state: &Door) -> Self {
        state.shared.clone()
    }
}

impl FromRef<Door> for Arc<Metrics> {
    fn from_ref(state: &Door) -> Self {
        state.shared.metrics.clone()
    }
}

/// The route.
pub(super) fn routes(shared: Arc<Shared>, auth: Arc<dyn Authenticate>, sessions: Arc<Sessions>) -> Router {
    let door = Door { shared, auth, sessions };
    Router::new().route("/streamz", get(streamz)).with_state(door)
}

async fn streamz(
    State(Door { shared, sessions, .. }): State<Door>,
    _: OfAllowedOrigin,
    Admitted(access): Admitted,
    taken: Option<Extension<Taken>>,
    headers: HeaderMap,
    upgraded: Option<Extension<OnUpgrade>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgraded = match (upgrade, upgraded) {
        (Ok(_), Some(Extension(upgraded))) => upgraded,
        (Ok(_), None) => return StatusCode::UPGRADE_REQUIRED.into_response(),
        (Err(rejection), _) => return rejection.into_response(),
    };
    if shared.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n").into_response();
    }
    let Some(place) = sessions.place(&access.scopes) else {
        shared.metrics.peers.limit_hit(Limit::Connections);
        tracing::warn!(limit = sessions.most(), "too many connections");
        return (StatusCode::SERVICE_UNAVAILABLE, "too many connections\n").into_response();
    };
    let version = subprotocol(&headers);
    let in_order = headers.get(FRAMES_HEADER).is_some_and(|value| value == FRAMES_IN_ORDER);
    let ending = shared.stopping.child_token();
    tokio::spawn(async move {
        match upgraded.await {
            Ok(upgraded) => {
                let Access { scopes, expires_in } = access;
                let peer = Peer {
                    scopes,
                    expiry: tokio::time::sleep(expires_in.min(SESSION_MAX)),
                    in_order,
                };
                let taken = taken.map(|Extension(taken)| taken);
                match version {
                    Some(Subprotocol::V2) => v2::run(upgraded, taken, shared, peer, ending).await,
                    Some(Subprotocol::V1) | None => v1::run(upgraded, taken, shared, peer, ending).await,
                }
            }
            Err(error) => tracing::debug!(%error, "a connection ended while it was upgraded"),
        }
        drop(place);
    });
    switched(&headers, version)
}

/// The answer with which HTTP ends and the WebSocket begins. Other than the library's own way, which has the same checks, it
/// leaves the connection's bytes to us.
fn switched(headers: &HeaderMap, version: Option<Subprotocol>) -> Response {
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
        // HTTP/2 has no such key, and no such status.
        return StatusCode::OK.into_response();
    };
    let accept = derive_accept_key(key.as_bytes());
    let fixed = [
        (header::CONNECTION, "upgrade"),
        (header::UPGRADE, "websocket"),
        (header::SEC_WEBSOCKET_ACCEPT, accept.as_str()),
        (header::HeaderName::from_static(FRAMES_HEADER), FRAMES_IN_ORDER),
    ];
    let mut answer = (StatusCode::SWITCHING_PROTOCOLS, fixed).into_response();
    if let Some(version) = version {
        // A browser ends a connection that answers none of those it offered. Never the one that holds a token.
        let protocol = HeaderValue::from_static(version.name());
        answer.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn future_bytes<A, B, C, D, E, F>(_: impl FnOnce(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    /// A server has tens of thousands of connections of which most do nothing, and each is in a box of this size, or a few hundred
    /// bytes more: the allocator's is 5 KiB.
    #[test]
    fn a_connection_holds_no_room_for_its_end() {
        for bytes in [future_bytes(v1::run), future_bytes(v2::run)] {
            assert!(bytes <= 4608, "{bytes}");
        }
    }
}
