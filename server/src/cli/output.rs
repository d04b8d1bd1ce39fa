//! How results look: one JSON object a line, or a table on a terminal.

use std::io::{IsTerminal as _, Write};

use serde::Serialize;
use serde::ser::SerializeMap as _;
use streamkit_client::{Entry, Metadata, Trx};

/// Whether to print JSON lines rather than a table.
pub(crate) fn json_lines(asked: bool) -> bool {
    asked || !std::io::stdout().is_terminal()
}

/// An entry in its JSON form, the same everywhere. The payload is text when it is UTF-8, `payload_base64` otherwise.
pub(crate) struct EntryLine<'a>(pub(crate) &'a Entry);

impl Serialize for EntryLine<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct TrxLine {
            id: uuid::Uuid,
            node: uuid::Uuid,
            number: u64,
        }
        let Entry {
            space,
            segment,
            sequence,
            timestamp,
            trx: Trx { id, node, number },
            payload,
            metadata,
        } = self.0;
        let (id, node, number) = (*id, *node, *number);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("space", space)?;
        map.serialize_entry("segment", segment)?;
        map.serialize_entry("sequence", sequence)?;
        map.serialize_entry("timestamp", timestamp)?;
        map.serialize_entry("trx", &TrxLine { id, node, number })?;
        map.serialize_entry::<_, Metadata>("metadata", metadata)?;
        match std::str::from_utf8(payload) {
            Ok(text) => map.serialize_entry("payload", text)?,
            Err(_) => {
                use base64::Engine as _;
                let text = base64::engine::general_purpose::STANDARD.encode(payload);
                map.serialize_entry("payload_base64", &text)?;
            }
        }
        map.end()
    }
}

/// Prints one JSON line.
pub(crate) fn line(out: &mut impl Write, value: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// Prints a table: the first column to the left, the others to the right.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> std::io::Result<()> {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = std::io::stdout().lock();
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let mut text = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if column == 0 {
                text.push_str(&format!("{cell:<width$}"));
            } else {
                text.push_str(&format!("  {cell:>width$}"));
            }
        }
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
}

/// A commit time for people.
pub(crate) fn time(milliseconds: i64) -> String {
    let since = std::time::Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default());
    humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + since).to_string()
}
