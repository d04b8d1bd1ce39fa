//! What the texts of v1 mean, which are its only codes of errors.

use std::time::Duration;

use crate::error::Error;

/// Beginnings of texts that say why a chunk is not stored, or not for certain.
pub(crate) const NOT_COMMITTED: &str = "failed to write transaction: ";

/// Texts with which servers refuse a request before they do anything for it, and which they use for nothing else.
/// Other texts may come before the first record or after a commit: that the server stops, that the token expired, that
/// it received too much.
const NOT_BEGUN: [&str; 2] = ["store unavailable", "too many active streams"];

/// The text with which a server ends calls whose token has expired. As an error frame, it refuses one of which nothing was begun.
pub(crate) const TOKEN_EXPIRED: &str = "the token expired";

/// Beginnings of texts that refuse a produce before its first record; Go servers have two of them.
pub(crate) const BAD_PRODUCE: &str = "invalid produce arg";

/// Beginnings of texts about a store that takes nothing for now; details follow.
const NOT_NOW: [&str; 4] = [
    "the store accepts no writes since ",
    "the store holds as many leases as it may; ",
    "the store is overloaded: ",
    "nothing was written, the log could not be made ready: ",
];

/// Begins a text about a storage of several hosts that may have done what was asked of it, or not.
const UNANSWERED: &str = "the shared storage has not answered: ";

/// Stands in texts of a medium that asks to wait; the reason goes before it, and the time follows.
const WAIT: &str = "; try again in ";

/// Beginnings of texts that say that there is no room.
const OVERLOADS: [&str; 4] = [
    "the store is overloaded: ",
    "the store holds as many leases as it may; ",
    "stream receive buffer overloaded",
    "too many active streams",
];

/// Beginnings of texts about damaged stored bytes.
pub(crate) const DAMAGE: &str = "damage in store ";

/// How long such a text asks to wait.
pub(crate) fn wait_in(text: &str) -> Option<Duration> {
    let told = text.rsplit_once(WAIT)?.1;
    let unit = told.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number: f64 = told[..unit].parse().ok()?;
    let seconds = match &told[unit..] {
        "s" => number,
        "ms" => number / 1e3,
        "µs" => number / 1e6,
        "ns" => number / 1e9,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

/// Such a text without how long it asks to wait.
pub(crate) fn without_wait(text: &str) -> &str {
    match (wait_in(text), text.rsplit_once(WAIT)) {
        (Some(_), Some((why, _))) => why,
        _ => text,
    }
}

/// Whether such a text says that there is no room.
pub(crate) fn is_overload(text: &str) -> bool {
    let why = text.strip_prefix(NOT_COMMITTED).unwrap_or(text);
    OVERLOADS.iter().any(|begins| why.starts_with(begins))
}

impl Error {
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
        if storage.starts_with(UNANSWERED) {
            return Error::Unknown(storage.to_owned());
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
    fn a_text_that_asks_to_wait_says_for_how_long() {
        for (text, millis) in [
            ("busy; try again in 5.0s", Some(5000)),
            ("busy; try again in 250.5ms", Some(250)),
            ("busy; try again in a while", None),
            ("busy; try again in 1e999s", None),
            ("busy", None),
        ] {
            assert_eq!(wait_in(text).map(|wait| wait.as_millis()), millis, "{text}");
            let why = if millis.is_some() { "busy" } else { text };
            assert_eq!(without_wait(text), why);
        }
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
