//! Errors, by what the caller should do next.

use std::time::Duration;

use streamkit_record::{Entry, SegmentPath, Sequence};

use crate::tls_error::TlsError;

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another producer was first, or the sequence was never right: nothing of the refused chunk was stored. Read from
    /// `head`, decide again, and retry with `head + 1`.
    #[error("sequence conflict: the head is {head}, so {} comes next, not {got}", head.saturating_add(1))]
    Conflict {
        /// The segment's head at that moment.
        head: u64,
        /// The sequence that was sent.
        got: u64,
    },
    /// Segments of an append are not as it demanded: nothing of it is stored. Decide again, from what is there now.
    #[error("conflict: {}", of_heads(heads))]
    Conflicts {
        /// Each of them, and its head.
        heads: Vec<(SegmentPath, Sequence)>,
        /// Entries behind the heads that were expected, as far as the append asked for them.
        entries: Vec<Entry>,
    },
    /// The id of the append is that of a stored transaction with other records. Nothing was stored now.
    #[error("transaction {position} has the id, and other records")]
    OtherRecords {
        /// The number of that transaction.
        position: u64,
    },
    /// The append was tied to a lease that was granted to another since, or given back: nothing of it is stored.
    #[error("fenced off: the token {token} counts no longer")]
    FencedOff {
        /// The token of the append.
        token: u64,
    },
    /// The server refused the token. Get another one.
    #[error("unauthorized: the server refused the token; it may be expired, signed with another key, or without scope")]
    Unauthorized,
    /// The server refused the token, which has expired by its own claim and this machine's clock. Get a fresh one.
    #[error("the token has expired, {} ago", in_units(*ago))]
    TokenExpired {
        /// Time since it expired.
        ago: Duration,
    },
    /// The token does not open this store, or does not allow this call.
    #[error("access denied: the token does not allow this on this store")]
    AccessDenied,
    /// No connection succeeded within the attempts of the retry policy. Transient.
    #[error("cannot connect to {url}: {cause}")]
    Connect {
        /// The address dialled.
        url: String,
        /// The last attempt's failure.
        cause: String,
    },
    /// The server's certificate was refused, or ours by the server, or there is no TLS in common. Not transient: something has to be
    /// changed first.
    #[error("no TLS with {url}: {why}")]
    Tls {
        /// The address dialled.
        url: String,
        /// What has to be changed.
        why: TlsError,
    },
    /// The connection broke during the call. Transient. For a produce the outcome is unknown: peek before retrying.
    #[error("the connection was lost: {0}")]
    ConnectionLost(String),
    /// The server did not answer in time. Transient. For a produce the outcome is unknown: peek before retrying.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The server's disk failed while it stored the chunk, so the outcome is unknown. Transient; peek before retrying.
    #[error("the server cannot tell whether it was stored: {0}")]
    Unknown(String),
    /// The server currently has no room, or no access to its storage. Transient; after a produce, peek before
    /// retrying, unless [`Error::is_not_stored`].
    #[error("the server cannot do this now: {0}")]
    Unavailable(String),
    /// The server refused the call before taking anything of it, since it cannot open the store now, or has too many
    /// calls running. Transient; nothing of a produce is stored.
    #[error("the server cannot do this now: {0}")]
    NotBegun(String),
    /// The server cannot do this now, has stored nothing, and says when to try again. Transient.
    #[error("the server cannot do this now: {why}; try again in {after:?}")]
    TryLater {
        /// Why it cannot.
        why: String,
        /// How long to wait.
        after: Duration,
    },
    /// The server does not have all that a read has to include. Transient.
    #[error("the server has come to transaction {position}, and the read has to include a later one")]
    NotThereYet {
        /// The last transaction that it has.
        position: u64,
    },
    /// The server met stored bytes that are not those that were written. A retry meets the same; it still serves whole segments.
    #[error("{why}")]
    Damaged {
        /// Segments that can no longer be read in full, as far as they are known.
        segments: Vec<SegmentPath>,
        /// What was found, and where.
        why: String,
    },
    /// A cursor is not of the log that the server has: the store was made anew, or is another.
    #[error("the cursor is of another log")]
    OtherLog,
    /// A cursor is of another follow, such as one over the other version of the protocol, or it is damaged. Follow from one that fits, or from the
    /// beginning.
    #[error("the cursor does not fit: {0}")]
    UnfitCursor(&'static str),
    /// A read has more entries than the server lets one have. Read on behind the last one.
    #[error("a read has at most {most} entries: read on behind the last one")]
    TooManyEntries {
        /// The most that it may have.
        most: u64,
    },
    /// The server speaks protocol v1 alone, which has no such call.
    #[error("the server speaks protocol v1 alone, which has no {0}")]
    NotInV1(&'static str),
    /// The server refused for a reason that a retry does not change.
    #[error("{0}")]
    Refused(String),
    /// Entries were trimmed or deleted during the read, so the next entry is not the next sequence. To continue
    /// without them, read from `next`.
    #[error("{space}/{segment}/{sequence} was removed while the segment was read; {}", go_on(*next))]
    Removed {
        /// Where it was.
        space: String,
        /// Where it was.
        segment: String,
        /// The first sequence known to be gone.
        sequence: u64,
        /// The first sequence that exists now, perhaps in a segment begun anew; 0 if there is none.
        next: u64,
    },
    /// The server broke the promises of the protocol. Trust nothing received after it.
    #[error("protocol violation by the server: {0}")]
    Protocol(String),
    /// The call's arguments can never work.
    #[error("{0}")]
    Invalid(String),
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
}

/// Some segments with their heads.
fn of_heads(heads: &[(SegmentPath, Sequence)]) -> String {
    let heads: Vec<String> = heads
        .iter()
        .map(|(path, head)| format!("the head of {path} is {head}"))
        .collect();
    heads.join(", ")
}

/// A passed time, in its two largest units.
fn in_units(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} days {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// The place where a reader continues.
fn go_on(next: u64) -> String {
    match next {
        0 => "nothing of it is left".to_owned(),
        next => format!("what is left begins at {next}"),
    }
}

impl Error {
    /// A message of the server that cannot be decoded.
    pub(crate) fn malformed(error: impl std::fmt::Display) -> Self {
        Self::Protocol(format!("malformed message: {error}"))
    }
}
