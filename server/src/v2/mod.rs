//! Protocol v2 on one connection: one task that reads the socket, begins calls and writes what they answer, and one task per call.
//!
//! ```text
//! session: frames ─▶ calls ─▶ call: asked, verbs ─▶ replies ─▶ credit ─▶ the connection's queue
//!                                   refused: what went wrong, as codes
//! ```

mod asked;
mod call;
mod calls;
mod credit;
mod messages;
mod refused;
mod replies;
mod session;

pub(crate) use session::run;
