//! A connection that speaks v2 (docs/PROTOCOL-V2.md), as its calls see it.
//!
//! ```text
//! greeting.rs: both hellos ─▶ duplex.rs: the one task of the socket ─▶ state.rs ◀─ connection.rs ◀─ begin.rs ─▶ pending.rs: a call with a result
//!                             reads, routes, writes what gathered       credit, numbers,                            channel.rs: one with messages
//!                                                                       routes, frames to send
//! ```

mod begin;
mod begun;
mod breach;
mod channel;
mod connection;
mod doubt;
mod duplex;
mod fault;
mod greeting;
mod patience;
mod pending;
mod route;
mod state;
#[cfg(test)]
mod state_tests;
mod waiting;

pub(crate) use channel::{Channel, Heard, UNBOUNDED, WINDOW_BYTES};
pub(crate) use connection::Connection;
pub(crate) use fault::Fault;
pub(crate) use greeting::open;
pub(crate) use patience::Patience;
pub(crate) use pending::Pending;
