//! Tokens: [JSON Web Tokens](https://www.rfc-editor.org/rfc/rfc7519), signed ([RFC 7515](https://www.rfc-editor.org/rfc/rfc7515)).

mod claims;
mod mint;
mod rules;
mod verify;

pub use mint::{MintError, Minting};
pub use rules::TokenRules;
pub(super) use verify::verify;
