//! Stores whose appends go to the host that is to write them. Reads, and what is seldom done, stay here.

mod counts;
mod store;
mod stores;
mod ways;

pub use counts::ForwardingCounts;
pub use stores::Forwarding;
pub use ways::{Contended, ForwardingSettings};
