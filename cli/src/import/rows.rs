//! The rows of a text in CSV or NDJSON as records of segments. Reading ends at the first broken row.

use std::collections::HashMap;

use streamkit_client::NewRecord;
use streamkit_engine::Name;
use twox_hash::XxHash64;

use crate::input::csv::Csv;
use crate::input::lines::{LineEnd, Lines};
use crate::input::records::record_bytes;
use crate::input::{Format, Input, json};
use crate::terminal::shown::shown;

/// Most columns that a message names.
const COLUMNS_NAMED: usize = 50;

/// One row, ready to be stored.
pub(super) struct Row {
    /// Its number in the input, from 1, without the CSV's head line.
    pub(super) number: u64,
    /// The digest of all rows up to this one: two inputs have it in common if they have all these rows in common.
    pub(super) digest: u64,
    pub(super) record: NewRecord,
}

/// What all rows of an import have in common.
pub(super) struct Rows<'a> {
    /// The name that tells a rerun whose rows these are: written into every record.
    pub(super) source: &'a str,
    pub(super) segment_by: Option<&'a str>,
    /// The segment of all rows where no field names it.
    pub(super) segment: &'a str,
}

/// How far an input was read.
#[derive(Default)]
struct Progress {
    rows: u64,
    digest: u64,
}

/// Takes a row and the name of its segment; `false` to stop.
pub(super) type Each<'a> = dyn FnMut(&str, Row) -> bool + 'a;

