//! Errors by what a caller does next.

use std::time::Duration;

use crate::error::Error;
use crate::terminal::{BAD_PRODUCE, DAMAGE, NOT_COMMITTED, is_overload, wait_in};

/// What a caller does next about an error ([`Error::class`]). docs/ERRORS.md has the class of each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ErrorClass {
    /// The same call may succeed later, unchanged: wait a little longer each time. Whether something of it is stored,
    /// [`Error::is_not_stored`] tells.
    Transient,
    /// The server has no room now. The same as [`ErrorClass::Transient`], but whoever tries at once makes it worse.
    Overloaded {
        /// How long to wait, if the server says so.
        after: Option<Duration>,
    },
    /// The token has expired: the same call may succeed with a fresh one, which a client with a token source asks for at its next dial.
    Expired,
    /// Another producer was first: nothing is stored. Read behind the head, and decide again.
    Conflict {
        /// The head of the segment, if it is that of one alone; [`Error::Conflicts`] has those of several.
        head: Option<u64>,
    },
    /// Stored bytes are damaged. A retry meets the same until the store is repaired.
    Damaged,
    /// The same call fails again. Change something first.
    Permanent,
}

impl Error {
    /// What to do next. Each variant has one class; the two whose text alone tells are looked into.
    pub fn class(&self) -> ErrorClass {
        match self {
            Error::Connect { .. } | Error::ConnectionLost(_) | Error::Timeout(_) | Error::Unknown(_) => {
                ErrorClass::Transient
            }
            Error::NotThereYet { .. } => ErrorClass::Transient,
            Error::TryLater { after, .. } => ErrorClass::Overloaded { after: Some(*after) },
            Error::Unavailable(why) | Error::NotBegun(why) => match (wait_in(why), is_overload(why)) {
                (None, false) => ErrorClass::Transient,
                (after, _) => ErrorClass::Overloaded { after },
            },
            Error::TokenExpired { .. } => ErrorClass::Expired,
            Error::Conflict { head, .. } => ErrorClass::Conflict { head: Some(*head) },
            Error::Conflicts { heads, .. } => ErrorClass::Conflict {
                head: match &heads[..] {
                    [(_, head)] => Some(head.0),
                    _ => None,
                },
            },
            Error::Damaged { .. } => ErrorClass::Damaged,
            Error::Refused(why) => match why.strip_prefix(NOT_COMMITTED).unwrap_or(why).starts_with(DAMAGE) {
                true => ErrorClass::Damaged,
                false => ErrorClass::Permanent,
            },
            Error::OtherRecords { .. }
            | Error::FencedOff { .. }
            | Error::OtherLog
            | Error::UnfitCursor(_)
            | Error::TooManyEntries { .. }
            | Error::NotInV1(_)
            | Error::Unauthorized
            | Error::AccessDenied
            | Error::Tls { .. }
            | Error::Removed { .. }
            | Error::Protocol(_)
            | Error::Invalid(_)
            | Error::Closed => ErrorClass::Permanent,
        }
    }

    /// Whether the server met damaged stored bytes. A retry meets the same; the server still serves whole segments.
    pub fn is_damage(&self) -> bool {
        self.class() == ErrorClass::Damaged
    }

    /// Whether the same call may succeed later without any change. After a produce, peek first, unless
    /// [`Error::is_not_stored`].
    pub fn is_transient(&self) -> bool {
        matches!(self.class(), ErrorClass::Transient | ErrorClass::Overloaded { .. })
    }

    /// When to try again, if the server says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.class() {
            ErrorClass::Overloaded { after } => after,
            _ => None,
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
            | Error::UnfitCursor(_)
            | Error::TooManyEntries { .. }
            | Error::Protocol(_)
            | Error::Closed => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use streamkit_record::{SegmentPath, Sequence};

    use super::*;

    #[test]
    fn a_conflict_has_its_head_and_several_have_theirs() {
        let head = |segment: &str, head| (SegmentPath::new("s", segment).unwrap(), Sequence(head));
        let conflicts = |heads: Vec<_>| Error::Conflicts {
            heads,
            entries: Vec::new(),
        };
        for (error, head) in [
            (Error::Conflict { head: 7, got: 3 }, Some(7)),
            (conflicts(vec![head("a", 7)]), Some(7)),
            (conflicts(vec![head("a", 7), head("b", 1)]), None),
        ] {
            assert_eq!(error.class(), ErrorClass::Conflict { head }, "{error}");
            assert!(!error.is_transient() && error.is_not_stored());
        }
    }

    #[test]
    fn whoever_asks_to_wait_is_overloaded_and_says_for_how_long_if_it_does() {
        let seconds = |n| Some(Duration::from_secs(n));
        let later = Error::TryLater {
            why: "full".to_owned(),
            after: Duration::from_secs(2),
        };
        for (error, after) in [
            (later, seconds(2)),
            (Error::from_terminal("too many active streams"), None),
            (Error::from_terminal("stream receive buffer overloaded"), None),
            (
                Error::from_terminal("failed to write transaction: slow; try again in 3.0s"),
                seconds(3),
            ),
            (
                Error::from_terminal("failed to write transaction: the store is overloaded: full"),
                None,
            ),
        ] {
            assert_eq!(error.class(), ErrorClass::Overloaded { after }, "{error}");
            assert!(error.is_transient());
            assert_eq!(error.retry_after(), after);
        }
        assert_eq!(
            Error::from_terminal("the server is shutting down").class(),
            ErrorClass::Transient
        );
    }
}
