//! What is asked of a token beside its signature and its scopes.

use std::time::Duration;

/// What is asked of a token beside its signature and its scopes. By default: that its time has come and not passed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct TokenRules {
    /// Whom it must be for: its `aud` is one of these, or has one of these. Not looked at if there are none.
    pub audiences: Vec<String>,
    /// Who must have made it: its `iss` is one of these. Not looked at if there are none.
    pub issuers: Vec<String>,
    /// How far the clock of whoever made it may be off: `nbf` and `iat` may be so far ahead, and it lasts so much longer than its
    /// `exp`. None by default.
    pub leeway: Duration,
}
