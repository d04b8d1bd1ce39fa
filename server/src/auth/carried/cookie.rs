//! A token in a cookie. A browser sends cookies along with requests of any page, so it counts only where the page is known.

use axum::http::{HeaderMap, Uri, header};

use crate::auth::access::AccessError;

/// As the Go system names it.
const COOKIE: &str = "app_token";

/// Its value, if it is there and has one.
pub(super) fn cookie(headers: &HeaderMap) -> Result<Option<&str>, AccessError> {
    let lines = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok());
    let pairs = lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let mut tokens = pairs.filter(|(name, _)| *name == COOKIE).map(|(_, value)| value);
    let token = tokens.next();
    if tokens.next().is_some() {
        return Err(AccessError::Unclear("more than one cookie app_token"));
    }
    Ok(token.filter(|token| !token.is_empty()))
}

/// Whether the page that sends a request was had from the same host, or from one of these origins.
pub(super) fn is_from_known_page(headers: &HeaderMap, pages: &[String]) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = text(header::ORIGIN) else {
        return false;
    };
    pages.iter().any(|page| page.eq_ignore_ascii_case(origin))
        || text(header::HOST).is_some_and(|host| is_of_host(origin, host))
}

fn is_of_host(origin: &str, host: &str) -> bool {
    let Ok(origin) = origin.parse::<Uri>() else {
        return false;
    };
    let has_scheme = origin.scheme().is_some();
    has_scheme
        && origin
            .authority()
            .is_some_and(|page| page.as_str().eq_ignore_ascii_case(host))
}
