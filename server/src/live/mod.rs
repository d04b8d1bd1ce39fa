//! What happens now: who follows which segments, and which workers are there. It is kept for each store that somebody follows, and is
//! forgotten with its last follower.

mod bus;
mod common;
mod followed;
mod follower;
mod mailbox;
mod presence;
mod register;
mod stores;

pub use bus::{Hint, InProcess, MessageBus};
pub(crate) use common::{Common, Looking, Member, NextCommon};
pub(crate) use followed::StoreLost;
pub(crate) use mailbox::News;
pub(crate) use presence::{PresenceRefused, Present, StoreWorkers, WorkerMetadata};
pub use register::{HostedWorker, SharedWorkers, WorkerRegister};
pub(crate) use stores::{Interest, Live, Subscription};
