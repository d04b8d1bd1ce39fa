//! Records, as a producer sends them: a sequence, a payload, metadata.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::MessageError;
use crate::base64::Payload;
use crate::frame::{write_bytes, write_number, write_string};
use crate::object::object;

/// Text keys with text values.
pub type Metadata = BTreeMap<String, String>;

/// One record to read.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Record {
    /// The sequence it must get.
    pub sequence: u64,
    /// The event.
    pub payload: Payload,
    /// Text keys with text values.
    pub metadata: Metadata,
}

object!(Record { "sequence" => sequence, "payload" => payload, "metadata" => metadata });

impl Record {
    /// Reads one record.
    ///
    /// # Errors
    /// [`MessageError`]: not an object (`null` too), a field of the wrong type, bad base64.
    pub fn decode(message: &[u8]) -> Result<Self, MessageError> {
        Ok(serde_json::from_slice(message)?)
    }

    /// The event's bytes.
    pub fn bytes(self) -> Bytes {
        self.payload.into_bytes()
    }
}

/// One record to write.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    /// The sequence it must get.
    pub sequence: u64,
    /// The event; `None` is written as `null`.
    pub payload: Option<&'a [u8]>,
    /// Text keys with text values.
    pub metadata: &'a Metadata,
}

impl RecordRef<'_> {
    /// Appends the record's JSON to `out`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"sequence\":");
        write_number(self.sequence, out);
        out.extend_from_slice(b",\"payload\":");
        match self.payload {
            Some(bytes) => write_bytes(bytes, out),
            None => out.extend_from_slice(b"null"),
        }
        write_metadata(self.metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())), out);
        out.push(b'}');
    }
}

/// Appends `,"metadata":{…}`, or nothing if there is none.
pub(crate) fn write_metadata<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>, out: &mut Vec<u8>) {
    let mut any = false;
    for (key, value) in pairs {
        out.extend_from_slice(if any { b"," } else { b",\"metadata\":{" });
        any = true;
        write_string(key, out);
        out.push(b':');
        write_string(value, out);
    }
    if any {
        out.push(b'}');
    }
}
