//! Protocol v1 on one connection: one task that reads the socket, routes frames to channels and writes what they send, and one
//! task per open channel, which runs the verb that is asked for.
//!
//! ```text
//! session: frames ─▶ route ─▶ inbox ─▶ records ─▶ verbs ─▶ answers ─▶ the connection's queue
//!                    ends: which end may be believed       texts: what went wrong, in v1's words
//! ```

mod answers;
mod channel;
mod channels;
mod early;
mod ends;
mod goodbye;
mod inbox;
mod pings;
mod pressure;
mod records;
mod refused;
mod requests;
mod route;
mod session;

pub(crate) use session::run;
