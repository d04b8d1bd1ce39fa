//! Protocol v2 on one connection: one task that reads the socket, begins calls and writes what they answer, and one task per call.
//!
//! ```text
//! session: frames ─▶ calls ─▶ call: asked, verbs ─▶ answering ─▶ credit ─▶ the connection's queue
//!                                   failed: what went wrong, as codes
//! ```

mod answering;
mod asked;
mod call;
mod calls;
mod credit;
mod failed;
mod outcomes;
mod session;

pub(crate) use session::run;
