//! A token among the subprotocols that a WebSocket offers: a browser's cannot set headers.

use axum::http::{HeaderMap, header};

use crate::auth::access::AccessError;

/// The subprotocol that the server answers, if it is offered. It has no meaning of its own.
pub const SUBPROTOCOL: &str = "streamkit.v1";

/// What stands before the token.
const PREFIX: &str = "bearer.";

fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

/// Whether [`SUBPROTOCOL`] is offered: it has to be answered then.
pub fn offers_subprotocol(headers: &HeaderMap) -> bool {
    offered(headers).any(|name| name == SUBPROTOCOL)
}

/// The token in `streamkit.v1, bearer.<token>`.
pub(super) fn token(headers: &HeaderMap) -> Result<Option<&str>, AccessError> {
    let mut tokens = offered(headers).filter_map(|name| name.strip_prefix(PREFIX));
    let token = tokens.next();
    if tokens.next().is_some() {
        return Err(AccessError::Unclear("more than one subprotocol bearer"));
    }
    if token.is_some() && !offers_subprotocol(headers) {
        // The only one that could be answered would be the token.
        return Err(AccessError::Unclear(
            "the subprotocol bearer without streamkit.v1 beside it",
        ));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_beside_the_protocol_that_is_answered() {
        let headers = |lines: &[&'static str]| -> HeaderMap {
            let of = |line: &&'static str| (header::SEC_WEBSOCKET_PROTOCOL, line.parse().unwrap());
            lines.iter().map(of).collect()
        };
        for (lines, found) in [
            (["streamkit.v1,bearer.a.b.c"].as_slice(), Some("a.b.c")),
            (&["bearer.t", "streamkit.v1"], Some("t")),
            (&["streamkit.v1"], None),
            (&["other"], None),
            (&["Bearer.t, streamkit.v1"], None),
        ] {
            assert_eq!(token(&headers(lines)), Ok(found), "{lines:?}");
        }
        for lines in [
            ["bearer.t"].as_slice(),
            &["bearer.t, bearer.t, streamkit.v1"],
            &["bearer.t, streamkit.v2"],
        ] {
            assert!(
                matches!(token(&headers(lines)), Err(AccessError::Unclear(_))),
                "{lines:?}"
            );
        }
    }
}
