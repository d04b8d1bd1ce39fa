//! Compares a header's statements about the log with that log. The checksum holds here, but it proves only that a
//! header is as it was written, not that it was written right. An open relies on none of this; a reader of a single
//! header does.

use crate::format::extent_header::{ExtentHeader, LogState};
use crate::format::group::GroupHeader;
use crate::format::log_start::LogStart;
use streamkit_record::LogPosition;

/// What the transactions of a group say of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Body {
    pub(crate) transactions: u32,
    /// Whether the first one is of the kind that opens an epoch.
    pub(crate) opens: bool,
}

/// What is wrong with the header of a whole group at `at`. `epoch_before` is the epoch of the group before, if none is
/// missing between them.
pub(crate) fn wrong_in_group(
    at: LogPosition,
    header: &GroupHeader,
    epoch_before: Option<u64>,
    body: Body,
) -> Vec<String> {
    let mut wrong = Vec::new();
    if header.transaction_count != body.transactions {
        wrong.push(format!(
            "the header of group {} tells of {} transactions, and {} stand there",
            header.number, header.transaction_count, body.transactions
        ));
    }
    if header.durable > at {
        wrong.push(format!(
            "the header of group {} has {} as durable mark, which lies behind it",
            header.number, header.durable
        ));
    }
    if let Some(before) = epoch_before {
        // None where what stands before leaves no higher one.
        let expected = before.checked_add(u64::from(body.opens));
        if expected != Some(header.epoch) {
            wrong.push(format!(
                "the header of group {} is of epoch {}, which does not go with its transactions and epoch {before} before",
                header.number, header.epoch
            ));
        }
    }
    wrong
}

/// What is wrong with the header of an extent that is whole and whose groups end at `end`.
pub(crate) fn wrong_in_extent(header: &ExtentHeader, end: u32) -> Option<&'static str> {
    let says_something_before = header.previous_end != 0 || header.state != LogState::default();
    if header.extent == LogStart::WHOLE.extent() && says_something_before {
        return Some("a header that tells of groups before the first extent");
    }
    (header.durable > end).then_some("a header whose durable mark lies behind the extent's groups")
}
