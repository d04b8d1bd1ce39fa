//! The rows of a CSV or NDJSON file, compressed or not, as records of segments. Reading ends at the first broken row.

use std::io::Read;

use serde_json::Value;
use streamkit_client::NewRecord;
use streamkit_engine::Name;

use super::lines::Lines;
use super::records::record_bytes;

/// Which row format a file has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    Csv,
    Ndjson,
}

impl Format {
    /// By the file's name, without `.gz`: `.ndjson`, `.jsonl` and `.json` are NDJSON, anything else is CSV.
    pub(crate) fn of(file: &str) -> Self {
        let name = file.strip_suffix(".gz").unwrap_or(file);
        let ndjson = [".ndjson", ".jsonl", ".json"].iter().any(|end| name.ends_with(end));
        if ndjson { Format::Ndjson } else { Format::Csv }
    }
}

/// One row.
pub(crate) struct Row {
    /// Its number in the file, from 1, without the CSV's head line.
    pub(crate) number: u64,
    pub(crate) segment: String,
    pub(crate) record: NewRecord,
}

/// What all rows of an import have in common.
pub(crate) struct Rows<'a> {
    /// The name that tells a rerun whose rows these are: written into every record.
    pub(crate) source: &'a str,
    pub(crate) format: Format,
    pub(crate) segment_by: Option<&'a str>,
    /// The segment of all rows where no field names it.
    pub(crate) segment: &'a str,
}

impl Rows<'_> {
    /// Hands over row after row until `each` says stop. An error names the line.
    pub(crate) fn read(&self, input: impl Read, each: &mut dyn FnMut(Row) -> bool) -> Result<(), String> {
        match self.format {
            Format::Csv => self.read_csv(input, each),
            Format::Ndjson => self.read_ndjson(input, each),
        }
    }

    /// Refuses what the server would refuse, which could not tell the line.
    fn row(&self, line: u64, number: u64, segment: &str, payload: Vec<u8>) -> Result<Row, String> {
        Name::new(segment).map_err(|error| format!("line {line}: the field that names the segment: {error}"))?;
        let record = NewRecord::new(payload)
            .with("source", self.source)
            .with("row", number.to_string());
        record_bytes(&record).map_err(|why| format!("line {line}: {why}"))?;
        Ok(Row {
            number,
            segment: segment.to_owned(),
            record,
        })
    }

    fn read_csv(&self, input: impl Read, each: &mut dyn FnMut(Row) -> bool) -> Result<(), String> {
        let mut reader = csv::ReaderBuilder::new().buffer_capacity(256 << 10).from_reader(input);
        let head = reader.headers().map_err(|error| csv_fault(&error))?.clone();
        let keys: Vec<Vec<u8>> = head
            .iter()
            .map(|name| format!("{}:", Value::from(name)).into_bytes())
            .collect();
        let column = match self.segment_by {
            None => None,
            Some(field) => Some(head.iter().position(|name| name == field).ok_or_else(|| {
                let columns: Vec<&str> = head.iter().collect();
                format!(
                    "line 1: there is no column {field:?}; the columns are {}",
                    columns.join(", ")
                )
            })?),
        };
        let mut record = csv::StringRecord::new();
        let mut number = 0;
        while reader.read_record(&mut record).map_err(|error| csv_fault(&error))? {
            number += 1;
            let mut payload = Vec::with_capacity(512);
            payload.push(b'{');
            for (index, (key, value)) in keys.iter().zip(&record).enumerate() {
                if index > 0 {
                    payload.push(b',');
                }
                payload.extend_from_slice(key);
                serde_json::to_writer(&mut payload, value).map_err(|error| error.to_string())?;
            }
            payload.push(b'}');
            let segment = match column {
                Some(column) => record.get(column).unwrap_or_default(),
                None => self.segment,
            };
            let line = record.position().map_or(0, csv::Position::line);
            if !each(self.row(line, number, segment, payload)?) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn read_ndjson(&self, input: impl Read, each: &mut dyn FnMut(Row) -> bool) -> Result<(), String> {
        let mut number = 0;
        for line in Lines::new(input) {
            let (line_number, line) = line?;
            let fault = |what: &str| format!("line {line_number}: {what}");
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let value: Value = serde_json::from_slice(&line).map_err(|error| fault(&error.to_string()))?;
            let segment = match self.segment_by {
                None => self.segment.to_owned(),
                Some(field) => match value.get(field) {
                    Some(Value::String(text)) => text.clone(),
                    Some(number @ Value::Number(_)) => number.to_string(),
                    _ => {
                        return Err(fault(&format!(
                            "no text or number in the field {field:?} that names the segment"
                        )));
                    }
                },
            };
            number += 1;
            if !each(self.row(line_number, number, &segment, line)?) {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn csv_fault(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            format!("line {line}: a row of {len} fields where the head line has {expected_len}")
        }
        csv::ErrorKind::Utf8 { pos, .. } => {
            format!("line {}: not UTF-8", pos.as_ref().map_or(0, csv::Position::line))
        }
        _ => error.to_string(),
    }
}
