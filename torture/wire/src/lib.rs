//! Tries to break the promises of protocol v2: a real server and real clients over loopback, and between them a network that
//! cuts, stalls, trickles and repeats as a seed decides.
//!
//! ```text
//!  seed ─▶ run ─┬─ writers, readers, followers, holders (our client) ──▶ proxy ──▶ server ──▶ engine
//!               ├─ raw: a peer of its own, with little credit ──▶ ┘                     │
//!               └─ witness: what each was told ──▶ check ◀── truth: what the engine has ┘
//! ```
//!
//! Beside such runs: one conversation that is cut everywhere; a server process that is killed; calls that nobody answers; peers that starve.
//!
//! Threads and sockets are real, so a seed gives the same plan and not the same run.

mod asks;
pub mod bytes;
mod check;
pub mod crew;
mod dial;
pub mod follower;
mod grants;
mod holder;
pub mod host;
pub mod killed;
pub mod process;
mod proxy;
mod raw;
mod reader;
mod reads;
pub mod run;
mod shift;
mod sightings;
pub mod starved;
mod starving;
mod truth;
pub mod unanswered;
pub mod witness;
mod writer;
