//! How an entry is printed: as JSON, as its payload alone, or by a template.

use streamkit_client::Entry;

use crate::failure::Failure;
use crate::output::{EntryLine, Out, time};
use crate::terminal::shown::shown;

/// A line for each entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    Json,
    Payload,
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

/// Reads `json`, `payload`, or a template: text with `{field}`s, of which there is at least one; `{{` and `}}` are braces, `\t`,
/// `\n` and `\\` what they are elsewhere.
///
/// # Errors
/// What is wrong, and the fields there are.
pub(crate) fn format(text: &str) -> Result<Format, String> {
    match text {
        "json" => return Ok(Format::Json),
        "payload" => return Ok(Format::Payload),
        _ => {}
    }
    let fields = Field::ALL.map(|(name, _)| format!("{{{name}}}")).join(" ");
    let wrong = |what: &str| {
        format!(
            "{what}; write json, payload, or a template with fields: {fields} {{metadata.KEY}}, such as '{{sequence}} {{payload}}'"
        )
    };
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match (character, rest.peek()) {
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
                        Some('}') => break,
                        Some(character) => name.push(character),
                        None => return Err(wrong("a { has no }")),
                    }
                }
                parts.extend((!plain.is_empty()).then(|| Part::Text(std::mem::take(&mut plain))));
                parts.push(match Field::ALL.iter().find(|(known, _)| *known == name) {
                    Some((_, field)) => Part::Field(*field),
                    None => match name.strip_prefix("metadata.") {
                        Some(key) => Part::Metadata(key.to_owned()),
                        None => return Err(wrong(&format!("there is no field {{{name}}}"))),
                    },
                });
            }
            ('}', _) => return Err(wrong("a } has no {")),
            _ => plain.push(character),
        }
    }
    if parts.is_empty() {
        return Err(wrong(&format!("{text:?} is no format")));
    }
    parts.extend((!plain.is_empty()).then_some(Part::Text(plain)));
    Ok(Format::Template(parts))
}

impl Format {
    /// Prints an entry and the end of its line. Bytes go out as they are stored, but on a terminal, where those that would
    /// steer it are shown instead.
    ///
    /// # Errors
    /// [`Failure::output`].
    pub(crate) fn print(&self, entry: &Entry, out: &mut Out) -> Result<(), Failure> {
        match self {
            Self::Json => out.json(&EntryLine(entry)),
            Self::Payload => out.line(&entry.payload),
            Self::Template(parts) => {
                let line = line(parts, entry, out.is_terminal());
                out.prepared_line(&line)
            }
        }
    }
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
        assert_eq!(format("payload"), Ok(Format::Payload));
    }
}
