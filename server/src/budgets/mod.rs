//! What the connections of a server may hold together: one budget for each kind of bytes, on their way through it.
//!
//! ```text
//! socket ─▶ frames ─▶ inbound (requests beside it) ─▶ disk ─▶ outgoing ─▶ socket
//! ```
//!
//! **Nobody waits for ever.** Who holds a share waits only for budgets to the right of it, never for its own or one to the
//! left, so there is no circle:
//! 1. *outgoing* is waited for with nothing in hand of it, and its holders wait for the disk or for their own socket alone;
//! 2. *requests* are not waited for at all: there is room at once that the store may take ([`fair`]), or the request is
//!    refused;
//! 3. *inbound*: see [`inbound`]. Its holders wait for the disk, and for the answer to their peer: for outgoing;
//! 4. *frames*: its holders wait for the rest of a frame, then for inbound. Tenants wait for it in lines of their own ([`frames`]).
//!
//! What waits for a peer alone, which may do nothing for ever, has a deadline ([`crate::websocket`]): while others wait for
//! what it holds, a short one.

mod all;
mod budget;
mod ended;
mod fair;
mod frames;
mod heavy;
mod inbound;
mod reads;
mod room;

pub(crate) use all::{Budgets, Held};
pub(crate) use budget::{Budget, Share};
pub(crate) use ended::Ended;
pub(crate) use fair::{FairBudget, FairShare};
pub(crate) use frames::{FramesRoom, TenantFrames};
pub(crate) use heavy::HeavyTurn;
pub(crate) use inbound::{ALWAYS_BYTES, CountedChannel, Inbound, ROOM_ENOUGH};
pub(crate) use reads::{OpenReader, Reads, Turn};
pub(crate) use room::Room;
