//! The HTTP side: the routes, who is let in, and how connections are accepted.

mod accept;
mod admitted;
pub mod backup;
mod guest;
mod health;
mod origin;
mod pace;
mod places;
mod server;
mod sessions;
mod streamz;
mod undated;
mod unheard;

pub use health::{CLOCK_BEHIND_HEADER, COMMIT_METHOD_HEADER};
pub use server::Server;
