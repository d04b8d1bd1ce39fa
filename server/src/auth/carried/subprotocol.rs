//! A token among the subprotocols that a WebSocket offers: a browser's cannot set headers.

use axum::http::{HeaderMap, header};

use crate::auth::access::AccessError;

/// A version of the protocol, as a WebSocket's handshake names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subprotocol {
    /// What is spoken where none is named, too.
    V1,
    /// Spoken only where it is named.
    V2,
}

impl Subprotocol {
    /// Its name in a handshake.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "streamkit.v1",
            Self::V2 => streamkit_protocol::v2::SUBPROTOCOL,
        }
    }
}

/// What stands before the token.
const PREFIX: &str = "bearer.";

fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

/// The first of ours that is offered: it has to be answered then.
pub fn subprotocol(headers: &HeaderMap) -> Option<Subprotocol> {
    let ours = [Subprotocol::V1, Subprotocol::V2];
    offered(headers).find_map(|name| ours.into_iter().find(|version| version.name() == name))
}

/// The token in `streamkit.v1, bearer.<token>`.
pub(super) fn token(headers: &HeaderMap) -> Result<Option<&str>, AccessError> {
    let mut tokens = offered(headers).filter_map(|name| name.strip_prefix(PREFIX));
    let token = tokens.next();
    if tokens.next().is_some() {
        return Err(AccessError::Unclear("more than one subprotocol bearer"));
    }
    if token.is_some() && subprotocol(headers).is_none() {
        // The only one that could be answered would be the token.
        return Err(AccessError::Unclear(
            "the subprotocol bearer without streamkit.v1 or streamkit.v2 beside it",
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
            &["bearer.t, streamkit.v3"],
        ] {
            assert!(
                matches!(token(&headers(lines)), Err(AccessError::Unclear(_))),
                "{lines:?}"
            );
        }
    }
}
