//! Stores that several hosts share, as the server asks for them: writes go through the shared log, reads are those of its copy on this host,
//! after a look at the log's tail.
//!
//! ```text
//!  append ─▶ AtHand ─▶ driver ─▶ log ─▶ medium
//!  read ─▶ look ────────┘          └─▶ ledger ─▶ copy (the engine)
//!     └───────────────────────────────────────────▶
//! ```

mod at_hand;
mod health;
mod reading;
mod shared;
mod stores;
mod told;

pub use crate::medium::Media;
pub use shared::SharedStore;
pub use stores::{SharedConfig, SharedStores};
