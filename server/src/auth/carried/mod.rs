//! Where a request carries its token.

mod bearer;
mod cookie;
mod subprotocol;

use axum::http::HeaderMap;

pub use bearer::bearer;
pub use subprotocol::{SUBPROTOCOL, offers_subprotocol};

use super::access::AccessError;
use super::fault::TokenFault;

/// The one token of a request: `Authorization: Bearer <token>`, or `bearer.<token>` beside `streamkit.v1` among the subprotocols it
/// offers, or, only if `cookies` are allowed and the page is one of the server's own host, the cookie `app_token`.
///
/// # Errors
/// [`AccessError::Unclear`]: there is more than one, of which a proxy might have looked at another one. [`AccessError::Unknown`]: there
/// is none.
pub(super) fn carried(headers: &HeaderMap, cookies: bool) -> Result<&str, AccessError> {
    let cookie = match cookies {
        true => cookie::cookie(headers)?,
        false => None,
    };
    let mut tokens = [bearer(headers)?, subprotocol::token(headers)?, cookie]
        .into_iter()
        .flatten();
    let token = tokens.next().ok_or(AccessError::Unknown(TokenFault::Missing))?;
    if tokens.next().is_some() {
        return Err(AccessError::Unclear("a token in more than one place"));
    }
    if cookie.is_some() && !cookie::is_from_own_page(headers) {
        return Err(AccessError::Unknown(TokenFault::Origin));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, header};

    use super::*;

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
            assert_eq!(carried(&one, true), Ok("t"));
            let other = places[(n + 1) % places.len()].clone();
            let two = headers(&[own.as_slice(), &[place.clone(), other]].concat());
            assert!(matches!(carried(&two, true), Err(AccessError::Unclear(_))));
        }
        let missing = Err(AccessError::Unknown(TokenFault::Missing));
        assert_eq!(carried(&HeaderMap::new(), true), missing);
        let cookie = [own.as_slice(), &places[2..]].concat();
        assert_eq!(carried(&headers(&cookie), false), missing);
    }

    #[test]
    fn a_cookie_counts_only_from_a_page_of_the_same_host() {
        let cookie = (header::COOKIE, "app_token=t");
        let host = (header::HOST, "a.example");
        for origin in ["http://a.example", "https://A.example"] {
            let own = headers(&[cookie.clone(), host.clone(), (header::ORIGIN, origin)]);
            assert_eq!(carried(&own, true), Ok("t"), "{origin}");
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
            assert_eq!(carried(&other, true), foreign, "{origin}");
        }
        assert_eq!(carried(&headers(&[cookie.clone(), host]), true), foreign);
        assert_eq!(
            carried(&headers(&[cookie, (header::ORIGIN, "http://a.example")]), true),
            foreign
        );
    }
}
