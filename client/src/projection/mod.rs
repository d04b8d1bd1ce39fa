//! Projections: a handler is run over a follow, and how far it has come is stored.
//!
//! ```no_run
//! use streamkit_client::projection::{Failure, FileCursors, Projection};
//! use streamkit_client::record::{Entry, Name, Wanted};
//! # async fn run(store: streamkit_client::StoreClient) -> Result<(), Box<dyn std::error::Error>> {
//! let orders = Wanted::Space(Name::new("orders")?);
//! let handler = |entry: Entry| async move {
//!     println!("{}/{}", entry.path, entry.sequence);
//!     Ok::<(), Failure>(())
//! };
//! let running = Projection::new(store, vec![orders]).start(handler, FileCursors::open("orders.cursor")?);
//! running.until(|progress| progress.is_caught_up).await?;
//! running.stop().await?;
//! # Ok(()) }
//! ```
//!
//! ```text
//! Projection ─ start ─▶ Running: progress, replay, stop
//!                          │
//!                       run.rs: what comes next ─▶ live.rs, replay.rs: which entries ─▶ attempt.rs: the handler, again, or not
//!                          │                                                              keeper.rs: with which guarantee
//!                       standing.rs: how far it has come ◀─ file.rs, or the handler's own transaction
//! ```
//!
//! With [`Projection::start`] each entry is handled **at least once**: what was handled and not yet saved when a process dies comes again.
//! With [`Projection::start_transactional`] the handler stores how far it has come in its own transaction, and each entry is handled
//! **exactly once**. Either way entries of a segment are handled in their order, one after the other, and none is left out.

mod attempt;
mod builder;
mod command;
mod cursors;
mod error;
mod file;
mod guard;
mod handler;
mod keeper;
mod live;
mod progress;
mod replay;
mod run;
mod running;
mod settings;
mod standing;

pub use builder::Projection;
pub use cursors::{CursorError, CursorStore};
pub use error::ProjectionError;
pub use file::FileCursors;
pub use handler::{Failure, Handler, Step, TransactionalHandler};
pub use progress::Progress;
pub use running::Running;
pub use standing::{Parked, Standing};
