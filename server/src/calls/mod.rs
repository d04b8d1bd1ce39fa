//! The calls of peers as whoever watches the server knows them: whose trace a call belongs to, and what the log says of it.

mod caller;
mod current;

pub(crate) use caller::continued;
pub use caller::{CallerTrace, continue_traces};
pub(crate) use current::serving;
pub use current::{Call, with_current_call};
