//! The server over real sockets, spoken to in frames.

mod channels;
mod client;
mod handshake;
mod operations;
mod peer;
mod recorded;
