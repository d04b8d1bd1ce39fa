//! A key that tokens are checked with, and signed with if its secret part is there.
//!
//! ```text
//! file.rs: what a file is ─▶ secret.rs, pem.rs, jwk.rs ─▶ material.rs, signer.rs ─▶ key.rs: check.rs, one an algorithm
//! ```

mod check;
mod error;
mod file;
mod jwk;
#[expect(clippy::module_inception, reason = "the type that the room is named for")]
mod key;
mod material;
mod pem;
mod secret;
mod signer;

pub use error::KeyError;
pub(super) use file::{FileKind, SET_BYTES_MAX, parse as parse_file, read_up_to};
pub(super) use jwk::{Trust, keys_of_set};
pub use key::Key;
