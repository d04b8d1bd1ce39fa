//! The envelope around a request: `{"$type":"streamkit://api/v1/…","content":{…}}`. Of the protocol's keys, only its
//! two match exactly. The error texts are part of the protocol: deployed clients show and match them.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The prefix of all discriminators.
const PREFIX: &str = "streamkit://api/v1/";

/// Known discriminators (after the prefix) and their names in Go servers.
const KNOWN: &[(&str, &str)] = &[
    ("peek", "Peek"),
    ("produce", "Produce"),
    ("consume_segment", "ConsumeSegment"),
    ("consume_space", "ConsumeSpace"),
    ("consume", "Consume"),
    ("get_spaces", "GetSpaces"),
    ("get_segments", "GetSegments"),
    ("get_status", "GetStatus"),
    ("subscribe_to_segment_status", "SubscribeToSegmentStatus"),
    ("subscribe_workers", "SubscribeWorkers"),
    ("lease_acquire", "LeaseAcquire"),
    ("lease_renew", "LeaseRenew"),
    ("lease_release", "LeaseRelease"),
    ("trim", "Trim"),
    ("delete", "Delete"),
    ("segment_status", "SegmentStatus"),
    ("segment_notification", "SegmentNotification"),
    ("worker_inventory", "WorkerInventory"),
    ("worker_inventory_notification", "WorkerInventoryNotification"),
    ("presence", "Presence"),
    ("lease_result", "LeaseResult"),
];

/// Why a message is not the expected envelope. The text goes to the peer unchanged.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// No bytes.
    #[error("unexpected end of JSON input")]
    Empty,
    /// Not JSON.
    #[error("{0}")]
    Syntax(String),
    /// JSON, but not an object.
    #[error("failed to unmarshal envelope: json: cannot unmarshal {0} into Go value of type envelope")]
    NotAnObject(&'static str),
    /// No discriminator.
    #[error("missing $type field in envelope")]
    MissingType,
    /// The discriminator is not a string.
    #[error("invalid $type format: {0}")]
    TypeNotText(String),
    /// The discriminator is the empty string.
    #[error("empty $type discriminator")]
    EmptyType,
    /// An unknown discriminator.
    #[error("type {0:?} is not registered")]
    UnknownType(String),
    /// No content.
    #[error("missing content for type: {0:?}")]
    MissingContent(String),
    /// The content does not fit its type.
    #[error("failed to unmarshal content for {kind:?}: {cause}")]
    Content {
        /// The discriminator.
        kind: String,
        /// The mismatch.
        cause: String,
    },
    /// A known message in the wrong place.
    #[error("invalid request msg type: *api.{0}")]
    NotExpected(&'static str),
}

/// An envelope of a known type, with its content still encoded.
pub(crate) struct Envelope<'a> {
    /// The discriminator without its prefix.
    pub(crate) kind: Cow<'a, str>,
    content: &'a RawValue,
}

impl<'a> Envelope<'a> {
    pub(crate) fn content<T: Deserialize<'a>>(&self) -> Result<T, EnvelopeError> {
        serde_json::from_str(self.content.get()).map_err(|error| EnvelopeError::Content {
            kind: format!("{PREFIX}{}", self.kind),
            cause: error.to_string(),
        })
    }

    pub(crate) fn not_expected(&self) -> EnvelopeError {
        let known = KNOWN.iter().find(|(kind, _)| *kind == self.kind);
        EnvelopeError::NotExpected(known.map_or("Unknown", |(_, name)| name))
    }
}

#[derive(Default)]
struct Parts<'a> {
    kind: Option<&'a RawValue>,
    content: Option<&'a RawValue>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Parts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Parts<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an envelope")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut parts = Parts::default();
                while let Some(key) = map.next_key::<crate::object::Key<'de>>()? {
                    match &*key.0 {
                        "$type" => parts.kind = Some(map.next_value()?),
                        "content" => parts.content = Some(map.next_value()?),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(parts)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Reads the outside of an envelope.
pub(crate) fn decode(message: &[u8]) -> Result<Envelope<'_>, EnvelopeError> {
    let parts: Parts<'_> = match serde_json::from_slice(message) {
        Ok(parts) => parts,
        Err(error) => return Err(no_envelope(message, &error)),
    };
    let raw = parts.kind.map(RawValue::get).filter(|raw| *raw != "null");
    let raw = raw.ok_or(EnvelopeError::MissingType)?;
    let kind: String = serde_json::from_str(raw).map_err(|error| EnvelopeError::TypeNotText(error.to_string()))?;
    if kind.is_empty() {
        return Err(EnvelopeError::EmptyType);
    }
    let Some(short) = kind
        .strip_prefix(PREFIX)
        .filter(|short| KNOWN.iter().any(|(k, _)| k == short))
    else {
        return Err(EnvelopeError::UnknownType(kind));
    };
    match parts.content.filter(|content| content.get() != "null") {
        Some(content) => Ok(Envelope {
            kind: Cow::Owned(short.to_owned()),
            content,
        }),
        None => Err(EnvelopeError::MissingContent(kind)),
    }
}

fn no_envelope(message: &[u8], error: &serde_json::Error) -> EnvelopeError {
    if message.iter().all(u8::is_ascii_whitespace) {
        return EnvelopeError::Empty;
    }
    match serde_json::from_slice::<serde_json::Value>(message) {
        Ok(serde_json::Value::Null) => EnvelopeError::MissingType,
        Ok(serde_json::Value::Array(_)) => EnvelopeError::NotAnObject("array"),
        Ok(serde_json::Value::String(_)) => EnvelopeError::NotAnObject("string"),
        Ok(serde_json::Value::Number(_)) => EnvelopeError::NotAnObject("number"),
        Ok(serde_json::Value::Bool(_)) => EnvelopeError::NotAnObject("bool"),
        Ok(serde_json::Value::Object(_)) | Err(_) => {
            let first = message
                .iter()
                .copied()
                .find(|b| !b.is_ascii_whitespace())
                .unwrap_or_default();
            let begins_a_value = matches!(first, b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n');
            if begins_a_value {
                EnvelopeError::Syntax(error.to_string())
            } else {
                let first = char::from(first);
                EnvelopeError::Syntax(format!("invalid character {first:?} looking for beginning of value"))
            }
        }
    }
}

/// Writes an envelope; `kind` is the discriminator without its prefix.
pub fn encode_envelope(kind: &str, content: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(b"{\"$type\":\"");
    out.extend_from_slice(PREFIX.as_bytes());
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"content\":");
    // Our messages have text keys and plain values: writing them to a Vec cannot fail.
    let _ = serde_json::to_writer(&mut out, content);
    out.push(b'}');
    out
}
