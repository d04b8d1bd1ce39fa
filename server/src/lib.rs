//! Streamkit's server: event streams behind one WebSocket, speaking protocols v1 and v2. Mount [`Server::router`] in a service of
//! your own; the `streamkit` binary serves it by itself.
//!
//! ```text
//! GET /streamz ─▶ http/ ─▶ v1/, v2/: a connection's channels ─▶ verbs/: one file each ─▶ Store
//!                 auth/    websocket/: its messages            live/: who follows what
//!                                                              budgets/: what all may hold
//! ```
//!
//! Each of these rooms imports only from those behind it.
//!
//! The server knows storage only as [`streamkit_engine::Stores`]; it never sees a file. A connection's memory is bounded by
//! [`Limits`], every channel ends with a terminal message, and frames of one channel leave in the order they were made.

mod auth;
mod budgets;
mod calls;
mod certificate;
mod circuit;
mod http;
mod limits;
mod live;
mod metrics;
mod peer;
mod shared;
mod stood;
mod stores;
mod term;
mod threads;
mod tls;
mod told;
mod v1;
mod v2;
mod verbs;
mod websocket;

pub use auth::{
    Access, AccessError, Algorithm, Authenticate, IssuerConfig, Key, KeyError, Keys, KeysConfig, KeysStanding,
    MintError, Minting, Right, Rights, Scopes, Subprotocol, TokenFault, TokenRules, UnknownAlgorithm, bearer,
    subprotocol,
};
pub use calls::{Call, CallerTrace, continue_traces, with_current_call};
pub use http::{CLOCK_BEHIND_HEADER, COMMIT_METHOD_HEADER, Server, backup};
pub use limits::Limits;
pub use live::{Hint, HostedWorker, InProcess, MessageBus, SharedWorkers, WorkerRegister};
pub use metrics::{BusFigures, LOG_LINES_DROPPED, SPANS_DROPPED};
pub use threads::network_threads;
pub use tls::{CertificateError, CertificateFiles, Certificates, ClientCertificates};
