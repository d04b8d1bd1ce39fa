//! Bearer tokens: JSON Web Tokens signed with the server's key, and the scopes in them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use axum::http::request::Parts;
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};

use super::access::{Access, AccessError, Authenticate};
use super::bearer::bearer;
use super::key::Key;
use super::scopes::Scopes;

#[async_trait]
impl Authenticate for Key {
    async fn authenticate(&self, head: &Parts) -> Result<Access, AccessError> {
        let access = bearer(&head.headers)?.and_then(|token| self.verify(token));
        access.ok_or(AccessError::Unknown)
    }
}

impl Key {
    /// Signs a token with these scopes that expires after `ttl`.
    ///
    /// # Errors
    /// What the signing library says.
    pub fn mint(&self, scopes: &[String], ttl: Duration) -> Result<String, jsonwebtoken::errors::Error> {
        let claims = Minted {
            exp: unix_seconds().saturating_add(ttl.as_secs()),
            scopes,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
    }

    /// The rights in a token; `None` if it is not ours, expired, or grants nothing. Which of these is not told to anyone.
    pub(super) fn verify(&self, token: &str) -> Option<Access> {
        let mut rules = Validation::new(Algorithm::HS256);
        rules.validate_aud = false;
        // The times are checked below: the library panics where the clock stands before 1970.
        rules.validate_exp = false;
        rules.validate_nbf = false;
        let token = jsonwebtoken::decode::<Claims>(token, &self.decoding, &rules).ok()?;
        if token.header.crit.is_some() {
            // It demands that extensions are understood, and we know none (RFC 7515, 4.1.11).
            return None;
        }
        let claims = token.claims;
        let now = unix_seconds() as f64;
        let is_ahead = |time: Option<f64>| time.is_some_and(|time| time > now);
        if is_ahead(claims.iat) || is_ahead(claims.nbf) {
            return None;
        }
        let left = Duration::try_from_secs_f64(claims.exp - now).ok();
        Some(Access {
            scopes: claims.scopes.parse()?,
            expires_in: left.filter(|left| !left.is_zero())?,
        })
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

#[derive(Serialize)]
struct Minted<'a> {
    exp: u64,
    scopes: &'a [String],
}

#[derive(Deserialize)]
struct Claims {
    exp: f64,
    iat: Option<f64>,
    nbf: Option<f64>,
    #[serde(default)]
    scopes: ScopeClaim,
}

/// The claim as issuers write it: one text or a list of them. Either is then split at commas, without trimming.
#[derive(Deserialize)]
#[serde(untagged)]
enum ScopeClaim {
    One(String),
    Many(Vec<serde_json::Value>),
}

impl Default for ScopeClaim {
    fn default() -> Self {
        ScopeClaim::Many(Vec::new())
    }
}

impl ScopeClaim {
    fn parse(&self) -> Option<Scopes> {
        let joined = match self {
            ScopeClaim::One(text) => text.clone(),
            ScopeClaim::Many(items) => {
                let texts = items.iter().map(|item| match item.as_str() {
                    Some(text) => text.to_owned(),
                    None => item.to_string(),
                });
                texts.collect::<Vec<_>>().join(",")
            }
        };
        Scopes::parse(joined.split(','))
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::EncodingKey;

    use super::*;

    #[test]
    fn expired_unsigned_wrongly_signed_and_endless_tokens_are_refused() {
        let key = Key::hs256(&[b'a'; 32]).unwrap();
        let other = Key::hs256(&[b'b'; 32]).unwrap();
        let scopes = vec!["streamkit::*".to_owned()];
        let sign = |header: Header, claims: serde_json::Value| {
            jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&[b'a'; 32])).unwrap()
        };
        assert!(
            key.verify(&key.mint(&scopes, Duration::from_secs(60)).unwrap())
                .is_some()
        );
        assert!(key.verify(&key.mint(&scopes, Duration::ZERO).unwrap()).is_none());
        assert!(
            key.verify(&other.mint(&scopes, Duration::from_secs(60)).unwrap())
                .is_none()
        );
        let claims = serde_json::json!({"scopes": scopes, "exp": 4_102_444_800_u64});
        assert!(
            key.verify(&sign(Header::new(Algorithm::HS512), claims.clone()))
                .is_none()
        );
        assert!(key.verify(&sign(Header::default(), claims)).is_some());
        let fraction = serde_json::json!({"scopes": scopes, "exp": 4_102_444_800.5});
        assert!(key.verify(&sign(Header::default(), fraction)).is_some());
        for unreal in [
            serde_json::json!(1e300),
            serde_json::json!(-1.0),
            serde_json::json!("soon"),
        ] {
            let claims = serde_json::json!({"scopes": scopes, "exp": unreal});
            assert!(key.verify(&sign(Header::default(), claims)).is_none(), "{unreal}");
        }
        let demanding = Header {
            crit: Some(vec!["exp".to_owned()]),
            ..Header::default()
        };
        let claims = serde_json::json!({"scopes": ["streamkit::*"], "exp": 4_102_444_800_u64});
        assert!(key.verify(&sign(demanding, claims)).is_none());
        let endless = serde_json::json!({"scopes": ["streamkit::*"]});
        assert!(key.verify(&sign(Header::default(), endless)).is_none());
        for early in ["nbf", "iat"] {
            let claims =
                serde_json::json!({"scopes": ["streamkit::*"], "exp": 4_102_444_800_u64, early: 4_102_444_700_u64});
            assert!(key.verify(&sign(Header::default(), claims)).is_none(), "{early}");
        }
        // {"alg":"none","typ":"JWT"} . {"exp":4102444800,"scopes":["streamkit::*"]} .
        let unsigned =
            "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJleHAiOjQxMDI0NDQ4MDAsInNjb3BlcyI6WyJzdHJlYW1raXQ6OioiXX0.";
        assert!(key.verify(unsigned).is_none());
        assert!(key.verify("garbage").is_none());
    }
}
