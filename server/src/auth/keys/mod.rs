//! The keys of a server: of files and of an issuer, all at a time, and renewed while it runs.

mod config;
mod fetch;
mod files;
mod issuer;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::request::Parts;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use config::{IssuerConfig, KeysConfig};
use files::Files;
use issuer::{Issuer, Refresh};

use super::access::{Access, AccessError, Authenticate};
use super::carried::carried;
use super::fault::TokenFault;
use super::key::{Key, KeyError};
use super::standing::KeysStanding;
use super::token::{TokenRules, verify};

/// What is told where nobody can say whether a token is right.
const NO_KEYS: &str = "the keys that tokens are checked with cannot be had now; try again";

/// The keys of a server. A token is believed if one of them signed it. Cheap to clone; all clones are the same keys.
///
/// Files are looked at again every [`KeysConfig::look`], and a set of an issuer is fetched again every [`IssuerConfig::period`], for as
/// long as a clone is there.
#[derive(Clone)]
pub struct Keys {
    inner: Arc<Inner>,
    #[expect(dead_code, reason = "ends the background work when dropped for the last time")]
    guard: Arc<DropGuard>,
}

struct Inner {
    files: Files,
    issuer: Option<Issuer>,
    rules: TokenRules,
    /// From which further pages cookies count, if they do.
    cookies: Option<Vec<String>>,
}

impl Keys {
    /// Reads the files and begins to fetch the issuer's set.
    ///
    /// # Errors
    /// [`KeyError`]: a file has no keys, or there is nothing to have keys from. An issuer that does not answer is no error:
    /// until it does, its tokens are answered 503.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn open(config: KeysConfig) -> Result<Self, KeyError> {
        let files = Files::open(config.files, config.set_files, config.unsaid.clone())?;
        let issuer = config
            .issuer
            .map(|issuer| Issuer::new(issuer, config.unsaid))
            .transpose()?;
        if files.is_empty() && issuer.is_none() {
            return Err(KeyError::Unclear("there is no key".into()));
        }
        let (rules, cookies) = (config.rules, config.cookies.then_some(config.cookie_pages));
        let inner = Arc::new(Inner {
            files,
            issuer,
            rules,
            cookies,
        });
        let ended = CancellationToken::new();
        tokio::spawn(
            ended
                .clone()
                .run_until_cancelled_owned(looking(inner.clone(), config.look)),
        );
        if inner.issuer.is_some() {
            tokio::spawn(ended.clone().run_until_cancelled_owned(fetching(inner.clone())));
        }
        let guard = Arc::new(ended.drop_guard());
        Ok(Self { inner, guard })
    }

    /// Reads all files again, at once, and asks the issuer for its set in the background. It blocks on files.
    ///
    /// # Errors
    /// [`KeyError`]: the first file that is broken; it keeps the keys that it had. All others are renewed.
    pub fn reload(&self) -> Result<(), KeyError> {
        if let Some(issuer) = &self.inner.issuer {
            issuer.fetch_soon();
        }
        self.inner.files.reload()
    }

    /// What a token opens.
    ///
    /// # Errors
    /// [`AccessError::Unknown`], [`AccessError::Unavailable`].
    ///
    /// # Cancel safety
    /// Dropped at any time.
    pub async fn access(&self, token: &str) -> Result<Access, AccessError> {
        match (self.inner.verify(token), &self.inner.issuer) {
            (Ok(access), _) => Ok(access),
            (Err(fault), Some(issuer)) => self.again(token, fault, issuer).await,
            (Err(fault), None) => Err(AccessError::Unknown(fault)),
        }
    }

    /// Once more with newer keys, if there may be some of which the token could be.
    async fn again(&self, token: &str, fault: TokenFault, issuer: &Issuer) -> Result<Access, AccessError> {
        let has_set = issuer.keys().is_some();
        let refresh = match fault {
            TokenFault::KeyId if has_set => issuer.for_unknown_key().await,
            TokenFault::KeyId | TokenFault::Algorithm | TokenFault::Signature if !has_set => issuer.first().await,
            _ => return Err(AccessError::Unknown(fault)),
        };
        match refresh {
            Refresh::Done => self.inner.verify(token).map_err(AccessError::Unknown),
            Refresh::NotNow => Err(AccessError::Unknown(fault)),
            Refresh::Unavailable => Err(AccessError::Unavailable(NO_KEYS.to_owned())),
        }
    }
}

impl Inner {
    fn verify(&self, token: &str) -> Result<Access, TokenFault> {
        let of_files = self.files.keys();
        let of_issuer = self.issuer.as_ref().and_then(Issuer::keys);
        let of_issuer = of_issuer.as_deref().unwrap_or_default();
        verify(of_files.iter().chain(of_issuer), token, &self.rules)
    }
}

async fn looking(inner: Arc<Inner>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        Files::look(&inner, |inner| &inner.files, every).await;
    }
}

async fn fetching(inner: Arc<Inner>) {
    if let Some(issuer) = &inner.issuer {
        issuer.keep_fetching().await;
    }
}

#[async_trait]
impl Authenticate for Keys {
    async fn authenticate(&self, head: &Parts) -> Result<Access, AccessError> {
        self.access(carried(&head.headers, self.inner.cookies.as_deref())?)
            .await
    }

    fn standing(&self) -> Option<KeysStanding> {
        let issuer = self.inner.issuer.as_ref();
        let of_issuer = issuer.and_then(Issuer::keys).map_or(0, |keys| keys.len());
        Some(KeysStanding {
            keys: self.inner.files.keys().len() + of_issuer,
            set_age: issuer.and_then(Issuer::age),
            fetches_failed: issuer.map_or(0, Issuer::failures),
            files_broken: self.inner.files.broken(),
        })
    }
}

/// A key alone, for a service that mounts the server and signs its tokens itself.
#[async_trait]
impl Authenticate for Key {
    async fn authenticate(&self, head: &Parts) -> Result<Access, AccessError> {
        let token = carried(&head.headers, None)?;
        let verified = verify(std::iter::once(self), token, &TokenRules::default());
        verified.map_err(AccessError::Unknown)
    }

    fn standing(&self) -> Option<KeysStanding> {
        Some(KeysStanding {
            keys: 1,
            ..KeysStanding::default()
        })
    }
}
