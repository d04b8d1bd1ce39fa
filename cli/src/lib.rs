//! Streamkit's server, to mount in a service of your own: build a [`Server`] over the stores of an
//! [`Engine`](https://docs.rs/streamkit-engine) and merge its router into yours. The examples `mount` and `in_process` do so.
//!
//! ```toml
//! streamkit-server = { version = "0.1", default-features = false }
//! ```
//!
//! The feature `command`, on by default, is for `cargo install streamkit-server`: it builds `streamkit`, which runs such a server by
//! itself and is a client of others.

#![forbid(unsafe_code)]

pub use streamkit_server_core::*;
