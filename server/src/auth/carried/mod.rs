//! Where a request carries its token.

mod bearer;
mod cookie;
mod subprotocol;

use axum::http::HeaderMap;

pub use bearer::bearer;
pub use subprotocol::{Subprotocol, subprotocol};

use super::access::AccessError;
use super::fault::TokenFault;

/// The one token of a request: `Authorization: Bearer <token>`, or `bearer.<token>` beside `streamkit.v1` among the subprotocols it
/// offers, or the cookie `app_token`: only if `cookies` are allowed, and from pages of the server's own host and of these origins.
///
/// # Errors
/// [`AccessError::Unclear`]: there is more than one, of which a proxy might have looked at another one. [`AccessError::Unknown`]: there
/// is none.
pub(super) fn carried<'h>(headers: &'h HeaderMap, cookies: Option<&[String]>) -> Result<&'h str, AccessError> {
    let cookie = match cookies {
        Some(_) => cookie::cookie(headers)?,
        None => None,
    };
    let mut tokens = [bearer(headers)?, subprotocol::token(headers)?, cookie]
        .into_iter()
        .flatten();
    let token = tokens.next().ok_or(AccessError::Unknown(TokenFault::Missing))?;
    if tokens.next().is_some() {
        return Err(AccessError::Unclear("a token in more than one place"));
    }
    if cookie.is_some() && !cookie::is_from_known_page(headers, cookies.unwrap_or_default()) {
        return Err(AccessError::Unknown(TokenFault::Origin));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, header};

    use super::*;

    /// Cookies, from the server's own pages.
    const OWN: Option<&[String]> = Some(&[]);

    fn headers(all: &[(HeaderName, &'static str)]) -> HeaderMap {
        let of = |(name, value): &(HeaderName, &'static str)| (name.clone(), value.parse().unwrap());
        all.iter().map(of).collect()
    }

    #[test]
    fn a_token_stands_in_one_place() {
        let (auth, protocol, cookie) = (header::AUTHORIZATION, header::SEC_WEBSOCKET_PROTOCOL, header::COOKIE);
        let own = [(header::HOST, "a.example:80"), (header::ORIGIN, "http://a.example:80")];
        let places = [
            (auth, "Bearer t"),
            (protocol, "streamkit.v1, bearer.t"),
            (cookie, "x=y; app_token=t"),
        ];
        for (n, place) in places.iter().enumerate() {
            let one = headers(&[own.as_slice(), std::slice::from_ref(place)].concat());
            assert_eq!(carried(&one, OWN), Ok("t"));
            let other = places[(n + 1) % places.len()].clone();
            let two = headers(&[own.as_slice(), &[place.clone(), other]].concat());
            assert!(matches!(carried(&two, OWN), Err(AccessError::Unclear(_))));
        }
        let missing = Err(AccessError::Unknown(TokenFault::Missing));
        assert_eq!(carried(&HeaderMap::new(), OWN), missing);
        let cookie = [own.as_slice(), &places[2..]].concat();
        assert_eq!(carried(&headers(&cookie), None), missing);
    }

    #[test]
    fn a_cookie_counts_only_from_a_page_of_the_same_host() {
        let cookie = (header::COOKIE, "app_token=t");
        let host = (header::HOST, "a.example");
        for origin in ["http://a.example", "https://A.example"] {
            let own = headers(&[cookie.clone(), host.clone(), (header::ORIGIN, origin)]);
            assert_eq!(carried(&own, OWN), Ok("t"), "{origin}");
        }
        let foreign = Err(AccessError::Unknown(TokenFault::Origin));
        for origin in [
            "null",
            "http://b.example",
            "http://a.example.evil",
            "http://a.example:81",
            "http://b.a.example",
            "a.example",
        ] {
            let other = headers(&[cookie.clone(), host.clone(), (header::ORIGIN, origin)]);
            assert_eq!(carried(&other, OWN), foreign, "{origin}");
        }
        assert_eq!(carried(&headers(&[cookie.clone(), host]), OWN), foreign);
        assert_eq!(
            carried(&headers(&[cookie, (header::ORIGIN, "http://a.example")]), OWN),
            foreign
        );
    }
    #[test]
    fn a_cookie_counts_from_pages_that_are_named() {
        let pages = ["https://app.example".to_owned()];
        let from = |origin| {
            let all = [
                (header::COOKIE, "app_token=t"),
                (header::HOST, "stream.example"),
                (header::ORIGIN, origin),
            ];
            carried(&headers(&all), Some(&pages)).is_ok()
        };
        assert!(from("https://app.example") && from("https://APP.example") && from("https://stream.example"));
        assert!(!from("http://app.example") && !from("https://app.example.evil") && !from("https://b.example"));
    }
}
