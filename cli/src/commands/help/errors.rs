//! `help errors`: the exit codes; and of an error's text, what docs/ERRORS.md says of it, which is the one place that does.

use crate::failure::{Exit, Failure};
use crate::output::Out;

/// The catalogue of all errors: docs/ERRORS.md, by a link, so that the package has it.
const CATALOGUE: &str = include_str!("catalogue");

/// Letters of a text that a row has to have before it is taken for that of a message.
const LETTERS_MIN: usize = 6;

/// Columns that what is said is filled up to.
const WIDTH: usize = 78;

/// What one row says.
struct Row<'a> {
    text: &'a str,
    cause: &'a str,
    retry: &'a str,
    next: &'a str,
}

/// The exit codes; or what is known of an error with this text, or of which that is a part.
pub(super) fn told(text: &str) -> Result<(), Failure> {
    let mut out = Out::new();
    if text.is_empty() {
        out.text("Each command says in its exit code what kind of error it met:\n")?;
        for (exit, meaning) in Exit::ALL {
            out.text(format_args!("  {:<5}{meaning}", exit as u8))?;
        }
        out.text(
            "\nMay it be tried again?\n\n  \
             3     yes, after reading what the other producer has written\n  \
             4     with another token, or on another store\n  \
             5     yes. Of a produce, peek first: its last lines may be stored\n  \
             6     no: verify and repair the data directory\n  \
             120   yes, later, or with --wait\n  \
             121   yes, after looking what the command has done\n\n\
             `streamkit help errors TEXT` says what is known of an error, by its text or a\npart of it: `streamkit help errors store unavailable`",
        )?;
        return out.flush();
    }
    let found: Vec<Row> = rows().filter(|row| is_meant(row.text, text)).collect();
    if found.is_empty() {
        return Err(Failure::new(format!("no error is known with the text {text:?}"))
            .hint("give a part of it, without names and numbers; docs/ERRORS.md lists all"));
    }
    for (number, row) in found.iter().enumerate() {
        if number > 0 {
            out.text("")?;
        }
        let said = [
            ("", row.text),
            ("cause", row.cause),
            ("again?", row.retry),
            ("do", row.next),
        ];
        for (what, said) in said.into_iter().filter(|(_, said)| !said.is_empty()) {
            for line in filled(what, said) {
                out.text(line)?;
            }
        }
    }
    out.flush()
}

/// The rows of all tables that have a text and what to do.
fn rows() -> impl Iterator<Item = Row<'static>> {
    let mut columns: Vec<&str> = Vec::new();
    CATALOGUE.lines().filter_map(move |line| {
        let Some(cells) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) else {
            if !line.starts_with('|') {
                columns.clear();
            }
            return None;
        };
        let cells: Vec<&str> = cells.split(" | ").map(str::trim).collect();
        if columns.is_empty() {
            columns = cells;
            return None;
        }
        let cell = |name: &str| {
            let place = columns.iter().position(|column| *column == name)?;
            cells.get(place).copied()
        };
        Some(Row {
            text: cell("text")?.trim_matches('`'),
            cause: cell("cause").unwrap_or_default(),
            retry: cell("retry").unwrap_or_default(),
            next: cell("what to do")?,
        })
    })
}

/// Whether a message may be one of a pattern, in which `…` stands for anything; or is a part of that.
fn is_meant(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    if pattern.contains(&text) {
        return true;
    }
    let pieces: Vec<&str> = pattern
        .split('…')
        .map(str::trim)
        .filter(|piece| !piece.is_empty())
        .collect();
    let letters = pieces
        .iter()
        .flat_map(|piece| piece.chars())
        .filter(|c| c.is_alphabetic());
    if letters.count() < LETTERS_MIN {
        return false;
    }
    let mut rest = text.as_str();
    pieces.into_iter().all(|piece| match rest.split_once(piece) {
        Some((_, behind)) => {
            rest = behind;
            true
        }
        None => false,
    })
}

/// Lines of at most so many columns, all but the first one indented.
fn filled(what: &str, said: &str) -> Vec<String> {
    let indent = if what.is_empty() { 0 } else { 10 };
    let mut line = if what.is_empty() {
        String::new()
    } else {
        format!("  {what:<8}")
    };
    let mut lines = Vec::new();
    let mut is_empty = true;
    for word in said.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent.max(2))));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_finds_its_row_and_what_has_no_row_finds_none() {
        let found = |text: &str| {
            rows()
                .filter(|row| is_meant(row.text, text))
                .map(|row| row.text)
                .collect::<Vec<_>>()
        };
        assert!(rows().count() > 100);
        assert_eq!(
            found("sequence gap: expected 5, got 7"),
            ["sequence gap: expected …, got …"]
        );
        assert!(found("store unavailable").contains(&"store unavailable"));
        assert!(
            found("x: sequence conflict: the head is 4, so 5 comes next, not 2")
                .iter()
                .any(|text| text.starts_with("sequence conflict"))
        );
        assert!(found("the moon is full").is_empty());
    }

    #[test]
    fn what_is_said_fits_into_eighty_columns() {
        for row in rows() {
            for line in filled("cause", row.cause).into_iter().chain(filled("do", row.next)) {
                let is_one_word = line.split_whitespace().count() <= 2;
                assert!(line.chars().count() <= 80 || is_one_word, "{line}");
            }
        }
    }
}
