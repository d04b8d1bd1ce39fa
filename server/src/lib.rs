//! Streamkit's server: event streams behind one WebSocket, speaking protocol v1. Mount [`Server::router`] in a service of
//! your own, or run the `streamkit` binary.
//!
//! ```text
//! GET /streamz ─▶ http.rs: token ─▶ session/: one connection, many channels ─▶ operations/: one file per verb ─▶ Store
//!                 auth.rs           inbound frames ▶ inbox ▶ operation ▶ outbound queue ▶ one writer
//! ```
//!
//! The server knows storage only as [`streamkit_engine::Stores`]; it never sees a file. A connection's memory is bounded by
//! [`Limits`], every channel ends with a terminal message, and frames of one channel leave in the order they were made.

mod accept;
mod auth;
pub mod backup;
mod http;
mod limits;
mod metrics;
mod operations;
mod places;
mod session;
mod socket;
mod stood;
mod stores;
mod told;
mod undated;

pub use auth::{Access, Key, KeyError, Rights, Scopes};
pub use http::{CLOCK_BEHIND_HEADER, COMMIT_METHOD_HEADER, Server};
pub use limits::Limits;
pub use metrics::LOG_LINES_DROPPED;
