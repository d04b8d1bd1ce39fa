//! Who speaks on a connection, as its handshake found.

use crate::auth::Scopes;

/// Who was let in.
pub(crate) struct Peer {
    pub(crate) scopes: Scopes,
    /// Over when its token expires; calls under way then have [`crate::Limits::token_grace`].
    pub(crate) expiry: tokio::time::Sleep,
    /// Whether it says that none of its frames overtakes another.
    pub(crate) in_order: bool,
}
