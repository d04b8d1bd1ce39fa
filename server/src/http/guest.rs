//! A connection in its handshake, which asks for one thing after the other until it is upgraded.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, header};
use hyper::body::{Body as _, Incoming};
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use super::places::{Place, Stage};
use crate::websocket::Taken;

/// An answer that fits into any socket: it is on its way as soon as it is made.
const SMALL_ANSWER_BYTES: u64 = 16 << 10;

/// Nothing was answered yet.
const NEVER: u64 = u64::MAX;

/// One that has a place.
pub(super) struct Guest {
    place: Place,
    taken: Taken,
    /// Bytes that had come from it when its last answer was made.
    answered_at: AtomicU64,
}

impl Guest {
    pub(super) fn new(place: Place, taken: Taken) -> Arc<Self> {
        let answered_at = AtomicU64::new(NEVER);
        Arc::new(Self {
            place,
            taken,
            answered_at,
        })
    }

    /// Answers a request. Who is refused has to connect again, at the pace of its address.
    pub(super) async fn answer(
        self: Arc<Self>,
        mut router: Router,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        self.place.is_at(Stage::Waits);
        let mut answer = router.call(request).await?;
        self.answered_at.store(self.taken.read(), Ordering::Relaxed);
        let bytes = answer.body().size_hint().upper();
        let is_small = bytes.is_some_and(|bytes| bytes <= SMALL_ANSWER_BYTES);
        self.place.is_at(if is_small { Stage::Asks } else { Stage::Takes });
        if answer.status().is_client_error() || answer.status().is_server_error() {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(header::CONNECTION, close);
        }
        Ok(answer)
    }

    /// Cancelled when it has to give way.
    pub(super) fn gives_way(&self) -> &CancellationToken {
        self.place.gives_way()
    }

    /// Whether it ended with this because it did not ask in time. Who was answered and asks for nothing more is not late.
    pub(super) fn is_late(&self, error: &hyper::Error) -> bool {
        error.is_timeout() && self.answered_at.load(Ordering::Relaxed) != self.taken.read()
    }
}
