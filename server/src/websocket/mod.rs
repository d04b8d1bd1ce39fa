//! A connection, from its socket to the messages of its WebSocket: what any version of the protocol goes through.
//!
//! ```text
//! socket ─▶ stream: how much of a message may come ─▶ receiving ─▶ a message at a time
//! socket ◀─ stream ◀─ wire: one writer, which knows how long a peer may take ◀─ outbound: one queue
//! ```

mod ahead;
mod assembly;
mod carrier;
mod counted;
mod form;
mod heard;
mod outbound;
mod patience;
mod receiving;
mod socket;
mod stream;
mod wire;

pub(crate) use counted::Taken;
pub(crate) use form::Form;
pub(crate) use heard::Heard;
#[cfg(test)]
pub(crate) use outbound::queue;
pub(crate) use outbound::{Frames, Outbound};
pub(crate) use receiving::Arrived;
pub(crate) use socket::Socket;
pub(crate) use wire::{Broken, Wire};
