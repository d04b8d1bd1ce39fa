//! A client of Streamkit: produce, consume, peek and publish over one WebSocket that carries any number of concurrent
//! calls.
//!
//! ```no_run
//! use futures_util::TryStreamExt as _;
//! use streamkit_client::*;
//! # async fn run() -> Result<(), Error> {
//! let client = Client::builder("ws://127.0.0.1:8080").token("…").build();
//! let store = client.store("6f1c1e0e-3c0b-4e9e-9a51-0a6f3f2d9b10".parse().unwrap());
//! store.publish("orders", "order-1", NewRecord::new("placed")).await?;
//! let mut entries = store.consume_segment(ConsumeSegment::all("orders", "order-1"));
//! while let Some(entry) = entries.try_next().await? {
//!     println!("{} {:?}", entry.sequence, entry.payload);
//! }
//! # Ok(()) }
//! ```
//!
//! ```text
//!            ┌▶ over v2: verbs/ ─▶ v2/: frames, credit, one message of what gathered ─────────────┐
//! store.rs ──┤   what is asked       one dial for all: link.rs ─▶ dial.rs: token, handshake, retries ├▶ wire.rs: WebSocket
//!            └▶ over v1: produce.rs, consume.rs, lookup.rs ─▶ channel.rs ─▶ connection.rs ◀─ duplex.rs ┘
//!                                                                       transport.rs: bytes to the server ─▶ tls.rs
//! ```
//!
//! On top of that stand [`es`], aggregates and their events, and [`projection`], handlers that are run over what is stored and what comes.
//! What goes on for long, subscriptions and workers, is in `live/`, and leases in `leases/`, over either version.
//!
//! [`Client::metrics`] tells what a client has counted: calls, bytes, connections. With a subscriber of `tracing` at level debug each call is a
//! span `call`, with its kind, its store and its outcome.
//!
//! The server decides which version of the protocol is spoken. What v1 does not have is [`Error::NotInV1`].
//!
//! A connection is replaced before its token expires. A call of which the server has begun nothing when a connection ends, begins
//! again on the next one; over v2 a read or a follow goes on there behind what came last, and an append whose answer was lost is asked for
//! under its id. Over v1 what stands at its sequences tells. Every call has a timeout. If a stream ends without an error, the server ended it on purpose; a connection that stays broken, a
//! missing acknowledgement or a hole in the sequences is always an error. No call waits for the consumer of another: a
//! reader may publish over the same client in between, or stop reading for a while.

mod again;
mod asked;
mod batches;
mod call;
#[cfg(test)]
mod catalogue_tests;
mod channel;
mod class;
mod client;
mod connected;
mod connection;
mod consume;
mod dial;
mod duplex;
mod error;
pub mod es;
mod follows;
mod found;
mod handshake;
mod here;
mod hooks;
mod leases;
mod link;
mod live;
mod lookup;
mod metrics;
mod model;
mod outgoing;
mod over_v1;
mod position;
mod produce;
mod producer;
mod progress;
pub mod projection;
mod publish;
mod retry;
mod store;
mod surviving;
mod terminal;
mod terms;
mod tls;
mod tls_error;
mod token;
mod transport;
mod v2;
mod verbs;
mod version;
mod wire;

pub use asked::{Append, Follow, Followed, Read};
pub use batches::{Batch, Batches};
pub use class::ErrorClass;
pub use client::{Builder, Client};
pub use consume::Entries;
pub use dial::connect;
pub use error::Error;
pub use follows::Follows;
pub use hooks::LiveEvent;
pub use leases::{Held, HeldLease, LeaseError, LeaseLost, NewLease};
pub use live::{
    Handlers, LivePhase, NewWorker, Presence, Running, Subscribe, Subscription, SubscriptionState, Workers,
};
pub use metrics::{CallKind, CallMetrics, FailedCalls, Latencies, Metrics};
pub use model::{Consume, ConsumeSegment, ConsumeSpace, Entry, NewRecord};
pub use producer::Producer;
pub use retry::RetryPolicy;
pub use store::StoreClient;
pub use streamkit_protocol::v2::{Appended, Durability, Lease, LeaseChange, Leased, Trace, Worker};
pub use streamkit_protocol::{LexKey, Metadata, SegmentStatus, SpaceOffset, Status, Trx};
pub use streamkit_record as record;
pub use tls::Tls;
pub use tls_error::TlsError;
pub use token::refused as refused_token;
pub use transport::Transport;
pub use version::Protocol;

/// The code of the guide compiles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guides/LEASES.md")]
struct LeasesGuide;
