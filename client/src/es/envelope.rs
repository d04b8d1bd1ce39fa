//! Events as bytes: `{"$type":NAME,"content":{"metadata":{…},…}}`, as the Go system's `eskit` writes and reads them. Versions behind the
//! first add `"version":N`, which it skips. Knows no type of an event.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::loaded::Cause;

/// What an event holds, as JSON.
pub type Content = serde_json::Map<String, serde_json::Value>;

/// The member of the content that is not the event's own.
const METADATA: &str = "metadata";

/// An event between types and bytes.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) name: String,
    pub(super) version: u32,
    pub(super) content: Content,
}

/// What a saved event says of itself.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Stamp {
    /// Of which aggregate it is. Where it stands says so, too, so nobody reads it here; its form has changed over the years.
    #[serde(skip_deserializing)]
    pub(super) entity: Entity,
    pub(super) event_id: Uuid,
    pub(super) correlation_id: Uuid,
    pub(super) causation_id: Uuid,
    /// When it was made, Unix milliseconds.
    timestamp: i64,
    pub(super) sequence: u64,
}

/// An aggregate, as the Go system names it.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub(super) struct Entity {
    id: Uuid,
    area: String,
    tenant_id: Uuid,
    /// 1: of a tenant, 0: of none.
    scope: u8,
}

impl Entity {
    /// The id of one that is no UUID is the nil one: the Go system has no others.
    pub(super) fn new(store: Uuid, space: &str, id: &str) -> Self {
        Self {
            id: id.parse().unwrap_or_default(),
            area: space.to_owned(),
            tenant_id: store,
            scope: u8::from(!store.is_nil()),
        }
    }
}

impl Stamp {
    /// Of an event that is made now.
    pub(super) fn now(entity: Entity, cause: Cause, sequence: u64) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            entity,
            event_id: Uuid::new_v4(),
            correlation_id: cause.correlation.unwrap_or_default(),
            causation_id: cause.causation.unwrap_or_default(),
            timestamp: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
            sequence,
        }
    }

    /// The event's id, if it has one.
    pub(super) fn id(&self) -> Option<Uuid> {
        some(self.event_id)
    }

    pub(super) fn cause(&self) -> Cause {
        Cause {
            correlation: some(self.correlation_id),
            causation: some(self.causation_id),
        }
    }
}

/// The nil id is none.
fn some(id: Uuid) -> Option<Uuid> {
    Some(id).filter(|id| !id.is_nil())
}

#[derive(Serialize)]
struct Written<'a> {
    #[serde(rename = "$type")]
    name: &'a str,
    content: &'a Content,
    #[serde(skip_serializing_if = "is_first")]
    version: u32,
}

#[derive(Deserialize)]
struct Read {
    #[serde(rename = "$type")]
    name: String,
    content: Content,
    #[serde(default = "first")]
    version: u32,
}

fn first() -> u32 {
    1
}

fn is_first(version: &u32) -> bool {
    *version == 1
}

impl Envelope {
    /// Its bytes, with a stamp.
    pub(super) fn encode(self, stamp: &Stamp) -> Result<Vec<u8>, String> {
        if self.content.contains_key(METADATA) {
            return Err(format!(
                "the content of {} has a member {METADATA:?} of its own",
                self.name
            ));
        }
        let stamp = serde_json::to_value(stamp).map_err(|error| error.to_string())?;
        let mut content = Content::from_iter([(METADATA.to_owned(), stamp)]);
        content.extend(self.content);
        let written = Written {
            name: &self.name,
            content: &content,
            version: self.version,
        };
        serde_json::to_vec(&written).map_err(|error| error.to_string())
    }

    /// The opposite. An event without a stamp has an empty one.
    pub(super) fn decode(payload: &[u8]) -> Result<(Self, Stamp), String> {
        let mut read: Read = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
        let stamp = match read.content.shift_remove(METADATA) {
            None | Some(serde_json::Value::Null) => Stamp::default(),
            Some(stamp) => serde_json::from_value(stamp).map_err(|error| format!("its {METADATA}: {error}"))?,
        };
        let envelope = Self {
            name: read.name,
            version: read.version,
            content: read.content,
        };
        Ok((envelope, stamp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"$type":"invoice_sent","content":{"metadata":{"entity":{"id":"0d9c5f0e-8a36-4a55-8d36-f7a7e1f2a001","area":"invoices","tenant_id":"6f1c1e0e-3c0b-4e9e-9a51-0a6f3f2d9b10","scope":1},"event_id":"aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa","correlation_id":"bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb","causation_id":"00000000-0000-0000-0000-000000000000","timestamp":1700000000123,"sequence":7},"To":"a\u003cb"}}"#;

    #[test]
    fn an_event_of_the_go_system_is_read_and_written_as_it_was() {
        let (envelope, mut stamp) = Envelope::decode(EVENT.as_bytes()).unwrap();
        assert_eq!((envelope.name.as_str(), envelope.version), ("invoice_sent", 1));
        assert_eq!(envelope.content["To"], "a<b");
        assert_eq!(stamp.sequence, 7);
        assert_eq!(
            stamp.cause().correlation,
            Some(Uuid::from_u128(0xbbbbbbbb_bbbb_4bbb_8bbb_bbbbbbbbbbbb))
        );
        assert_eq!(stamp.cause().causation, None);
        let store = "6f1c1e0e-3c0b-4e9e-9a51-0a6f3f2d9b10".parse().unwrap();
        stamp.entity = Entity::new(store, "invoices", "0d9c5f0e-8a36-4a55-8d36-f7a7e1f2a001");
        let written = String::from_utf8(envelope.encode(&stamp).unwrap()).unwrap();
        // Go writes some characters of texts in another form, which means the same.
        assert_eq!(written, EVENT.replace("\\u003c", "<"));
    }

    #[test]
    fn what_is_no_event_is_told() {
        for (payload, why) in [
            ("", "EOF"),
            ("placed", "expected value"),
            ("[]", "invalid length"),
            ("null", "invalid type: null"),
            (r#"{"content":{}}"#, "missing field `$type`"),
            (r#"{"$type":7,"content":{}}"#, "invalid type: integer"),
            (r#"{"$type":"a"}"#, "missing field `content`"),
            (r#"{"$type":"a","content":null}"#, "invalid type: null"),
            (r#"{"$type":"a","content":[]}"#, "invalid type: sequence"),
            (r#"{"$type":"a","content":{},"version":-1}"#, "invalid value"),
            (r#"{"$type":"a","content":{"metadata":{"event_id":7}}}"#, "its metadata"),
        ] {
            let error = Envelope::decode(payload.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{payload}: {error}");
        }
        let (bare, stamp) = Envelope::decode(br#"{"more":1,"content":{"metadata":null},"$type":"a"}"#).unwrap();
        assert!(bare.content.is_empty() && stamp.id().is_none());
    }
}
