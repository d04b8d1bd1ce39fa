//! Selects the requests of the next group, the same way for every driver.

use std::collections::VecDeque;
use std::sync::Arc;

use super::order::{Claims, CommitOrder, Ruling};
use super::queue::{Append, Request};
use super::retry::{committed_before, stored_at};
use crate::error::{AppendError, Conflict, Rejection, StorageError, corrupt};
use crate::format::group::GROUP_HEADER_BYTES;
use crate::log::opened::StoreLog;
use streamkit_record::{Committed, Fence, LogPosition};

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
            Request::Append(mut append) => {
                let grown = bytes + append.encoded.len();
                let large = !accepted.is_empty() && grown > GROUP_BYTES_TARGET;
                if large || !fits(grown) {
                    full = accepted.is_empty();
                    waiting.push_front(Request::Append(append));
                    break;
                }
                let known = append.takes_next.then(|| log.catalog().place_of(append.transaction.id));
                if let Some(at) = known.flatten() {
                    answer_known(log, append, at);
                    continue;
                }
                if let Some(fence) = fenced_off(log, &append) {
                    answer_refused(log, append, Rejection::FencedOff(fence));
                    continue;
                }
                let claims = Claims {
                    segments: &mut append.claims,
                    conditions: &append.transaction.conditions,
                    id: append.takes_next.then_some(append.transaction.id),
                };
                match order.rule(claims, |path| log.catalog().head(path)) {
                    Ruling::Accept => {
                        if append.takes_next {
                            append.encoded.place(append.claims.iter().map(|claim| claim.first));
                        }
                        bytes = grown;
                        accepted.push(append);
                    }
                    Ruling::Later => later.push_back(Request::Append(append)),
                    Ruling::Conflict(failed) => answer_refused(log, append, conflict(failed)),
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

/// Why a transaction that does not fit is refused. Where only a sequence is wrong, there is no more to tell than that.
pub(crate) fn conflict(mut failed: Vec<Conflict>) -> Rejection {
    match failed.pop() {
        Some(Conflict {
            path,
            head,
            got: Some(got),
        }) if failed.is_empty() => Rejection::Conflict { path, head, got },
        last => {
            failed.extend(last);
            Rejection::Conflicts(failed)
        }
    }
}

/// A refused transaction may be the retry of a committed one, and then gets the answer of its first commit.
fn answer_refused(log: &Arc<StoreLog>, append: Append, why: Rejection) {
    answer_stored(log, append, move |log, append| {
        Ok(committed_before(log, append.proposed())?.unwrap_or(Err(why)))
    });
}

/// A transaction whose id stands in the log at this place is a retry, or one with other records.
fn answer_known(log: &Arc<StoreLog>, append: Append, at: LogPosition) {
    answer_stored(log, append, move |log, append| {
        let another = || {
            corrupt(
                log.id,
                at.extent,
                at.byte,
                "another transaction than the one read here before",
            )
        };
        stored_at(log, &mut append.proposed(), at)?.ok_or_else(another)
    });
}

/// Answers with what the log says.
fn answer_stored(
    log: &Arc<StoreLog>,
    mut append: Append,
    read: impl FnOnce(&StoreLog, &mut Append) -> Result<Result<Committed, Rejection>, StorageError> + Send + 'static,
) {
    let own = Arc::clone(log);
    log.on_read_threads(move || {
        let outcome = read(&own, &mut append);
        let outcome = outcome.unwrap_or_else(|error| Err(Rejection::from(own.naming_segments(error, None))));
        append.answer(outcome.map_err(AppendError::from));
    });
}
