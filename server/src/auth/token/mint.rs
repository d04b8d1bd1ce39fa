//! Signing tokens.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::auth::algorithm::Algorithm;
use crate::auth::key::Key;

/// A token to be signed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Minting {
    /// What it opens, spelled as [`crate::Scopes`] says.
    pub scopes: Vec<String>,
    /// How long it is valid from now on. Whole seconds count.
    pub ttl: Duration,
    /// Whom it is for: `aud`. Not there if empty.
    pub audiences: Vec<String>,
    /// Who makes it: `iss`.
    pub issuer: Option<String>,
    /// Whom it is given to: `sub`. The server does not look at it.
    pub subject: Option<String>,
    /// The `kid` in its header; the key's own if not said.
    pub key_id: Option<String>,
    /// What it is signed with; the key's first if not said.
    pub algorithm: Option<Algorithm>,
}

/// Why a token was not signed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// The key only checks signatures.
    #[error("this key only checks tokens; to sign them takes a secret or a private key")]
    CannotSign,
    /// The key is not for that algorithm.
    #[error("this key does not sign with {0}")]
    Algorithm(Algorithm),
    /// The library failed.
    #[error("the library cannot sign with this key")]
    Library,
}

#[derive(Serialize)]
struct MintedHeader<'a> {
    typ: &'static str,
    alg: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

#[derive(Serialize)]
struct Minted<'a> {
    exp: u64,
    scopes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<Audiences<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Audiences<'a> {
    One(&'a str),
    Several(&'a [String]),
}

impl<'a> Audiences<'a> {
    fn of(audiences: &'a [String]) -> Option<Self> {
        match audiences {
            [] => None,
            [one] => Some(Self::One(one)),
            several => Some(Self::Several(several)),
        }
    }
}

impl Key {
    /// Signs a token with these scopes that expires after `ttl`.
    ///
    /// # Errors
    /// [`MintError`].
    pub fn mint(&self, scopes: &[String], ttl: Duration) -> Result<String, MintError> {
        self.mint_token(&Minting {
            scopes: scopes.to_vec(),
            ttl,
            ..Minting::default()
        })
    }

    /// Signs a token.
    ///
    /// # Errors
    /// [`MintError`].
    pub fn mint_token(&self, minting: &Minting) -> Result<String, MintError> {
        if !self.can_sign() {
            return Err(MintError::CannotSign);
        }
        let algorithm = match minting.algorithm {
            Some(algorithm) if self.algorithms().all(|own| own != algorithm) => {
                return Err(MintError::Algorithm(algorithm));
            }
            Some(algorithm) => algorithm,
            None => self.algorithms().next().ok_or(MintError::CannotSign)?,
        };
        let header = MintedHeader {
            typ: "JWT",
            alg: algorithm.name(),
            kid: minting.key_id.as_deref().or(self.id()),
        };
        let claims = Minted {
            exp: unix_seconds().saturating_add(minting.ttl.as_secs()),
            scopes: &minting.scopes,
            aud: Audiences::of(&minting.audiences),
            iss: minting.issuer.as_deref(),
            sub: minting.subject.as_deref(),
        };
        let message = format!("{}.{}", encoded(&header)?, encoded(&claims)?);
        let signature = self.sign(algorithm, message.as_bytes()).ok_or(MintError::Library)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn encoded(part: &impl Serialize) -> Result<String, MintError> {
    let json = serde_json::to_vec(part).map_err(|_| MintError::Library)?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

fn unix_seconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}
