//! Records as JSON lines: what is not exactly that is refused, not stored as something else.

use std::collections::HashMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use streamkit_client::NewRecord;

/// A payload, as text or in base64, and metadata.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default, deserialize_with = "text")]
    payload: Option<String>,
    #[serde(default, deserialize_with = "text")]
    payload_base64: Option<String>,
    #[serde(default)]
    metadata: Texts,
}

/// A text where there is a value: `null` is none.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

/// An object of texts, each under a key of its own.
#[derive(Default)]
pub(super) struct Texts(pub(super) HashMap<String, String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
                let mut texts = HashMap::new();
                while let Some((key, value)) = map.next_entry::<String, String>()? {
                    if texts.contains_key(&key) {
                        return Err(A::Error::custom(format_args!(
                            "the metadata key {key:?} stands there twice"
                        )));
                    }
                    texts.insert(key, value);
                }
                Ok(Texts(texts))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Reads a line; the first one of an input may begin with a byte order mark.
///
/// # Errors
/// It is no record, and why.
pub(crate) fn read(number: u64, line: &[u8]) -> Result<NewRecord, String> {
    let mark: &[u8] = if number == 1 { b"\xef\xbb\xbf" } else { b"" };
    let line = line.strip_prefix(mark).unwrap_or(line);
    if line.trim_ascii().first() != Some(&b'{') {
        return Err("not a JSON object".to_owned());
    }
    let line: Line = serde_json::from_slice(line).map_err(|error| fault(&error))?;
    let record = NewRecord::new(payload(line.payload, line.payload_base64)?);
    Ok(line
        .metadata
        .0
        .into_iter()
        .fold(record, |record, (key, value)| record.with(key, value)))
}

/// A payload, which is a text or stands in base64.
pub(super) fn payload(as_text: Option<String>, as_base64: Option<String>) -> Result<Vec<u8>, String> {
    match (as_text, as_base64) {
        (Some(text), None) => Ok(text.into_bytes()),
        (None, Some(text)) => STANDARD
            .decode(text)
            .map_err(|error| format!("payload_base64: {error}")),
        (None, None) => Err("neither payload nor payload_base64".to_owned()),
        (Some(_), Some(_)) => Err("payload and payload_base64 exclude each other".to_owned()),
    }
}

/// Without the line that the parser counts, which is always the first.
pub(super) fn fault(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(text) => format!("{text} at byte {}", error.column()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_an_object_with_a_payload_and_metadata_of_texts() {
        for (line, payload, metadata) in [
            (r#"{"payload":""}"#, &b""[..], 0),
            (" { \"payload\" : \"é\\u0000\\ud834\\udd1e\" } \r", "é\0𝄞".as_bytes(), 0),
            (r#"{"metadata":{"a":"1","b":""},"payload":"x"}"#, b"x", 2),
            (r#"{"payload_base64":"/w==","metadata":{}}"#, b"\xff", 0),
            ("\u{feff}{\"payload\":\"x\"}", b"x", 0),
        ] {
            let record = read(1, line.as_bytes()).unwrap();
            assert_eq!(
                (&record.payload[..], record.metadata.len()),
                (payload, metadata),
                "{line}"
            );
        }
    }

    #[test]
    fn anything_else_is_refused_and_names_no_line_of_its_own() {
        for line in [
            "{}",
            "",
            "null",
            "\"payload\"",
            "[]",
            r#"["x"]"#,
            r#"["x",null,{}]"#,
            r#"{"payload":null}"#,
            r#"{"payload":1}"#,
            r#"{"payload":["x"]}"#,
            r#"{"payload":{"a":1}}"#,
            r#"{"payload":"x","payload":"x"}"#,
            r#"{"payload":"x","\u0070ayload":"y"}"#,
            r#"{"payload":"x","payload_base64":"eA=="}"#,
            r#"{"payload":null,"payload_base64":"eA=="}"#,
            r#"{"payload_base64":null}"#,
            r#"{"payload_base64":"eA"}"#,
            r#"{"payload_base64":"e A=="}"#,
            r#"{"Payload":"x"}"#,
            r#"{"payload":"x","sequence":1}"#,
            r#"{"metadata":{"a":"1"}}"#,
            r#"{"payload":"x","metadata":null}"#,
            r#"{"payload":"x","metadata":[]}"#,
            r#"{"payload":"x","metadata":[["a","1"]]}"#,
            r#"{"payload":"x","metadata":{"a":1}}"#,
            r#"{"payload":"x","metadata":{"a":null}}"#,
            r#"{"payload":"x","metadata":{"a":"1","a":"2"}}"#,
            r#"{"payload":"x","metadata":{"a":"1","\u0061":"1"}}"#,
            r#"{"payload":"x","metadata":{},"metadata":{}}"#,
            r#"{"payload":"\ud800"}"#,
            r#"{"payload":"x"} {}"#,
            r#"{"payload":"x"},"#,
            r#"{"payload":"x""#,
        ] {
            let error = read(1, line.as_bytes()).map(|_| ()).unwrap_err();
            assert!(!error.contains("line"), "{line}: {error}");
        }
        assert!(read(1, b"{\"payload\":\"\xff\"}").is_err());
        assert!(read(2, "\u{feff}{\"payload\":\"x\"}".as_bytes()).is_err());
    }
}
