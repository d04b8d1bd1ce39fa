//! Entries, the answers to a consume and a peek. They are written straight from borrowed parts, because a store sends
//! them by the million.

use bytes::Bytes;
use serde::Serialize;
use uuid::Uuid;

use crate::MessageError;
use crate::base64::Payload;
use crate::frame::{write_bytes, write_number, write_string};
use crate::object::object;
use crate::record::{Metadata, write_metadata};

/// The transaction an entry was committed with.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Trx {
    /// Its id.
    pub id: Uuid,
    /// The node that committed it; nil in a store of one host.
    pub node: Uuid,
    /// Its number, increasing.
    pub number: u64,
}

object!(Trx { "id" => id, "node" => node, "number" => number });

/// One entry to read.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Entry {
    /// Its number in its segment, from 1; 0 in the answer to a peek of an empty segment.
    pub sequence: u64,
    /// Its commit time, Unix milliseconds.
    pub timestamp: i64,
    /// Its transaction.
    pub trx: Trx,
    /// The event.
    pub payload: Payload,
    /// Text keys with text values.
    pub metadata: Metadata,
    /// Its space.
    pub space: String,
    /// Its segment.
    pub segment: String,
}

object!(Entry {
    "sequence" => sequence,
    "timestamp" => timestamp,
    "trx" => trx,
    "payload" => payload,
    "metadata" => metadata,
    "space" => space,
    "segment" => segment,
});

impl Entry {
    /// Reads one entry.
    ///
    /// # Errors
    /// [`MessageError`]: not an object, a field of the wrong type, bad base64.
    pub fn decode(message: &[u8]) -> Result<Self, MessageError> {
        Ok(serde_json::from_slice(message)?)
    }

    /// The event's bytes.
    pub fn bytes(self) -> Bytes {
        self.payload.into_bytes()
    }

    /// Writes it.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        EntryRef {
            sequence: self.sequence,
            timestamp: self.timestamp,
            trx: self.trx,
            payload: self.payload.0.as_deref(),
            metadata: self.metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())),
            space: &self.space,
            segment: &self.segment,
        }
        .encode_into(&mut out);
        out
    }
}

/// One entry to write.
#[derive(Clone, Debug)]
pub struct EntryRef<'a, M> {
    /// Its number in its segment.
    pub sequence: u64,
    /// Its commit time; 0 is left out.
    pub timestamp: i64,
    /// Its transaction.
    pub trx: Trx,
    /// The event. `None` is written as `null` and means that there is no such entry. A consumed entry always has
    /// `Some`.
    pub payload: Option<&'a [u8]>,
    /// Text keys with text values.
    pub metadata: M,
    /// Its space.
    pub space: &'a str,
    /// Its segment.
    pub segment: &'a str,
}

impl<'a, M: Iterator<Item = (&'a str, &'a str)>> EntryRef<'a, M> {
    /// Appends the entry's JSON to `out`.
    pub fn encode_into(self, out: &mut Vec<u8>) {
        let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
        out.extend_from_slice(b"{\"sequence\":");
        write_number(self.sequence, out);
        if self.timestamp != 0 {
            out.extend_from_slice(b",\"timestamp\":");
            write_number(self.timestamp, out);
        }
        out.extend_from_slice(b",\"trx\":{\"id\":\"");
        out.extend_from_slice(self.trx.id.hyphenated().encode_lower(&mut id).as_bytes());
        out.extend_from_slice(b"\",\"node\":\"");
        out.extend_from_slice(self.trx.node.hyphenated().encode_lower(&mut id).as_bytes());
        out.extend_from_slice(b"\",\"number\":");
        write_number(self.trx.number, out);
        out.extend_from_slice(b"},\"payload\":");
        match self.payload {
            Some(bytes) => write_bytes(bytes, out),
            None => out.extend_from_slice(b"null"),
        }
        write_metadata(self.metadata, out);
        out.extend_from_slice(b",\"space\":");
        write_string(self.space, out);
        out.extend_from_slice(b",\"segment\":");
        write_string(self.segment, out);
        out.push(b'}');
    }
}
