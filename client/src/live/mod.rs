//! What goes on for long, whichever version the server speaks: subscriptions, workers. Each goes on by itself over the next connection
//! when one ends.
//!
//! ```text
//! handlers.rs ─▶ subscription.rs ─▶ statuses.rs: the newest of each segment ─┐
//!                workers.rs: who is there ──────────────────────────────────┼▶ channel.rs: a call without end ─▶ v2, or v1
//!                presence.rs: to be there ──────────────────────────────────┘  resuming.rs: when it may go on
//! ```

mod calls;
mod channel;
mod handlers;
mod pending;
mod presence;
mod resuming;
mod standing;
mod statuses;
mod subscribe;
mod subscription;
mod workers;

pub use handlers::{Handlers, Running};
pub use presence::{NewWorker, Presence};
pub(crate) use resuming::Resuming;
pub use standing::{LivePhase, SubscriptionState};
pub use subscribe::Subscribe;
pub use subscription::Subscription;
pub use workers::Workers;
