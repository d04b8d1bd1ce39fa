//! Event sourcing: aggregates whose state is what their events made of it.
//!
//! ```no_run
//! use serde::{Deserialize, Serialize};
//! use streamkit_client::es::{Aggregate, Event, Repository};
//!
//! #[derive(Serialize, Deserialize)]
//! enum Moved {
//!     Deposited { cents: u64 },
//!     Withdrawn { cents: u64 },
//! }
//! impl Event for Moved {}
//!
//! #[derive(Default)]
//! struct Account {
//!     cents: u64,
//! }
//! impl Aggregate for Account {
//!     type Event = Moved;
//!     fn apply(&mut self, event: Moved) {
//!         match event {
//!             Moved::Deposited { cents } => self.cents += cents,
//!             Moved::Withdrawn { cents } => self.cents -= cents,
//!         }
//!     }
//! }
//!
//! # async fn run(store: streamkit_client::StoreClient) -> Result<(), Box<dyn std::error::Error>> {
//! let accounts = Repository::<Account>::new(store, "accounts")?;
//! let updated = accounts
//!     .update("0d9c5f0e-8a36-4a55-8d36-f7a7e1f2a001", |account| match account.cents {
//!         0..100 => Err("not that much is there"),
//!         _ => Ok(vec![Moved::Withdrawn { cents: 100 }]),
//!     })
//!     .await?;
//! println!("{} left, after {} conflicts", updated.loaded.state().cents, updated.conflicts);
//! # Ok(()) }
//! ```
//!
//! The events of an aggregate are one segment; the id of the aggregate names it. Each is a JSON envelope as the Go system's `eskit`
//! writes and reads it. Snapshots stand in a space beside: whoever reads or follows the events meets none.
//!
//! ```text
//! repository.rs ─▶ reading.rs, saving.rs, snapshots.rs ─▶ codec.rs: types ─▶ envelope.rs: bytes
//! ```
//!
//! - The state is the fold of the events as they are read: what is applied to it behind a save went through bytes, too.
//! - A save names the sequence that it goes on from, so of two that go on from the same one wins, and the other learns the head.
//! - No event is skipped. One whose name or version is not known is an error, or what [`Event::unknown`] makes of it.
//! - A snapshot only saves reading. One that does not fit the events is not used, and one that is not written fails nothing.

mod aggregate;
mod codec;
#[cfg(test)]
mod codec_tests;
mod envelope;
mod error;
mod loaded;
mod reading;
mod repository;
mod saving;
mod snapshots;
mod upcast;

pub use aggregate::{Aggregate, Event, Snapshot, UnknownEvent};
pub use envelope::Content;
pub use error::{LoadError, SaveError, UpdateError};
pub use loaded::{Cause, Loaded, Recorded, Saved, Updated};
pub use repository::Repository;
pub use upcast::Upcast;
