//! The shared log of one store at one host, as a pure state machine: [`SharedLog::step`] takes what happened and returns what to do.
//!
//! ```text
//!  requests ─▶ waiting ─▶ planning (rule, pin) ─▶ flight ─▶ insert at the slot behind all that is known
//!                            ▲                      │ done: it is in the log       taken, retired, unknown: the log tells
//!                            │                      ▼                                     │
//!                         ledger ◀── tail ◀── resolving (commit, answer) ◀── looking ◀────┘
//!                                      ▲                                       ▲
//!                                      └── opening (root, checkpoint, history) ┘
//! ```
//!
//! What holds at all times, and is asserted where it can be:
//!
//! - A slot of one host has one content for ever: a pinned group is sent with the same bytes to the same slot until the log tells what
//!   became of it.
//! - A group is known by its id. The same content proves nothing.
//! - Only a group that is in its slot, behind the predecessor that it was planned on, is acknowledged.
//! - Requests are refused, and looks answered, from durable state that is as new as they are.
//! - A reader stops at the first missing slot, and believes that it is missing only if it saw the header behind it.
//! - An extent is made before a seal names it; no name is used twice.

mod blobs;
mod call;
mod callers;
mod codec;
mod errand;
mod event;
mod flight;
mod group;
mod ledger;
mod look;
mod looking;
mod machine;
mod meter;
mod opening;
mod pace;
mod place;
mod planning;
mod resolving;
mod root;
mod settings;
mod spare;
mod sparing;
mod stage;
mod tail;
mod tombstone;
mod waiting;
mod watch;

pub use blobs::{Checkpoint, SealedExtent};
pub use call::{CALL_TIMEOUT, Call, CallId, Said};
pub use codec::Malformed;
pub(crate) use codec::{FieldReader, FieldWriter};
pub(crate) use errand::Errand;
pub use event::{Action, CallerId, Event, Failure, Now, Outcome, Why};
pub use group::{Boot, Group, GroupBody, GroupId, first_slot};
pub use ledger::{Found, Ledger, NotApplied, Ruling};
pub use machine::{LogState, SharedLog};
pub use meter::LogMeter;
pub use place::Place;
pub use root::{CheckpointAt, HistoryExtent, LiveExtent, ManifestPage, OlderHistory, StoreRoot, Whereabouts};
pub use settings::Settings;
pub(crate) use tombstone::{is_tombstone, tombstone};
