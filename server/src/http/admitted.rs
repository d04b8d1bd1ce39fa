//! Whom a request is from, before anything else is done with it.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::auth::{Access, AccessError, Authenticate};
use crate::metrics::Metrics;

/// What whoever sent a request may do.
pub(super) struct Admitted(pub(super) Access);

/// An answer that refuses.
pub(super) struct Refusal {
    status: StatusCode,
    why: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { status, why }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let nosniff = (header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        (self.status, [nosniff], format!("{}\n", self.why)).into_response()
    }
}

impl From<AccessError> for Refusal {
    fn from(error: AccessError) -> Self {
        let status = match &error {
            AccessError::Unclear(_) => StatusCode::BAD_REQUEST,
            AccessError::Unknown(_) => StatusCode::UNAUTHORIZED,
            AccessError::Forbidden(_) => StatusCode::FORBIDDEN,
            AccessError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

impl<S> FromRequestParts<S> for Admitted
where
    Arc<dyn Authenticate>: FromRef<S>,
    Arc<Metrics>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let auth = Arc::<dyn Authenticate>::from_ref(state);
        let access = auth.authenticate(parts).await;
        Ok(Self(access.inspect_err(|error| {
            let reason = error.reason();
            Arc::<Metrics>::from_ref(state).peers.token_refused(reason);
            tracing::debug!(reason, "a request was not let in");
        })?))
    }
}
