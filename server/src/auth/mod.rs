//! Who may do what: a hook for any authentication, and the server's own, which reads bearer tokens signed with its key.

mod access;
mod bearer;
mod key;
mod scopes;
mod token;

pub use access::{Access, AccessError, Authenticate};
pub use bearer::bearer;
pub use key::{Key, KeyError};
pub use scopes::{Right, Rights, Scopes};
