//! Whether a token was signed with one of our keys, and what it opens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::claims::Claims;
use super::rules::TokenRules;
use crate::auth::access::Access;
use crate::auth::algorithm::Algorithm;
use crate::auth::fault::TokenFault;
use crate::auth::key::Key;

/// Most bytes of a token.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// What a token says of itself. Nothing in it is believed: it chooses among our keys and their algorithms.
#[derive(Deserialize)]
struct TokenHeader {
    alg: String,
    kid: Option<String>,
    crit: Option<serde::de::IgnoredAny>,
}

/// What a token opens.
pub(crate) fn verify<'a>(
    keys: impl Iterator<Item = &'a Key> + Clone,
    token: &str,
    rules: &TokenRules,
) -> Result<Access, TokenFault> {
    let payload = payload(keys, token).and_then(decoded)?;
    let claims = Claims::read(&payload)?;
    claims.access(rules, now())
}

impl Key {
    /// What a token opens that one of these keys may have signed. It reads no header of a request: [`crate::Keys`] does.
    ///
    /// # Errors
    /// [`TokenFault`], which is not to be told to whoever sent the token.
    pub fn verify(keys: &[Self], token: &str, rules: &TokenRules) -> Result<Access, TokenFault> {
        verify(keys.iter(), token, rules)
    }
}

/// The part of a token with its claims, once the signature is found right.
fn payload<'a, 't>(keys: impl Iterator<Item = &'a Key> + Clone, token: &'t str) -> Result<&'t str, TokenFault> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenFault::Malformed);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(TokenFault::Malformed)?;
    let (header, payload) = message.split_once('.').ok_or(TokenFault::Malformed)?;
    if payload.contains('.') {
        return Err(TokenFault::Malformed);
    }
    let header: TokenHeader = serde_json::from_slice(&decoded(header)?).map_err(|_| TokenFault::Malformed)?;
    if header.crit.is_some() {
        // It demands that extensions are understood, and we know none (RFC 7515, 4.1.11).
        return Err(TokenFault::Malformed);
    }
    let signature = decoded(signature)?;
    let algorithm: Algorithm = header.alg.parse().map_err(|_| TokenFault::Algorithm)?;
    let may_be = |key: &&Key| match (&header.kid, key.id()) {
        (Some(named), Some(id)) => named == id,
        _ => true,
    };
    let mut tried = keys
        .clone()
        .filter(may_be)
        .filter_map(|key| key.signed(algorithm, message.as_bytes(), &signature))
        .peekable();
    let fault = match tried.peek() {
        Some(_) => TokenFault::Signature,
        None => TokenFault::Algorithm,
    };
    if tried.any(|signed| signed) {
        return Ok(payload);
    }
    // Of a key that we do not have, whatever those without an id say to it.
    let mut ids = keys.filter_map(Key::id).peekable();
    let is_unknown = |named: &String| ids.peek().is_some() && !ids.any(|id| id == named);
    match header.kid.as_ref().is_some_and(is_unknown) {
        true => Err(TokenFault::KeyId),
        false => Err(fault),
    }
}

/// A part of a token: base64url without padding, and in no other spelling.
fn decoded(part: &str) -> Result<Vec<u8>, TokenFault> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenFault::Malformed)
}

/// Seconds since 1970; 0 where the clock stands before.
fn now() -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap_or_default().as_secs_f64()
}
