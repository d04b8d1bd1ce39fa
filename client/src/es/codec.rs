//! Types of events ↔ envelopes. Which names a type knows is asked of serde: the names of its variants.

use std::fmt;

use serde::Deserializer as _;
use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, EnumAccess, IntoDeserializer as _, VariantAccess, Visitor};
use serde_json::Value;

use super::aggregate::{Event, UnknownEvent};
use super::envelope::{Content, Envelope, Stamp};
use super::upcast::{current, upcast};

/// Why bytes are no event of a type.
#[derive(Debug)]
pub(super) enum Fault {
    /// They are none of any type, or their content is not what the type has under that name.
    Malformed(String),
    /// The type has no such name.
    UnknownName { name: String, version: u32 },
    /// The type has the name in other versions.
    UnknownVersion { name: String, version: u32, current: u32 },
}

/// An event's bytes, and the event as it will be read from them.
///
/// # Errors
/// Why it cannot be saved. What could not be read again is not written.
pub(super) fn encode<E: Event>(event: &E, stamp: &Stamp) -> Result<(Vec<u8>, E), String> {
    let value = serde_json::to_value(event).map_err(|error| error.to_string())?;
    let (name, content) = parts(value)?;
    let envelope = Envelope {
        version: current(E::UPCASTS, &name),
        name,
        content,
    };
    let bytes = envelope.encode(stamp)?;
    match decode(&bytes) {
        Ok((event, _)) => Ok((bytes, event)),
        Err(fault) => Err(format!("it could not be read again: {fault}")),
    }
}

/// Name and content of what serde makes of an `enum`.
fn parts(value: Value) -> Result<(String, Content), String> {
    let object = match value {
        Value::String(name) => return Ok((name, Content::new())),
        Value::Object(object) => object,
        _ => return Err(NO_ENUM.to_owned()),
    };
    let mut members = object.into_iter();
    match (members.next(), members.next()) {
        (Some((name, Value::Object(content))), None) => Ok((name, content)),
        (Some((name, Value::Null)), None) => Ok((name, Content::new())),
        (Some((name, _)), None) => Err(format!("the content of {name} is no object")),
        _ => Err(NO_ENUM.to_owned()),
    }
}

pub(super) const NO_ENUM: &str = "events are an enum with serde's own representation";

/// The event in some bytes, in the version that the type has now.
pub(super) fn decode<E: Event>(payload: &[u8]) -> Result<(E, Stamp), Fault> {
    let (mut envelope, stamp) = Envelope::decode(payload).map_err(Fault::Malformed)?;
    let at = (envelope.name, envelope.version);
    let (name, version) = upcast(E::UPCASTS, at, &mut envelope.content).map_err(Fault::Malformed)?;
    let found = E::deserialize(Variant {
        name: &name,
        content: &envelope.content,
    });
    let current = current(E::UPCASTS, &name);
    match found {
        Err(Unread::Name) => {
            let unknown = UnknownEvent {
                name: name.clone(),
                version,
                content: envelope.content,
            };
            match E::unknown(unknown) {
                Some(event) => Ok((event, stamp)),
                None => Err(Fault::UnknownName { name, version }),
            }
        }
        // Another version may also fit by chance, and mean something else.
        _ if version != current => Err(Fault::UnknownVersion { name, version, current }),
        Err(Unread::Content(why)) => Err(Fault::Malformed(why)),
        Ok(event) => Ok((event, stamp)),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => f.write_str(why),
            Self::UnknownName { name, .. } => write!(f, "no event is named {name:?}"),
            Self::UnknownVersion { name, version, .. } => write!(f, "{name} has no version {version}"),
        }
    }
}

/// A variant of an `enum`, for serde to make it of.
struct Variant<'a> {
    name: &'a str,
    content: &'a Content,
}

/// Why serde could not.
#[derive(Debug)]
enum Unread {
    Name,
    Content(String),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("no such variant"),
            Self::Content(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Unread {}

impl de::Error for Unread {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self::Content(why.to_string())
    }
}

impl From<serde_json::Error> for Unread {
    fn from(error: serde_json::Error) -> Self {
        Self::Content(error.to_string())
    }
}

impl<'de> de::Deserializer<'de> for Variant<'de> {
    type Error = Unread;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Unread> {
        Err(Unread::Content(NO_ENUM.to_owned()))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unread> {
        visitor.visit_enum(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Unread;
    type Variant = VariantContent<'de>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), Unread> {
        let name: StrDeserializer<'_, Unread> = self.name.into_deserializer();
        // A name that is none is all that can be wrong with a text.
        let variant = seed.deserialize(name).map_err(|_| Unread::Name)?;
        Ok((variant, VariantContent(self.content)))
    }
}

struct VariantContent<'a>(&'a Content);

impl<'de> VariantAccess<'de> for VariantContent<'de> {
    type Error = Unread;

    /// Whatever stands there: the event holds nothing.
    fn unit_variant(self) -> Result<(), Unread> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Unread> {
        Ok(seed.deserialize(self.0)?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Unread> {
        Ok(self.0.deserialize_any(visitor)?)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Unread> {
        Ok(self.0.deserialize_any(visitor)?)
    }
}
