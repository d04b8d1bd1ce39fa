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

/// Beginnings of texts that say why a chunk is not stored, or not for certain.
pub(crate) const NOT_COMMITTED: &str = "failed to write transaction: ";

/// Texts with which servers refuse a request before they do anything for it, and which they use for nothing else.
/// Other texts may come before the first record or after a commit: that the server stops, that the token expired, that
/// it received too much.
const NOT_BEGUN: [&str; 2] = ["store unavailable", "too many active streams"];

/// The text with which a server ends calls whose token has expired. As an error frame, it refuses one of which nothing was begun.
pub(crate) const TOKEN_EXPIRED: &str = "the token expired";

/// Beginnings of texts that refuse a produce before its first record; Go servers have two of them.
const BAD_PRODUCE: &str = "invalid produce arg";

/// Beginnings of texts about a store that takes nothing for now; details follow.
const NOT_NOW: [&str; 4] = [
    "the store accepts no writes since ",
    "the store holds as many leases as it may; ",
    "the store is overloaded: ",
    "nothing was written, the log could not be made ready: ",
];

/// Stands in texts of a medium that asks to wait; the reason goes before it, and the time follows.
const WAIT: &str = "; try again in ";

/// Beginnings of texts about damaged stored bytes.
const DAMAGE: &str = "damage in store ";

impl Error {
    /// Whether the server met damaged stored bytes. A retry meets the same; the server still serves whole segments.
    pub fn is_damage(&self) -> bool {
        match self {
            Error::Damaged { .. } => true,
            Error::Refused(why) => why.strip_prefix(NOT_COMMITTED).unwrap_or(why).starts_with(DAMAGE),
            _ => false,
        }
    }

