//! The answer to a lease request.

use serde::Serialize;

use crate::MessageError;
use crate::object::object;

/// Whether the lease is held now.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct LeaseResult {
    /// Granted.
    pub ok: bool,
    /// Why the request was not understood; empty if it was.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// An addition: the fencing token of the lease that is held, or was released. It only grows with each grant; 0 where there is
    /// none.
    #[serde(skip_serializing_if = "is_zero")]
    pub fencing_token: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(token: &u64) -> bool {
    *token == 0
}

object!(LeaseResult { "ok" => ok, "message" => message, "fencing_token" => fencing_token });

impl LeaseResult {
    /// Reads one.
    ///
    /// # Errors
    /// [`MessageError`]: not an object, or a field of the wrong type.
    pub fn decode(message: &[u8]) -> Result<Self, MessageError> {
        Ok(serde_json::from_slice(message)?)
    }

    /// Writes it.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}
