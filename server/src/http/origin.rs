//! From which pages browsers may come. A browser says so in `Origin`, which no page can forge; whoever is no browser writes there what it
//! likes, so this protects those who browse, and not the server.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};

use super::admitted::Refusal;
use crate::auth::TokenFault;
use crate::shared::Shared;

/// Whether a request comes from one of these origins; with none named, from any.
pub(crate) fn is_allowed(headers: &HeaderMap, origins: &[String]) -> bool {
    let mut named = headers.get_all(header::ORIGIN).iter();
    let is_one = |value: &header::HeaderValue| {
        let is = |origin: &String| value.as_bytes().eq_ignore_ascii_case(origin.as_bytes());
        origins.iter().any(is)
    };
    origins.is_empty() || (named.next().is_some_and(is_one) && named.next().is_none())
}

/// A request from an origin that may come.
pub(super) struct OfAllowedOrigin;

impl<S> FromRequestParts<S> for OfAllowedOrigin
where
    Arc<Shared>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let shared = Arc::<Shared>::from_ref(state);
        match is_allowed(&parts.headers, &shared.limits.origins) {
            true => Ok(Self),
            false => {
                shared.metrics.peers.token_refused(TokenFault::Origin.name());
                Err(Refusal::new(StatusCode::FORBIDDEN, "this origin may not connect"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(origins: &[&str]) -> HeaderMap {
        let named = origins.iter().map(|origin| (header::ORIGIN, origin.parse().unwrap()));
        named.collect()
    }

    #[test]
    fn with_a_list_only_its_origins_may_come() {
        let list = ["https://a.example".to_owned(), "http://localhost".to_owned()];
        for (origins, allowed) in [
            (&["https://a.example"][..], true),
            (&["HTTP://LOCALHOST"], true),
            (&["https://a.example.evil.example"], false),
            (&["http://a.example"], false),
            (&["null"], false),
            (&["https://a.example", "https://b.example"], false),
            (&[], false),
        ] {
            let headers: HeaderMap = headers(origins);
            assert_eq!(is_allowed(&headers, &list), allowed, "{origins:?}");
            assert!(is_allowed(&headers, &[]), "without a list");
        }
    }
}
