//! Who may do what: a hook for any authentication, and the server's own, which believes tokens that one of its keys signed.
//!
//! ```text
//! carried/: where a request has its token    token/: whether it is right, what it opens, signing
//! key/:     one key, of a file or a set      keys/:  all of them, renewed while the server runs
//! ```

mod access;
mod algorithm;
mod carried;
mod fault;
mod key;
mod keys;
mod scopes;
mod standing;
mod token;

pub use access::{Access, AccessError, Authenticate};
pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use carried::{Subprotocol, bearer, subprotocol};
pub use fault::TokenFault;
pub use key::{Key, KeyError};
pub use keys::{IssuerConfig, Keys, KeysConfig};
pub use scopes::{Right, Rights, Scopes};
pub use standing::KeysStanding;
pub use token::{MintError, Minting, TokenRules};