    /// Whether the same call may succeed later without any change. After a produce, peek first, unless
    /// [`Error::is_not_stored`].
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Connect { .. }
            | Error::ConnectionLost(_)
            | Error::Timeout(_)
            | Error::Unknown(_)
            | Error::Unavailable(_)
            | Error::TryLater { .. }
            | Error::NotThereYet { .. }
            | Error::NotBegun(_) => true,
            Error::Conflict { .. }
            | Error::Conflicts { .. }
            | Error::OtherRecords { .. }
            | Error::FencedOff { .. }
            | Error::Damaged { .. }
            | Error::OtherLog
            | Error::TooManyEntries { .. }
            | Error::NotInV1(_)
            | Error::Unauthorized
            | Error::TokenExpired { .. }
            | Error::AccessDenied
            | Error::Tls { .. }
            | Error::Refused(_)
            | Error::Removed { .. }
            | Error::Protocol(_)
            | Error::Invalid(_)
            | Error::Closed => false,
        }
    }

    /// Whether certainly nothing of the refused chunk is stored; acknowledged chunks before it are. Otherwise peek
    /// before you produce again.
    pub fn is_not_stored(&self) -> bool {
        match self {
            Error::Conflict { .. }
            | Error::Conflicts { .. }
            | Error::OtherRecords { .. }
            | Error::FencedOff { .. }
            | Error::TryLater { .. }
            | Error::NotThereYet { .. }
            | Error::NotInV1(_)
            | Error::Connect { .. }
            | Error::Tls { .. }
            | Error::Unauthorized
            | Error::TokenExpired { .. }
            | Error::AccessDenied
            | Error::NotBegun(_)
            | Error::Invalid(_) => true,
            // The disk is full, the store overloaded or halted: it was refused before it was written.
            Error::Unavailable(why) => why.starts_with(NOT_COMMITTED),
            Error::Refused(why) => why.starts_with(BAD_PRODUCE),
            Error::ConnectionLost(_)
            | Error::Timeout(_)
            | Error::Unknown(_)
            | Error::Removed { .. }
            | Error::Damaged { .. }
            | Error::OtherLog
            | Error::TooManyEntries { .. }
            | Error::Protocol(_)
            | Error::Closed => false,
        }
    }

    /// When to try again, if the server says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::TryLater { after, .. } => Some(*after),
            _ => None,
        }
    }

    /// A message of the server that cannot be decoded.
    pub(crate) fn malformed(error: impl std::fmt::Display) -> Self {
        Self::Protocol(format!("malformed message: {error}"))
    }

    /// The meaning of a terminal message's text. Texts are the protocol's only error codes.
    pub(crate) fn from_terminal(text: &str) -> Self {
        if let Some((expected, got)) = text
            .strip_prefix("sequence gap: expected ")
            .and_then(|rest| rest.split_once(", got "))
            && let (Ok(expected), Ok(got)) = (expected.parse::<u64>(), got.parse())
        {
            let head = expected.saturating_sub(1);
            return Error::Conflict { head, got };
        }
        if NOT_BEGUN.contains(&text) {
            return Error::NotBegun(text.to_owned());
        }
        let storage = text.strip_prefix(NOT_COMMITTED).unwrap_or(text);
        if let Some(why) = storage.strip_prefix("the outcome is unknown: ") {
            return Error::Unknown(why.to_owned());
        }
        match storage {
            "access denied" => Error::AccessDenied,
            "stream receive buffer overloaded"
            | "the server is shutting down"
            | TOKEN_EXPIRED
            | "the disk is full"
            | "the store is closed"
            | "the read was interrupted; start it again" => Error::Unavailable(text.to_owned()),
            now if now.contains(WAIT) || NOT_NOW.iter().any(|begins| now.starts_with(begins)) => {
                Error::Unavailable(text.to_owned())
            }
            _ => Error::Refused(text.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_text_is_a_conflict_with_the_actual_head() {
        let error = Error::from_terminal("sequence gap: expected 3, got 9");
        assert!(matches!(error, Error::Conflict { head: 2, got: 9 }));
        assert!(matches!(
            Error::from_terminal("sequence gap: expected x, got 9"),
            Error::Refused(_)
        ));
        assert!(matches!(Error::from_terminal("access denied"), Error::AccessDenied));
        assert!(Error::from_terminal("store unavailable").is_transient());
    }

    #[test]
    fn damage_is_told_by_its_text() {
        let text = "damage in store 6f1c1e0e-3c0b-4e9e-9a51-0a6f3f2d9b10, extent 2, byte 9000: no group; it hits s/a";
        for text in [text.to_owned(), format!("{NOT_COMMITTED}{text}")] {
            let error = Error::from_terminal(&text);
            assert!(error.is_damage() && !error.is_transient(), "{text}");
        }
        assert!(!Error::from_terminal("store unavailable").is_damage());
    }

    #[test]
    fn what_is_refused_before_it_began_is_not_stored() {
        for text in ["store unavailable", "too many active streams"] {
            let error = Error::from_terminal(text);
            assert!(matches!(error, Error::NotBegun(_)), "{text}");
            assert!(error.is_transient() && error.is_not_stored(), "{text}");
        }
        // Not behind the beginning.
        let error = Error::from_terminal("failed to write transaction: store unavailable");
        assert!(!error.is_not_stored(), "{error:?}");
        for text in [
            "invalid produce args",
            "invalid produce arguments",
            "invalid produce args: empty",
        ] {
            let error = Error::from_terminal(text);
            assert!(!error.is_transient() && error.is_not_stored(), "{text}");
        }
        let error = Error::from_terminal("access denied");
        assert!(!error.is_transient() && error.is_not_stored());
        // A record in the middle, behind what is stored.
        assert!(!Error::from_terminal("invalid record: x").is_not_stored());
        assert!(!Error::from_terminal("record too large: x").is_not_stored());
    }

    #[test]
    fn a_failing_disk_is_no_refusal() {
        let error = Error::from_terminal("failed to write transaction: the outcome is unknown: sync x: I/O error");
        assert!(!error.is_not_stored());
        assert!(matches!(error, Error::Unknown(why) if why == "sync x: I/O error"));
        for text in [
            "failed to write transaction: the disk is full",
            "failed to write transaction: the store is closed",
            "failed to write transaction: the store is overloaded: its queue of 9 bytes had no room for 20s",
            "failed to write transaction: the store accepts no writes since a write failed (store y: x); restart to recover",
            "failed to write transaction: nothing was written, the log could not be made ready: create x: Too many open files",
        ] {
            let error = Error::from_terminal(text);
            assert!(
                matches!(error, Error::Unavailable(_)) && error.is_not_stored(),
                "{text}"
            );
        }
        // What ends the channel may do so behind a commit.
        for text in [
            "the server is shutting down",
            "the token expired",
            "stream receive buffer overloaded",
            "the store is closed",
        ] {
            let error = Error::from_terminal(text);
            assert!(
                matches!(error, Error::Unavailable(_)) && !error.is_not_stored(),
                "{text}"
            );
        }
        let error = Error::from_terminal("failed to write transaction: a transaction without records");
        assert!(matches!(error, Error::Refused(_)));
    }
}
