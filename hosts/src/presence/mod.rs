//! Which hosts are there. Each keeps a row of its own in a register that all reach, changes it every two seconds, and reads those of the
//! others. One whose row does not change for six seconds is taken for gone.
//!
//! No two clocks have to agree: each host counts by its own, from the read in which it saw a row change.

mod keeper;
mod register;
mod roster;
mod table;

pub use keeper::Presence;
pub use register::{HostRow, Register, RegisterError};
pub use roster::{GONE, HOSTS_MAX, Roster, STALE};
pub use table::TableRegister;
