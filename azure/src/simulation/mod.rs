//! Several hosts and their clients over a simulated medium, on a simulated clock: one seed decides everything, and the same seed decides the
//! same.
//!
//! ```text
//!  clients ──ask──▶ hosts (log, collector: the real ones) ──calls──▶ network (loses, delays, doubles) ──▶ storage
//!     │                │ hints to other hosts, lost or late                                                   │
//!     └──▶ witness ◀───┘                                            check ◀── the log as it stands there ◀────┘
//! ```
//!
//! The log is the witness of the order, so the check searches nothing: what was acknowledged stands in it once, what was refused does not,
//! whoever looked saw a prefix of it, and none that is older than what anybody had been told before.

mod check;
mod client;
mod clients;
#[cfg(test)]
mod conforming;
mod counts;
mod faults;
mod happening;
pub mod heads;
mod hosting;
mod hosts;
mod network;
mod plan;
mod run;
mod storage;
#[cfg(test)]
mod tests;
mod time;
mod troubles;
mod truth;
mod witness;
mod world;

pub use counts::Counts;
pub use plan::Plan;
pub use run::run;
