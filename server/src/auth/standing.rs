//! How keys stand, for `/readyz` and `/metrics`.

use std::time::Duration;

/// How the keys of a server stand.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct KeysStanding {
    /// How many tokens are checked with.
    pub keys: usize,
    /// How old the issuer's set is: the time since it was fetched last. `None` where it never was, or there is no issuer.
    pub set_age: Option<Duration>,
    /// Fetches of it that failed.
    pub fetches_failed: u64,
    /// Files whose newest content has no keys: what they had before counts.
    pub files_broken: usize,
}
