//! Tries to break the engine's promise: an acknowledged entry is never lost, and an error never looks like an end.
//!
//! ```text
//!  seed ─▶ plan ─▶ run: lives of an engine on one simulated disk
//!                    life: start ─▶ settle (all that must be there is) ─▶ work (calls, faults) ─▶ end (close, kill, power loss)
//!                            │                                              │
//!                            └── model: what was told of each attempt ◀─────┘
//!                                  history: could it have happened one after the other?
//! ```
//!
//! The engine runs by hand, on one thread, in an order that the seed decides: a seed that finds a fault finds it again.

pub mod backups;
pub mod call;
mod choose;
pub mod clock;
pub mod coverage;
pub mod cursor;
pub mod demands;
pub mod exhaustive;
pub mod golden;
pub mod history;
pub mod killed;
pub mod leases;
pub mod life;
pub mod model;
pub mod mount;
pub mod moves;
mod older;
pub mod places;
pub mod plan;
pub mod planted;
pub mod record;
pub mod rot;
pub mod run;
