//! Selects the requests of the next group, the same way for every driver.

use std::collections::VecDeque;
use std::sync::Arc;

use super::order::{CommitOrder, Ruling};
use super::queue::{Append, Request};
use super::retry::committed_before;
use crate::error::Rejection;
use crate::format::group::GROUP_HEADER_BYTES;
use crate::log::opened::StoreLog;
use streamkit_record::Fence;

/// A group of this many bytes takes no further transaction: its first producers would wait longer than they gain.
pub(super) const GROUP_BYTES_TARGET: usize = 2 << 20;

/// The selection for the next group.
pub(crate) enum Selected {
    Appends {
        accepted: Vec<Append>,
        /// Bytes of the group.
        bytes: usize,
    },
    /// A trim or delete needs everything before it to be durable, and nothing may refer to what it changes before it
    /// is durable. So it is a group of its own.
    Control(Request),
    /// The next transaction does not fit the open extent.
    Full,
    /// The remaining requests, if any, wait for groups under way.
    Nothing,
}

/// Takes the next group's requests off `waiting`. `order` knows the groups under way, `fits` the room for a group.
/// Answers those that do not fit the durable heads.
pub(crate) fn select(
    log: &Arc<StoreLog>,
    order: &mut CommitOrder,
    waiting: &mut VecDeque<Request>,
    fits: impl Fn(usize) -> bool,
) -> Selected {
    let mut accepted = Vec::new();
    let mut later = VecDeque::new();
    let mut bytes = GROUP_HEADER_BYTES;
    let (mut control, mut full) = (None, false);
    while let Some(request) = waiting.pop_front() {
        match request {
            Request::Append(append) => {
                let grown = bytes + append.encoded.len();
                let large = !accepted.is_empty() && grown > GROUP_BYTES_TARGET;
                if large || !fits(grown) {
                    full = accepted.is_empty();
                    waiting.push_front(Request::Append(append));
                    break;
                }
                if let Some(fence) = fenced_off(log, &append) {
                    answer_refused(log, append, Rejection::FencedOff(fence));
                    continue;
                }
                match order.rule(&append.claims, |path| log.catalog().head(path)) {
                    Ruling::Accept => {
                        bytes = grown;
                        accepted.push(append);
                    }
                    Ruling::Later => later.push_back(Request::Append(append)),
                    Ruling::Conflict { path, head, got } => {
                        answer_refused(log, append, Rejection::Conflict { path, head, got });
                    }
                }
            }
            request if accepted.is_empty() && later.is_empty() => {
                control = Some(request);
                break;
            }
            request => {
                waiting.push_front(request);
                break;
            }
        }
    }
    while let Some(request) = later.pop_back() {
        waiting.push_front(request);
    }
    match control {
        Some(control) => Selected::Control(control),
        None if full => Selected::Full,
        None if accepted.is_empty() => Selected::Nothing,
        None => Selected::Appends { accepted, bytes },
    }
}

/// The fence of a transaction whose producer no longer holds its lease. Leases change only while no group is under
/// way, so the table is what it will be at this transaction's place in the log.
fn fenced_off(log: &StoreLog, append: &Append) -> Option<Fence> {
    let fence = append.transaction.fence.as_ref()?;
    (!log.catalog().leases.is_current(fence)).then(|| fence.clone())
}

/// A refused transaction may be the retry of a committed one, and then gets the answer of its first commit.
fn answer_refused(log: &Arc<StoreLog>, append: Append, why: Rejection) {
    let own = Arc::clone(log);
    log.on_read_threads(move || {
        let outcome = match committed_before(&own, &append.transaction) {
            Ok(Some(committed)) => Ok(committed),
            Ok(None) => Err(why.into()),
            Err(error) => Err(Rejection::Storage(own.naming_segments(error, None)).into()),
        };
        append.answer(outcome);
    });
}
