//! How an entry is printed: as JSON, as a row of a table, as its payload alone, or by a template.

use streamkit_client::Entry;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::failure::Failure;
use crate::output::{EntryLine, Out, time};
use crate::terminal::shown::shown;

/// Columns that a table has for the names of segments.
const SEGMENT_COLUMNS: usize = 16;

/// A line for each entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    Json,
    Table,
    Raw,
    Template(Vec<Part>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    Text(String),
    Field(Field),
    Metadata(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Field {
    Space,
    Segment,
    Sequence,
    Timestamp,
    Time,
    Trx,
    Offset,
    Payload,
}

impl Field {
    const ALL: [(&str, Field); 8] = [
        ("space", Field::Space),
        ("segment", Field::Segment),
        ("sequence", Field::Sequence),
        ("timestamp", Field::Timestamp),
        ("time", Field::Time),
        ("trx", Field::Trx),
        ("offset", Field::Offset),
        ("payload", Field::Payload),
    ];
}

/// Reads `json`, `table`, `raw` (or `payload`, as it was called), or a template: text with `{field}`s, of which there is at least one; `{{` and
/// `}}` are braces, `\t`, `\n` and `\\` what they are elsewhere.
///
/// # Errors
/// What is wrong and at which character, and the fields there are.
pub(crate) fn format(text: &str) -> Result<Format, String> {
    match text {
        "json" => return Ok(Format::Json),
        "table" => return Ok(Format::Table),
        "raw" | "payload" => return Ok(Format::Raw),
        _ => {}
    }
    let fields = Field::ALL.map(|(name, _)| format!("{{{name}}}")).join(" ");
    parts(text).map(Format::Template).map_err(|what| {
        format!(
            "{what}; write json, table, raw, or a template with fields: {fields} {{metadata.KEY}}, such as '{{sequence}} {{payload}}'"
        )
    })
}

fn parts(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text.chars().zip(1..).peekable();
    while let Some((character, place)) = rest.next() {
        match (character, rest.peek().map(|(next, _)| *next)) {
            ('{', Some('{')) | ('}', Some('}')) => {
                plain.push(character);
                rest.next();
            }
            ('\\', Some(escaped @ ('t' | 'n' | '\\'))) => {
                plain.push(match escaped {
                    't' => '\t',
                    'n' => '\n',
                    _ => '\\',
                });
                rest.next();
            }
            ('{', _) => {
                let mut name = String::new();
                loop {
                    match rest.next() {
                        Some(('}', _)) => break,
                        Some((character, _)) => name.push(character),
                        None => return Err(format!("the {{ at character {place} has no }}")),
                    }
                }
                parts.extend((!plain.is_empty()).then(|| Part::Text(std::mem::take(&mut plain))));
                parts.push(match Field::ALL.iter().find(|(known, _)| *known == name) {
                    Some((_, field)) => Part::Field(*field),
                    None => match name.strip_prefix("metadata.") {
                        Some(key) => Part::Metadata(key.to_owned()),
                        None => return Err(format!("there is no field {{{name}}}, at character {place}")),
                    },
                });
            }
            ('}', _) => return Err(format!("the }} at character {place} has no {{; }}}} prints one")),
            _ => plain.push(character),
        }
    }
    if parts.is_empty() {
        return Err(format!("{text:?} is no format, and a template without a field"));
    }
    parts.extend((!plain.is_empty()).then_some(Part::Text(plain)));
    Ok(parts)
}

impl Format {
    /// Prints what stands above the entries.
    ///
    /// # Errors
    /// [`Failure::output`].
    pub(crate) fn begin(&self, out: &mut Out) -> Result<(), Failure> {
        match self {
            Self::Table => out.text(cells("sequence", "committed", "segment", "payload")),
            _ => Ok(()),
        }
    }

    /// Prints an entry and the end of its line. Bytes go out as they are stored, but on a terminal, where those that would
    /// steer it are shown instead.
    ///
    /// # Errors
    /// [`Failure::output`].
    pub(crate) fn print(&self, entry: &Entry, out: &mut Out) -> Result<(), Failure> {
        match self {
            Self::Json => out.json(&EntryLine(entry)),
            Self::Table => {
                let line = row(entry, out.is_terminal().then(columns));
                out.prepared_line(line.as_bytes())
            }
            Self::Raw => out.line(&entry.payload),
            Self::Template(parts) => {
                let line = line(parts, entry, out.is_terminal());
                out.prepared_line(&line)
            }
        }
    }
}

/// A row, each column as wide as most of what stands in it: rows come one by one, and none is waited for.
fn cells(sequence: &str, committed: &str, segment: &str, payload: &str) -> String {
    let fill = " ".repeat(SEGMENT_COLUMNS.saturating_sub(segment.width()));
    format!("{sequence:>8}  {committed:<24}  {segment}{fill}  {payload}")
}

/// An entry as a row, of at most so many columns. Nothing of it steers a terminal, or begins another line.
fn row(entry: &Entry, columns: Option<usize>) -> String {
    let (segment, payload) = (
        shown(&entry.segment).to_string(),
        shown(&String::from_utf8_lossy(&entry.payload)).to_string(),
    );
    let row = cells(
        &entry.sequence.to_string(),
        &time(entry.timestamp),
        &segment,
        &payload.replace('\t', " "),
    );
    match columns {
        Some(columns) if row.width() > columns => cut(&row, columns),
        _ => row,
    }
}

/// As much of a text as fits, and a sign that there is more.
fn cut(text: &str, columns: usize) -> String {
    let mut left = columns.saturating_sub(1);
    let fits = |character: &char| match left.checked_sub(character.width().unwrap_or(0)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    let mut cut: String = text.chars().take_while(fits).collect();
    cut.push('…');
    cut
}

/// How wide the terminal is, as far as it says so.
fn columns() -> usize {
    let said = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    said.filter(|columns| *columns > 0).unwrap_or(80)
}

/// An entry by a template. What is stored in it is `shown` where it must not steer; the template's own text is its writer's.
fn line(parts: &[Part], entry: &Entry, is_shown: bool) -> Vec<u8> {
    let mut line = Vec::new();
    for part in parts {
        match (part, is_shown) {
            (Part::Field(_) | Part::Metadata(_), true) => {
                let mut field = Vec::new();
                part.write(entry, &mut field);
                line.extend_from_slice(shown(&String::from_utf8_lossy(&field)).to_string().as_bytes());
            }
            _ => part.write(entry, &mut line),
        }
    }
    line
}

impl Part {
    fn write(&self, entry: &Entry, line: &mut Vec<u8>) {
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::Metadata(key) => entry.metadata.get(key).cloned().unwrap_or_default(),
            Self::Field(Field::Payload) => return line.extend_from_slice(&entry.payload),
            Self::Field(Field::Space) => entry.space.clone(),
            Self::Field(Field::Segment) => entry.segment.clone(),
            Self::Field(Field::Sequence) => entry.sequence.to_string(),
            Self::Field(Field::Timestamp) => entry.timestamp.to_string(),
            Self::Field(Field::Time) => time(entry.timestamp),
            Self::Field(Field::Trx) => entry.trx.id.to_string(),
            Self::Field(Field::Offset) => entry.offset().to_string(),
        };
        line.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_text_with_fields() {
        let Ok(Format::Template(parts)) = format(r"{segment}\t{{{sequence}}} {metadata.by}!") else {
            panic!("no template");
        };
        let entry = Entry {
            space: "s".to_owned(),
            segment: "a".to_owned(),
            sequence: 7,
            timestamp: 0,
            trx: Default::default(),
            payload: "x".into(),
            metadata: [("by".to_owned(), "card".to_owned())].into(),
        };
        assert_eq!(line(&parts, &entry, false), b"a\t{7} card!");
    }

    #[test]
    fn on_a_terminal_the_fields_are_escaped_and_the_template_is_not() {
        let Ok(Format::Template(parts)) = format(r"{sequence}\t{payload}\n  by {metadata.by}") else {
            panic!("no template");
        };
        let entry = Entry {
            space: "s".to_owned(),
            segment: "a".to_owned(),
            sequence: 7,
            timestamp: 0,
            trx: Default::default(),
            payload: "x\n\x1b[2J".into(),
            metadata: [("by".to_owned(), "\r".to_owned())].into(),
        };
        assert_eq!(line(&parts, &entry, true), b"7\tx\\u{a}\\u{1b}[2J\n  by \\u{d}");
        assert_eq!(line(&parts, &entry, false), b"7\tx\n\x1b[2J\n  by \r");
    }

    #[test]
    fn what_is_no_format_is_told_the_fields_there_are() {
        for text in ["", "yaml", "{", "}", "{payloads}", "text alone"] {
            let why = format(text).unwrap_err();
            assert!(
                why.contains("{metadata.KEY}") && why.contains("{offset}"),
                "{text}: {why}"
            );
        }
        assert_eq!(format("json"), Ok(Format::Json));
        assert_eq!(format("raw"), Ok(Format::Raw));
        assert_eq!(format("payload"), Ok(Format::Raw));
        assert_eq!(format("table"), Ok(Format::Table));
    }

    #[test]
    fn an_error_of_a_template_names_the_character() {
        for (text, said) in [
            ("ä{sequence", "the { at character 2 has no }"),
            ("{sequence} }", "the } at character 12 has no {"),
            ("{sequence} {payloads}", "no field {payloads}, at character 12"),
        ] {
            let why = format(text).unwrap_err();
            assert!(why.contains(said), "{text}: {why}");
        }
    }

    #[test]
    fn a_row_of_a_table_is_one_line_and_no_wider_than_it_may_be() {
        let entry = Entry {
            space: "s".to_owned(),
            segment: "日本".to_owned(),
            sequence: 7,
            timestamp: 0,
            trx: Default::default(),
            payload: "日本語\n\x1b[2J".repeat(9).into(),
            metadata: Default::default(),
        };
        let whole = row(&entry, None);
        assert!(
            whole.starts_with("       7  1970-01-01T00:00:00.000Z  日本              日本語\\u{a}"),
            "{whole}"
        );
        assert!(!whole.contains(['\n', '\x1b']));
        for columns in 60..90 {
            let row = row(&entry, Some(columns));
            assert!(row.width() <= columns && row.ends_with('…'), "{row}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_template_is_too_much_and_plain_text_stands_as_it_is(text in "[^{}\\\\]{0,20}", any in "[{}a-z.\\\\ ]{0,30}") {
            let _ = format(&any);
            let template = format!("{text}{{sequence}}");
            if let Ok(Format::Template(parts)) = super::format(&template) {
                let expected = match text.is_empty() {
                    true => vec![Part::Field(Field::Sequence)],
                    false => vec![Part::Text(text), Part::Field(Field::Sequence)],
                };
                proptest::prop_assert_eq!(parts, expected);
            } else {
                proptest::prop_assert!(false, "{} is a template", template);
            }
        }
    }
}
