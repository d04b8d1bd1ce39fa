//! How several hosts that serve the same stores know each other. Nothing here is needed for what a store promises: any host may write at any
//! time, and the log decides. It makes many hosts as fast as one, and lets those who follow a store hear soon of what another host stored.
//!
//! ```text
//!  append ─▶ forwarding ─▶ choose (which host) ─▶ link ─▶ that host's own stores
//!            forwarding/   choose/  presence/     link/
//!  committed ─▶ bus ─▶ whoever follows the store on another host, who looks
//!               bus/
//!  workers of a store ─▶ rows ─▶ whoever looks at them on another host
//!                        workers/
//! ```
#![forbid(unsafe_code)]

pub mod bus;
pub mod choose;
pub mod forwarding;
pub mod host;
pub mod link;
pub mod presence;
pub mod workers;
