//! Why a token is not believed.

/// Why a token is not believed. It is counted and never told to whoever sent it: it would help to forge the next one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum TokenFault {
    /// There is none.
    Missing,
    /// It is too long, no signed token, demands extensions that nobody knows, or lacks `exp`.
    Malformed,
    /// None of the keys it could be of is for its algorithm.
    Algorithm,
    /// No key has the id that it names.
    KeyId,
    /// It was signed with another key, or changed.
    Signature,
    /// Its `exp` has passed.
    Expired,
    /// Its `nbf` or `iat` is still to come.
    NotYet,
    /// It is for somebody else.
    Audience,
    /// It is of somebody else.
    Issuer,
    /// It opens no store, or one of its scopes is malformed.
    Scopes,
    /// It came as a cookie, from a page that may not use it.
    Origin,
    /// A service's own [`crate::Authenticate`] has its own reasons.
    Other,
}

impl TokenFault {
    /// All of them.
    pub(crate) const ALL: [TokenFault; 12] = [
        TokenFault::Missing,
        TokenFault::Malformed,
        TokenFault::Algorithm,
        TokenFault::KeyId,
        TokenFault::Signature,
        TokenFault::Expired,
        TokenFault::NotYet,
        TokenFault::Audience,
        TokenFault::Issuer,
        TokenFault::Scopes,
        TokenFault::Origin,
        TokenFault::Other,
    ];

    /// As `/metrics` spells it.
    pub fn name(self) -> &'static str {
        match self {
            TokenFault::Missing => "missing",
            TokenFault::Malformed => "malformed",
            TokenFault::Algorithm => "algorithm",
            TokenFault::KeyId => "kid",
            TokenFault::Signature => "signature",
            TokenFault::Expired => "expired",
            TokenFault::NotYet => "not_yet",
            TokenFault::Audience => "audience",
            TokenFault::Issuer => "issuer",
            TokenFault::Scopes => "scopes",
            TokenFault::Origin => "origin",
            TokenFault::Other => "other",
        }
    }
}
