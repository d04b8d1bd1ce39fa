//! Follows: over v2 the server merges and remembers; over v1 the client composes one of consumes and subscriptions.
//!
//! ```text
//! calls.rs ─▶ stream.rs ─┬▶ verbs/follow.rs, over v2
//!                        └▶ composed.rs ─▶ places.rs: where each part stands, and as a cursor
//!                                          owed.rs: what was told of, and has not come yet
//! ```

mod begins;
mod calls;
mod composed;
mod owed;
mod places;
mod stream;

pub use stream::Follows;
