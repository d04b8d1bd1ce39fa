//! Tools beside the log of a store: they look at an account and at what stands in it, and change nothing there but what they made
//! themselves; only [`delete()`] removes a store. They share no code with the log's own reader beyond the codecs of what is stored.

mod archived;
mod cost;
mod damage;
mod delete;
mod history;
mod latency;
mod patience;
mod recent;
mod report;
mod standing;
mod stores;
mod transactions;
mod verify;
mod walk;

pub use cost::{CostEstimate, CostItem, CostSample, Prices, Workload, estimate, sample};
pub use damage::{LogDamage, LogPlace};
pub use delete::{Removed, delete};
pub use latency::{LatencyRow, Trial, measure};
pub use recent::HostSeen;
pub use report::{Bodies, BodyCount, LogReport, LogUnread, VerifyProgress};
pub use standing::{BlobCount, StoreStanding, standing};
pub use stores::{FoundStore, FoundStores, StoreState, has_root, stores};
pub use transactions::Transactions;
pub use verify::verify;
