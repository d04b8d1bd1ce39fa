//! Tries any server of protocol v2 from outside, by what docs/PROTOCOL-V2.md promises. It knows nothing of how a server is made.
//!
//! ```text
//! run.rs ─▶ checks/ ─▶ world.rs ─▶ verbs.rs ─▶ connection.rs ─▶ dial.rs
//!                                   whole calls   the rules of every frame   the handshake
//!                                        └──▶ wire/: the bytes, by the document
//! ```

pub mod check;
pub mod checks;
pub mod connection;
pub mod dial;
pub mod fault;
pub mod run;
pub mod verbs;
pub mod wire;
pub mod world;
