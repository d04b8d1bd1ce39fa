//! Entries as JSON lines, as `export` writes them: where each stood is kept.

use serde::Deserialize;
use serde::de::IgnoredAny;
use streamkit_client::NewRecord;

use super::record_line::{Texts, fault, payload, text};

/// An entry of another store, or of another time.
pub(crate) struct Exported {
    pub(crate) segment: String,
    pub(crate) sequence: u64,
    /// When it was committed there, Unix milliseconds.
    pub(crate) timestamp: i64,
    pub(crate) record: NewRecord,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(rename = "space")]
    _space: Option<IgnoredAny>,
    segment: String,
    sequence: u64,
    timestamp: i64,
    #[serde(rename = "trx")]
    _trx: Option<IgnoredAny>,
    #[serde(default)]
    metadata: Texts,
    #[serde(default, deserialize_with = "text")]
    payload: Option<String>,
    #[serde(default, deserialize_with = "text")]
    payload_base64: Option<String>,
}

/// Reads a line.
///
/// # Errors
/// It is no entry, and why.
pub(crate) fn read(line: &[u8]) -> Result<Exported, String> {
    if line.trim_ascii_start().first() != Some(&b'{') {
        return Err("not a JSON object".to_owned());
    }
    let line: Line = serde_json::from_slice(line).map_err(|error| fault(&error))?;
    let mut record = NewRecord::new(payload(line.payload, line.payload_base64)?);
    record.metadata = line.metadata.0.into_iter().collect();
    Ok(Exported {
        segment: line.segment,
        sequence: line.sequence,
        timestamp: line.timestamp,
        record,
    })
}

#[cfg(test)]
mod tests {
    use streamkit_client::Entry;

    use super::*;
    use crate::output::EntryLine;

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_as_it_was(
            segment in "\\PC{1,12}",
            sequence in 1..u64::MAX,
            timestamp: i64,
            payload: Vec<u8>,
            metadata in proptest::collection::btree_map(".{0,8}", ".{0,8}", 0..4),
        ) {
            let entry = Entry { space: "s".to_owned(), segment, sequence, timestamp, trx: Default::default(), payload: payload.into(), metadata };
            let line = serde_json::to_vec(&EntryLine(&entry)).unwrap();
            let read = read(&line).unwrap();
            proptest::prop_assert_eq!((read.segment, read.sequence, read.timestamp), (entry.segment, sequence, timestamp));
            proptest::prop_assert_eq!((read.record.payload, read.record.metadata), (entry.payload, entry.metadata));
        }

        #[test]
        fn no_line_is_too_much(line: Vec<u8>) {
            let _ = read(&line);
        }
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        for line in [
            "",
            "[]",
            r#"{"payload":"x"}"#,
            r#"{"segment":"a","sequence":1,"payload":"x"}"#,
            r#"{"segment":"a","sequence":-1,"timestamp":0,"payload":"x"}"#,
            r#"{"segment":"a","sequence":1,"timestamp":0}"#,
            r#"{"segment":"a","sequence":1,"timestamp":0,"payload":"x","payload_base64":""}"#,
            r#"{"segment":"a","sequence":1,"timestamp":0,"payload":"x","more":1}"#,
            r#"{"segment":"a","sequence":1,"timestamp":0,"payload":"x","metadata":{"a":"","a":""}}"#,
        ] {
            assert!(read(line.as_bytes()).is_err(), "{line}");
        }
    }
}
