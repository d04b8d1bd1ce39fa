//! The mux frame: one JSON object per WebSocket text frame, with the store, the channel and the kind of frame. Field
//! order and spelling on output are those of the Go peer; data frames are written straight into a buffer.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use uuid::Uuid;

use crate::base64::{Payload, encode_into};
use crate::object::object;

/// W3C trace headers of the caller: `traceparent`, `tracestate`, `baggage`.
pub type TraceContext = BTreeMap<String, String>;

/// The kind of a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Control {
    /// Carries a message of a channel.
    Data,
    /// Asks for a pong.
    Ping,
    /// Answers a ping.
    Pong,
    /// Ends the whole connection.
    Close,
    /// Ends a channel with an error.
    Error,
    /// Anything else, which a reader ignores.
    Unknown(String),
}

impl Control {
    /// Its name on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Control::Data => "data",
            Control::Ping => "ping",
            Control::Pong => "pong",
            Control::Close => "close",
            Control::Error => "error",
            Control::Unknown(name) => name,
        }
    }
}

impl Default for Control {
    fn default() -> Self {
        Control::Unknown(String::new())
    }
}

impl<'de> Deserialize<'de> for Control {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = crate::object::Key::deserialize(deserializer)?;
        Ok(match &*name.0 {
            "data" => Control::Data,
            "ping" => Control::Ping,
            "pong" => Control::Pong,
            "close" => Control::Close,
            "error" => Control::Error,
            other => Control::Unknown(other.to_owned()),
        })
    }
}

/// One frame.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Frame {
    /// Its kind.
    pub control: Control,
    /// The store; nil for frames of the connection.
    pub store_id: Uuid,
    /// The channel; nil for frames of the connection.
    pub channel_id: Uuid,
    /// The message.
    pub payload: Payload,
    /// The caller's trace headers.
    pub trace_context: Option<TraceContext>,
}

object!(Frame {
    "ControlType" => control,
    "store_id" => store_id,
    "channel_id" => channel_id,
    "payload" => payload,
    "trace_context" => trace_context,
});

/// The text of a WebSocket frame is no mux frame, so nothing more from this connection can be trusted.
#[derive(Debug, thiserror::Error)]
#[error("malformed mux frame: {0}")]
pub struct FrameError(serde_json::Error);

impl Frame {
    /// Reads one frame: exactly one JSON object.
    ///
    /// # Errors
    /// [`FrameError`]: malformed JSON, a field of the wrong type, a bad UUID, bad base64, or anything after the object.
    pub fn decode(text: &[u8]) -> Result<Self, FrameError> {
        serde_json::from_slice(text).map_err(FrameError)
    }

    /// The message's bytes; empty if there are none.
    pub fn message(self) -> Bytes {
        self.payload.into_bytes()
    }

    /// Writes the frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let payload = self.payload.0.as_deref().unwrap_or_default();
        FrameHead::new(self.store_id, self.channel_id).write_open(self.control.as_str(), &mut out);
        write_payload(payload, &mut out);
        if let Some(trace) = self.trace_context.as_ref().filter(|trace| !trace.is_empty()) {
            out.extend_from_slice(b",\"trace_context\":");
            out.extend_from_slice(&serde_json::to_vec(trace).unwrap_or_default());
        }
        out.push(b'}');
        out
    }

    /// A frame of the connection: ping, pong or close.
    pub fn connection(control: Control) -> Self {
        Self {
            control,
            ..Self::default()
        }
    }
}

/// The constant part of a channel's frames, with its ids already encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHead {
    /// The store.
    pub store_id: Uuid,
    /// The channel.
    pub channel_id: Uuid,
}

impl FrameHead {
    /// The frames of one channel of one store.
    pub fn new(store_id: Uuid, channel_id: Uuid) -> Self {
        Self { store_id, channel_id }
    }

    /// Writes a data frame around a message.
    pub fn data(&self, message: &[u8]) -> Vec<u8> {
        self.frame("data", message)
    }

    /// Writes an error frame around a terminal.
    pub fn error(&self, terminal: &[u8]) -> Vec<u8> {
        self.frame("error", terminal)
    }

    /// Appends a data frame around a message to `out`.
    pub fn data_into(&self, message: &[u8], out: &mut Vec<u8>) {
        self.frame_into("data", message, out);
    }

    fn frame(&self, control: &str, message: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(crate::limits::FRAME_OVERHEAD_BYTES + message.len().div_ceil(3) * 4 + 8);
        self.frame_into(control, message, &mut out);
        out
    }

    fn frame_into(&self, control: &str, message: &[u8], out: &mut Vec<u8>) {
        self.write_open(control, out);
        write_payload(message, out);
        out.push(b'}');
    }

    fn write_open(&self, control: &str, out: &mut Vec<u8>) {
        let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
        out.extend_from_slice(b"{\"ControlType\":");
        write_string(control, out);
        out.extend_from_slice(b",\"store_id\":\"");
        out.extend_from_slice(self.store_id.hyphenated().encode_lower(&mut id).as_bytes());
        out.extend_from_slice(b"\",\"channel_id\":\"");
        out.extend_from_slice(self.channel_id.hyphenated().encode_lower(&mut id).as_bytes());
        out.extend_from_slice(b"\",\"payload\":");
    }
}

fn write_payload(message: &[u8], out: &mut Vec<u8>) {
    if message.is_empty() {
        out.extend_from_slice(b"null");
    } else {
        write_bytes(message, out);
    }
}

/// Appends bytes as a JSON string of base64.
pub(crate) fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    encode_into(bytes, out);
    out.push(b'"');
}

/// Appends a text as a JSON string.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    if text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing to a Vec cannot fail.
        let _ = serde_json::to_writer(out, text);
    }
}

/// Appends a number.
pub(crate) fn write_number(number: impl std::fmt::Display, out: &mut Vec<u8>) {
    use std::io::Write as _;
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{number}");
}
