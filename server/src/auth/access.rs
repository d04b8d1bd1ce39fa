//! Who may do what: the hook through which a server learns it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::request::Parts;

use super::fault::TokenFault;
use super::scopes::Scopes;
use super::standing::KeysStanding;

/// What a session may do, and for how long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Access {
    /// Which stores, and what there.
    pub scopes: Scopes,
    /// Time left when this was found out. Then the session begins no further calls, and ends with those under way, at the latest after
    /// [`crate::Limits::token_grace`].
    pub expires_in: Duration,
}

/// Why somebody is not let in.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// The request says who it is from in more than one way, of which another reader might take another one. Answered 400.
    #[error("{0}")]
    Unclear(&'static str),
    /// It does not say so, or is not believed. Why is counted, and not told to whoever sent it. Answered 401.
    #[error("Unauthorized")]
    Unknown(TokenFault),
    /// It is known who it is from, and that they may do nothing here. Answered 403 with this text.
    #[error("{0}")]
    Forbidden(String),
    /// Whoever could tell cannot be asked now. Answered 503 with this text, which must not tell more than a stranger may know.
    #[error("{0}")]
    Unavailable(String),
}

impl AccessError {
    const UNCLEAR: &str = "unclear";
    const FORBIDDEN: &str = "forbidden";
    const UNAVAILABLE: &str = "unavailable";

    /// Why, for those who run the server, as `/metrics` spells it.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            AccessError::Unclear(_) => Self::UNCLEAR,
            AccessError::Unknown(fault) => fault.name(),
            AccessError::Forbidden(_) => Self::FORBIDDEN,
            AccessError::Unavailable(_) => Self::UNAVAILABLE,
        }
    }

    /// All reasons.
    pub(crate) fn reasons() -> impl Iterator<Item = &'static str> {
        let others = [Self::UNCLEAR, Self::FORBIDDEN, Self::UNAVAILABLE];
        TokenFault::ALL.map(TokenFault::name).into_iter().chain(others)
    }
}

/// Finds out what whoever sent a request may do. [`crate::Keys`] and [`crate::Key`] read tokens; a service that mounts the router
/// may bring its own.
///
/// Asked once a session, and once a request of a backup. What it takes back later ends a session only with [`Access::expires_in`].
#[async_trait]
pub trait Authenticate: Send + Sync + 'static {
    /// What whoever sent a request with this head may do. The head has the headers, and what layers above the router have put
    /// into its extensions.
    ///
    /// # Errors
    /// [`AccessError`]: the request is answered with it.
    ///
    /// # Cancel safety
    /// Dropped when the connection is gone.
    async fn authenticate(&self, head: &Parts) -> Result<Access, AccessError>;

    /// How the keys stand, for `/readyz` and `/metrics`. By default, nothing is said of keys.
    fn standing(&self) -> Option<KeysStanding> {
        None
    }
}

#[async_trait]
impl<T: Authenticate + ?Sized> Authenticate for Arc<T> {
    async fn authenticate(&self, head: &Parts) -> Result<Access, AccessError> {
        (**self).authenticate(head).await
    }

    fn standing(&self) -> Option<KeysStanding> {
        (**self).standing()
    }
}
