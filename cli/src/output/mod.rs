//! How results look: one JSON object a line, or a table on a terminal.

pub(crate) mod format;

use std::io::{BufWriter, IsTerminal as _, Stdout, Write as _};

use serde::Serialize;
use serde::ser::SerializeMap as _;
use streamkit_client::{Entry, Metadata, Trx};

use crate::failure::Failure;
use crate::terminal::shown::{shown, shown_json};
use crate::terminal::table;

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

/// Standard output, buffered. Whoever reads it may stop at any time (`streamkit consume … | head`): what is printed afterwards
/// goes nowhere, and the command ends as it would have ended. Other failures are told: [`Failure::output`].
pub(crate) struct Out {
    buffer: BufWriter<Stdout>,
    is_terminal: bool,
    gone: bool,
}

impl Out {
    pub(crate) fn new() -> Self {
        let stdout = std::io::stdout();
        Self {
            is_terminal: stdout.is_terminal(),
            buffer: BufWriter::with_capacity(64 << 10, stdout),
            gone: false,
        }
    }

    /// Whether nobody reads any more; known only after something was handed over.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    fn write(&mut self, write: impl FnOnce(&mut BufWriter<Stdout>) -> std::io::Result<()>) -> Result<(), Failure> {
        if self.gone {
            return Ok(());
        }
        match write(&mut self.buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(())
            }
            written => written.map_err(|error| Failure::output(&error)),
        }
    }

    /// One JSON line. On a terminal what would steer it is written as an escape, which is the same JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        if self.is_terminal {
            let line = serde_json::to_string(value).map_err(|error| Failure::output(&error.into()))?;
            return self.write(|to| writeln!(to, "{}", shown_json(&line)));
        }
        self.write(|to| {
            serde_json::to_writer(&mut *to, value)?;
            to.write_all(b"\n")
        })
    }

    /// One line of text. On a terminal without what would steer it: names in it are stored text.
    pub(crate) fn text(&mut self, line: impl std::fmt::Display) -> Result<(), Failure> {
        if self.is_terminal {
            let line = line.to_string();
            return self.write(|to| writeln!(to, "{}", shown(&line)));
        }
        self.write(|to| writeln!(to, "{line}"))
    }

    /// One line of stored bytes: as they are, but on a terminal without what would steer it.
    pub(crate) fn line(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.is_terminal {
            return self.text(String::from_utf8_lossy(bytes));
        }
        self.prepared_line(bytes)
    }

    /// One line made for where it goes: what is stored in it went through `shown` if that [is a terminal](Self::is_terminal).
    pub(crate) fn prepared_line(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.write(|to| {
            to.write_all(bytes)?;
            to.write_all(b"\n")
        })
    }

    /// Whether a person looks at it.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// A table: the first column to the left, the others to the right.
    pub(crate) fn table(&mut self, head: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
        let cells = |row: &Vec<String>| row.iter().map(|cell| shown(cell).to_string()).collect();
        let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
        let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
        for line in table::lines(std::iter::once(&head).chain(&rows).map(Vec::as_slice)) {
            self.text(line)?;
        }
        Ok(())
    }

    /// Prints the result of something that is done, which a failure to print it must not hide: it says `done` then.
    pub(crate) fn result(
        mut self,
        done: impl std::fmt::Display,
        print: impl FnOnce(&mut Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let printed = print(&mut self).and_then(|()| self.flush());
        printed.map_err(|failure| failure.hint(done))
    }

    /// Hands over what is buffered.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.write(|to| to.flush())
    }
}

/// A path in JSON, which has texts only: what is no UTF-8 in it stands as U+FFFD.
pub(crate) fn path_text(path: &std::path::Path) -> std::borrow::Cow<'_, str> {
    path.to_string_lossy()
}

/// A line for people, on standard error. Nobody may be there to read it.
pub(crate) fn note(line: impl std::fmt::Display) {
    crate::terminal::log::say(&shown(&line.to_string()).to_string());
}

/// Whether standard output was closed when the program began. The standard library then puts `/dev/null` there, which is open for
/// reading too, as that of `>/dev/null` is not; it is told on Linux only.
pub(crate) fn is_closed() -> bool {
    let is_null = std::fs::read_link("/proc/self/fd/1").is_ok_and(|path| path.as_os_str() == "/dev/null");
    let about = std::fs::read_to_string("/proc/self/fdinfo/1").unwrap_or_default();
    let flags = about.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    is_null && flags.is_some_and(|flags| flags & 0o3 == 0o2)
}

/// So many of a thing, for people.
pub(crate) fn counted(count: u64, what: &str) -> String {
    match (count, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {what}s"),
    }
}

/// A commit time for people; as the number that it is, where it is in no year from 0 to 9999.
pub(crate) fn time(milliseconds: i64) -> String {
    match jiff::Timestamp::from_millisecond(milliseconds) {
        Ok(time) if time >= jiff::Timestamp::constant(YEAR_0, 0) => format!("{time:.3}"),
        _ => milliseconds.to_string(),
    }
}

/// The year 0 begins so many seconds from 1970.
const YEAR_0: i64 = -62_167_219_200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_out_of_the_calendar_is_shown_as_its_number() {
        for (milliseconds, shown) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_359_655_200_120, "2013-01-31T18:00:00.120Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
            (-62_167_219_200_001, "-62167219200001"),
            (253_402_300_800_000, "253402300800000"),
            (i64::MIN, "-9223372036854775808"),
            (i64::MAX, "9223372036854775807"),
        ] {
            assert_eq!(time(milliseconds), shown);
        }
    }
}
