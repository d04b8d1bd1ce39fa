//! The server over real sockets, spoken to in frames.

mod channels;
mod client;
mod datasets;
mod faults;
mod handshake;
mod operations;
mod peer;
mod recorded;
mod resilience;
mod scripts;
mod slow;
