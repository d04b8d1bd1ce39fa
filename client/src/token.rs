//! Reads a token without its key, since servers say only that they refuse it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::Error;

/// Why a server refused this token, which it does not say: [`Error::TokenExpired`] if the token's own claim and this
/// machine's clock agree on that, otherwise [`Error::Unauthorized`].
pub fn refused(token: &str) -> Error {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    match expiry(token).and_then(|expiry| now.checked_sub(expiry)) {
        Some(ago) => Error::TokenExpired { ago },
        None => Error::Unauthorized,
    }
}

/// When a token expires by its own claim, as Unix time. The claim is not verified: its issuer may have lied.
pub(crate) fn expiry(token: &str) -> Option<Duration> {
    #[derive(serde::Deserialize)]
    struct Claims {
        exp: f64,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let Claims { exp } = serde_json::from_slice(&claims).ok()?;
    Duration::try_from_secs_f64(exp).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("x.{}.y", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn an_expired_token_is_told_apart_from_a_wrong_one() {
        assert!(matches!(refused(&token(r#"{"exp":1000}"#)), Error::TokenExpired { .. }));
        for other in [
            token(r#"{"exp":4102444800}"#),
            token("{}"),
            token("x"),
            "x".to_owned(),
            String::new(),
        ] {
            assert!(matches!(refused(&other), Error::Unauthorized), "{other}");
        }
        assert!(matches!(refused(&token(r#"{"exp":1e400}"#)), Error::Unauthorized));
        assert!(matches!(refused(&token(r#"{"exp":-5}"#)), Error::Unauthorized));
    }
}
