//! Protocol v2 on one connection: one task that reads the socket, begins calls and writes what they answer. It serves appends itself, so
//! that those which one commit makes durable are answered together; every other call has a task of its own.
//!
//! ```text
//! session ─▶ conversation: frames, calls ─▶ call: asked, verbs ─▶ answering ─▶ credit ─▶ the connection's queue
//!              lines, room: what appends wait for    failed: what went wrong, as codes
//! ```

mod answering;
mod asked;
mod begin;
mod breach;
mod call;
mod calls;
mod conversation;
mod credit;
mod failed;
mod lines;
mod outcomes;
mod room;
mod session;

pub(crate) use session::run;
