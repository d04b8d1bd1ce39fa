//! The side of a link that is asked.

use std::sync::Arc;

use async_trait::async_trait;
use axum::http::request::Parts;
use streamkit_engine::Stores;
use streamkit_server_core::{
    Access, AccessError, Authenticate, Key, Limits, MessageBus, Server, TokenFault, TokenRules, bearer,
};

use super::secret::HostSecret;
use crate::host::HostId;

/// Lets hosts in: whoever shows a token that the common secret signed, for this host. So a host that took over the address of another one is
/// noticed, and is sent nothing.
pub struct HostGate {
    keys: [Key; 1],
    rules: TokenRules,
}

impl HostGate {
    /// The gate of host `own`.
    pub fn new(secret: &HostSecret, own: HostId) -> Self {
        Self {
            keys: [secret.key().clone()],
            rules: HostSecret::rules(own),
        }
    }
}

#[async_trait]
impl Authenticate for HostGate {
    async fn authenticate(&self, head: &Parts) -> Result<Access, AccessError> {
        let token = bearer(&head.headers)?.ok_or(AccessError::Unknown(TokenFault::Missing))?;
        Key::verify(&self.keys, token, &self.rules).map_err(AccessError::Unknown)
    }
}

/// The server of host `own` for other hosts, to be served on a listener of its own. `direct` are stores that forward nothing: what comes over a link
/// goes no further. What is stored through it is told over `bus`, which has to be that of the host's other server.
pub fn server(
    direct: Arc<dyn Stores>,
    secret: &HostSecret,
    own: HostId,
    limits: Limits,
    bus: Arc<dyn MessageBus>,
) -> Server {
    Server::on_bus(direct, HostGate::new(secret, own), limits, bus)
}
