//! The end of a channel: `mux::close` without a text is a clean end, anything else an error. A message is a terminal
//! exactly if it is an object whose `type` begins with `mux::`; other objects with a `type` belong to the application.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::object::object;

/// The last message of a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Terminal {
    /// Clean end. From a producer: no more records; the status may still come.
    Close,
    /// Ended by an error of the operation.
    CloseError(String),
    /// Ended by an error of the connection or the session.
    Error(String),
    /// An unknown `mux::` type: an error.
    Unknown(String, String),
}

/// What a terminal's type contains: itself, or an escape in its place.
static MARKS: LazyLock<[Finder<'static>; 2]> = LazyLock::new(|| [b"mux:", b"\\u00"].map(Finder::new));

#[derive(Default)]
struct Wire {
    kind: Option<serde_json::Value>,
    err: Option<serde_json::Value>,
}

object!(Wire { "type" => kind, "err" => err });

impl Terminal {
    /// The terminal in a message, if it is one.
    pub fn decode(message: &[u8]) -> Option<Self> {
        // Cheap test first: nearly every message is an entry or a record.
        let head = &message[..message.len().min(4096)];
        if MARKS.iter().all(|mark| mark.find(head).is_none()) {
            return None;
        }
        let wire: Wire = serde_json::from_slice(message).ok()?;
        let kind = wire.kind.as_ref()?.as_str()?.strip_prefix("mux::")?;
        let err = match wire.err {
            None => String::new(),
            Some(serde_json::Value::String(text)) => text,
            // No peer sends it, but whatever it says, it says that something failed.
            Some(other) => other.to_string(),
        };
        Some(match kind {
            "close" if err.is_empty() => Terminal::Close,
            "close" => Terminal::CloseError(err),
            "error" => Terminal::Error(err),
            other => Terminal::Unknown(format!("mux::{other}"), err),
        })
    }

    /// Writes it.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, err) = match self {
            Terminal::Close => ("mux::close", ""),
            Terminal::CloseError(err) => ("mux::close", err.as_str()),
            Terminal::Error(err) => ("mux::error", err.as_str()),
            Terminal::Unknown(kind, err) => (kind.as_str(), err.as_str()),
        };
        let mut out = Vec::with_capacity(24 + kind.len() + err.len());
        out.extend_from_slice(b"{\"type\":");
        crate::frame::write_string(kind, &mut out);
        if !err.is_empty() {
            out.extend_from_slice(b",\"err\":");
            crate::frame::write_string(err, &mut out);
        }
        out.push(b'}');
        out
    }

    /// The error for the reader of the stream; `None` for a clean end.
    pub fn into_error(self) -> Option<String> {
        match self {
            Terminal::Close => None,
            Terminal::CloseError(err) => Some(format!("remote closed stream: {err}")),
            Terminal::Error(err) => Some(format!("remote error: {err}")),
            Terminal::Unknown(kind, err) => Some(format!("unknown error type {kind:?}: {err}")),
        }
    }
}
