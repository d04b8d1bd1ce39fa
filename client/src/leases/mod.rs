//! Leases: the right to do something alone, asked for, kept and given back; over either version of the protocol.
//!
//! ```text
//! calls.rs: work under a lease ─▶ hold.rs: a lease that is kept ─▶ held.rs: whether it is held, for whoever asks
//!                                 └▶ keeper.rs: one task asks for it, renews it, gives it back ─▶ change.rs: one change, v2 or v1
//! ```

mod calls;
mod change;
mod error;
mod held;
mod hold;
mod keeper;
mod wanted;

pub use error::{LeaseError, LeaseLost};
pub use held::Held;
pub use hold::HeldLease;
pub use wanted::NewLease;
