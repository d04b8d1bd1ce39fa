//! The link between two hosts: an ordinary server of Streamkit over stores that forward nothing, which takes tokens of hosts alone; and
//! one connection to that of each other host.

mod answer;
mod peer;
mod rest;
mod secret;
mod serve;

pub(crate) use answer::{Answer, is_final};
pub(crate) use peer::{Peer, size};
pub use secret::HostSecret;
pub use serve::{HostGate, server};