impl Rows<'_> {
    /// Hands over row after row until `each` says stop. An error names the line.
    pub(super) fn read(&self, input: Input, each: &mut Each<'_>) -> Result<(), String> {
        match input.format {
            Format::Csv => self.read_csv(Csv::new(input.text), each),
            Format::Ndjson => self.read_ndjson(Lines::new(input.text, LineEnd::CrLf), each),
        }
    }

    /// Refuses what the server would refuse, which could not tell the line.
    fn row(&self, line: u64, progress: &mut Progress, segment: &str, payload: Vec<u8>) -> Result<Row, String> {
        Name::new(segment).map_err(|error| format!("line {line}: the field that names the segment: {error}"))?;
        let (number, digest) = (progress.rows + 1, XxHash64::oneshot(progress.digest, &payload));
        let record = NewRecord::new(payload)
            .with("source", self.source)
            .with("row", number.to_string())
            .with("digest", format!("{digest:016x}"));
        record_bytes(&record).map_err(|why| format!("line {line}: {why}"))?;
        (progress.rows, progress.digest) = (number, digest);
        Ok(Row { number, digest, record })
    }

    fn read_csv(&self, mut csv: Csv<impl std::io::Read>, each: &mut Each<'_>) -> Result<(), String> {
        let Some(line) = csv.read()? else {
            return Err("it is empty: not even a line that names the columns".to_owned());
        };
        let (keys, column) = self.head(line, csv.fields())?;
        let mut progress = Progress::default();
        while let Some(line) = csv.read()? {
            let fields = csv.fields();
            if fields.len() != keys.len() {
                let (has, should) = (fields.len(), keys.len());
                return Err(format!(
                    "line {line}: a row of {has} fields where the head line has {should}"
                ));
            }
            let mut payload = Vec::with_capacity(512);
            for (index, (key, value)) in keys.iter().zip(fields).enumerate() {
                payload.push(if index == 0 { b'{' } else { b',' });
                payload.extend_from_slice(key);
                serde_json::to_writer(&mut payload, value).map_err(|error| error.to_string())?;
            }
            payload.push(b'}');
            let segment = match column {
                Some(column) => csv.fields().nth(column).unwrap_or_default(),
                None => self.segment,
            };
            let row = self.row(line, &mut progress, segment, payload)?;
            if !each(segment, row) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The columns as keys with their colons, and which of them names the segment.
    fn head<'f>(
        &self,
        line: u64,
        names: impl ExactSizeIterator<Item = &'f str> + Clone,
    ) -> Result<(Vec<Vec<u8>>, Option<usize>), String> {
        let mut seen = HashMap::new();
        for (index, name) in names.clone().enumerate() {
            if name.contains('\0') {
                return Err(format!(
                    "line {line}: this is no text, column {} holds a NUL",
                    index + 1
                ));
            }
            if let Some(before) = seen.insert(name, index) {
                let (first, second) = (before + 1, index + 1);
                return Err(match name {
                    "" => format!("line {line}: columns {first} and {second} have no name; give each one of its own"),
                    _ => format!(
                        "line {line}: columns {first} and {second} are both named {name:?}; give each a name of its own"
                    ),
                });
            }
        }
        let column = match self.segment_by {
            None => None,
            Some(field) => Some(seen.get(field).copied().ok_or_else(|| {
                let columns: Vec<&str> = names.clone().take(COLUMNS_NAMED).collect();
                let more = if names.len() > COLUMNS_NAMED { ", …" } else { "" };
                format!(
                    "line {line}: there is no column {field:?}; the columns are {}{more}",
                    shown(&columns.join(", "))
                )
            })?),
        };
        let key = |name: &str| format!("{}:", serde_json::Value::from(name)).into_bytes();
        Ok((names.map(key).collect(), column))
    }

    fn read_ndjson(&self, lines: Lines<impl std::io::Read>, each: &mut Each<'_>) -> Result<(), String> {
        let mut progress = Progress::default();
        for line in lines {
            let (number, line) = line?;
            if line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
                continue;
            }
            let segment = match self.segment_by {
                None => json::check(&line)
                    .map(|()| self.segment.to_owned())
                    .map_err(|fault| fault.to_string()),
                Some(field) => segment_of(&line, field),
            };
            let segment = segment.map_err(|fault| format!("line {number}: {fault}"))?;
            let row = self.row(number, &mut progress, &segment, line)?;
            if !each(&segment, row) {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// The text in a field of a JSON object, or the number as it stands there: `1E5` and `100000` are two names, as are two numbers
/// that only a computer would take for the same.
fn segment_of(line: &[u8], field: &str) -> Result<String, String> {
    let mut found = None;
    let mut twice = false;
    json::members(line, |key, value| {
        if text(key).is_some_and(|key| key == field) {
            twice |= found.replace(value).is_some();
        }
    })
    .map_err(|fault| fault.to_string())?;
    if twice {
        return Err(format!("the field {field:?} that names the segment stands there twice"));
    }
    let named = match found {
        Some(value @ [b'-' | b'0'..=b'9', ..]) => std::str::from_utf8(value).ok().map(str::to_owned),
        Some(value @ [b'"', ..]) => Some(text(value).ok_or_else(|| {
            format!("the field {field:?} that names the segment is no text: it has half of a surrogate pair")
        })?),
        _ => None,
    };
    named.ok_or_else(|| format!("no text or number in the field {field:?} that names the segment"))
}

/// What a JSON string says; `None` if it has half of a surrogate pair.
fn text(string: &[u8]) -> Option<String> {
    serde_json::from_slice(string).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, format: Format, segment_by: Option<&str>) -> (Vec<(String, String)>, Option<String>) {
        let rows = Rows {
            source: "test",
            segment_by,
            segment: "all",
        };
        let input = Input {
            text: Box::new(std::io::Cursor::new(text.to_owned())),
            format,
        };
        let mut seen = Vec::new();
        let read = rows.read(input, &mut |segment, row| {
            let payload = String::from_utf8(row.record.payload.to_vec()).unwrap();
            seen.push((segment.to_owned(), payload));
            true
        });
        (seen, read.err())
    }

    #[test]
    fn a_number_names_a_segment_as_it_stands() {
        for name in [
            "1E5",
            "100000",
            "1e5",
            "-0",
            "0",
            "1.0",
            "12345678901234567890123",
            "1e999",
        ] {
            let (rows, error) = read(&format!("{{\"id\": {name} }}\n"), Format::Ndjson, Some("id"));
            assert_eq!((rows[0].0.as_str(), error), (name, None));
        }
        let (rows, _) = read("{\"\\u0069d\":\"\\u0041\"}", Format::Ndjson, Some("id"));
        assert_eq!(rows[0].0, "A");
    }

    #[test]
    fn what_cannot_name_a_segment_is_refused_with_its_line() {
        for row in [
            "{\"id\":null}",
            "{\"id\":true}",
            "{\"id\":[1]}",
            "{}",
            "[\"id\"]",
            "\"id\"",
            "{\"id\":1,\"id\":2}",
            "{\"id\":1,\"\\u0069d\":1}",
            "{\"id\":\"\\ud800\"}",
            "{\"x\":{\"id\":1}}",
        ] {
            let (rows, error) = read(&format!("{{\"id\":1}}\r\n \n{row}\n"), Format::Ndjson, Some("id"));
            assert_eq!(rows.len(), 1, "{row}");
            let error = error.unwrap();
            assert!(
                error.starts_with("line 3: ") && error.matches("line").count() == 1,
                "{error}"
            );
        }
    }

    #[test]
    fn a_line_of_json_is_kept_as_it_stands() {
        let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
        for row in [" {\"a\" : 1e999 } ", "{\"a\":\"\\ud800\"}", "[1,1]", "1", deep.as_str()] {
            let (rows, error) = read(&format!("{row}\n"), Format::Ndjson, None);
            assert_eq!((rows[0].1.as_str(), error), (row, None));
        }
        for row in ["{\"a\":1", "{a:1}", "\u{c}", "1\r2", "\u{feff}1"] {
            let (rows, error) = read(&format!("1\n{row}\n"), Format::Ndjson, None);
            assert_eq!(rows.len(), 1);
            assert!(error.unwrap().starts_with("line 2: not JSON: "), "{row}");
        }
    }

    #[test]
    fn columns_that_would_be_one_key_are_refused_and_named() {
        for (head, said) in [
            ("id,v,id", "columns 1 and 3 are both named \"id\""),
            ("a,,b,", "columns 2 and 4 have no name"),
            ("a,\"\",\"\"", "columns 2 and 3 have no name"),
            ("\n\na,a", "line 3: columns 1 and 2"),
            ("", "not even a line that names the columns"),
            ("\r\n\n", "not even a line that names the columns"),
            ("a\0,b", "this is no text"),
        ] {
            let error = read(&format!("{head}\n1,2,3,4\n"), Format::Csv, None).1;
            let empty = read(head, Format::Csv, None).1;
            let error = if head.trim().is_empty() { empty } else { error };
            assert!(
                error.as_ref().is_some_and(|error| error.contains(said)),
                "{head:?}: {error:?}"
            );
        }
        let (rows, error) = read(",a\n0,1\n", Format::Csv, None);
        assert_eq!((rows[0].1.as_str(), error), ("{\"\":\"0\",\"a\":\"1\"}", None));
    }

    #[test]
    fn a_ragged_row_is_named_by_the_line_it_begins_at() {
        for text in [
            "a,b\r\n\r\n\"1\r\n2\",3\r\n4\r\n",
            "a,b\r\r\"1\r2\",3\r4\r",
            "a,b\n\n\"1\n2\",3\n4,5,6",
        ] {
            let (rows, error) = read(text, Format::Csv, None);
            assert_eq!(rows.len(), 1);
            assert!(error.unwrap().starts_with("line 5: a row of"), "{text:?}");
        }
    }
}
