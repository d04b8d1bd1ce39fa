//! What a connection was made with that matters when it ends.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use streamkit_protocol::{FRAMES_HEADER, FRAMES_IN_ORDER};
use tokio_tungstenite::tungstenite::http::HeaderMap;

use crate::metrics::Counters;
use crate::token;

/// So long before its token expires a connection is replaced, or a tenth of its time earlier if that is less.
const AHEAD_MAX: Duration = Duration::from_secs(10);

/// The terms of a connection.
#[derive(Clone, Default)]
pub(crate) struct Terms {
    /// Whether frames may be compressed, if the server may, too.
    pub(crate) compresses: bool,
    /// Whether the server ends each channel that it has begun before it says that the connection ends.
    pub(crate) ends_what_it_began: bool,
    /// Where its calls are counted, and that it is lost.
    pub(crate) counters: Arc<Counters>,
    /// When the token expires by its own claim, as Unix time.
    expires: Option<Duration>,
    /// When to look for a connection with a fresher token.
    renew_at: Option<Instant>,
}

impl Terms {
    /// Those of a connection that was just made with a token, and what the server answered.
    pub(crate) fn new(token: &str, answer: &HeaderMap) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let expires = token::expiry(token);
        let left = expires.and_then(|expires| expires.checked_sub(now));
        Self {
            compresses: false,
            counters: Arc::default(),
            ends_what_it_began: answer.get(FRAMES_HEADER).is_some_and(|value| value == FRAMES_IN_ORDER),
            expires,
            renew_at: left.and_then(|left| Instant::now().checked_add(left - (left / 10).min(AHEAD_MAX))),
        }
    }

    /// The same, of a connection whose frames may be compressed.
    pub(crate) fn compressing(self, compresses: bool) -> Self {
        Self { compresses, ..self }
    }

    /// The same, of a connection that is counted here.
    pub(crate) fn counted(self, counters: Arc<Counters>) -> Self {
        Self { counters, ..self }
    }

    /// Whether the token expires soon.
    pub(crate) fn is_aging(&self) -> bool {
        self.renew_at.is_some_and(|at| at <= Instant::now())
    }

    /// Whether the token lasts longer than another connection's.
    pub(crate) fn outlasts(&self, other: &Self) -> bool {
        self.expires > other.expires
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn terms(left: i64) -> Terms {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs()
            .cast_signed();
        let claims = format!(r#"{{"exp":{}}}"#, now + left);
        Terms::new(&format!("x.{}.y", URL_SAFE_NO_PAD.encode(claims)), &HeaderMap::new())
    }

    #[test]
    fn a_connection_ages_before_its_token_expires() {
        let ahead = |left: i64| {
            let at = terms(left).renew_at.unwrap();
            at.saturating_duration_since(Instant::now()).as_secs()
        };
        assert!((3580..=3590).contains(&ahead(3600)));
        assert!((16..=18).contains(&ahead(20)));
        assert!(!terms(3600).is_aging());
        assert!(terms(60).outlasts(&terms(10)) && !terms(10).outlasts(&terms(60)));
        let old = Terms {
            renew_at: Some(Instant::now()),
            ..terms(10)
        };
        assert!(old.is_aging());
        let unknown = Terms::new("opaque", &HeaderMap::new());
        assert!(!unknown.is_aging() && !unknown.outlasts(&unknown));
    }
}
