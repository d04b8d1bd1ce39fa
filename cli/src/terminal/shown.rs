//! Stored text on its way to a terminal: what would steer the terminal, or show text in another order than it stands, is
//! written out instead.

use std::fmt::{self, Display, Write as _};

/// Text as it may be shown to a person.
pub(crate) fn shown(text: &str) -> impl Display {
    struct Shown<'a>(&'a str);
    impl Display for Shown<'_> {
        fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            for character in self.0.chars() {
                match character {
                    '\t' => out.write_char(character)?,
                    _ if steers(character) => write!(out, "{}", character.escape_unicode())?,
                    _ => out.write_char(character)?,
                }
            }
            Ok(())
        }
    }
    Shown(text)
}

/// JSON as it may be shown to a person: JSON still, of the same value. What steers stands within its strings only.
pub(crate) fn shown_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        match steers(character) {
            true => out.push_str(&format!("\\u{:04x}", u32::from(character))),
            false => out.push(character),
        }
    }
    out
}

/// What is wrong with arguments without its styles, if there is anything in it that steers.
pub(crate) fn shown_usage(said: &str) -> Option<String> {
    let mut plain = said.to_owned();
    for style in LOG_STYLES.into_iter().chain(["[4m"]) {
        plain = plain.replace(&format!("\u{1b}{style}"), "");
    }
    let lines: Vec<_> = plain
        .trim_end()
        .split('\n')
        .map(|line| shown(line).to_string())
        .collect();
    let shown = lines.join("\n");
    (shown != plain.trim_end()).then_some(shown)
}

/// What the log's formatter writes behind an escape: end of a style, bold, dim, italic, the colours of the levels. Others, such
/// as one that hides text, come from elsewhere.
const LOG_STYLES: [&str; 9] = ["[0m", "[1m", "[2m", "[3m", "[31m", "[32m", "[33m", "[34m", "[35m"];

/// A line of the log as it may be shown: what comes from a peer in it is written out. Its colours stay if it has any.
pub(crate) fn shown_line(bytes: &[u8], has_styles: bool) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let mut out = String::with_capacity(text.len());
    let mut parts = line.split('\u{1b}');
    out.extend(parts.next().map(|part| shown(part).to_string()));
    for part in parts {
        let is_the_logs = has_styles && LOG_STYLES.iter().any(|style| part.starts_with(style));
        out.push_str(if is_the_logs { "\u{1b}" } else { "\\u{1b}" });
        out.push_str(&shown(part).to_string());
    }
    out.push('\n');
    out.into_bytes()
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and what changes the direction of text.
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{061c}'
        )
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_shown_instead() {
        assert_eq!(shown("a\x1b[2Jb").to_string(), "a\\u{1b}[2Jb");
        assert_eq!(shown("a\u{9b}b\u{7f}\r\n").to_string(), "a\\u{9b}b\\u{7f}\\u{d}\\u{a}");
        assert_eq!(shown("\u{202e}txt").to_string(), "\\u{202e}txt");
        let json = serde_json::to_string("a\u{9b}\u{202e}\u{7f}\x1b").unwrap();
        assert!(!shown_json(&json).contains(steers));
        assert_eq!(
            serde_json::from_str::<String>(&shown_json(&json)).unwrap(),
            "a\u{9b}\u{202e}\u{7f}\x1b"
        );
        assert_eq!(
            shown_line(b"\x1b[2mtime\x1b[0m a\x1b[2Jb\nc\xe2\x80\xae\n", true),
            b"\x1b[2mtime\x1b[0m a\\u{1b}[2Jb\\u{a}c\\u{202e}\n"
        );
        assert_eq!(
            shown_line(b"\x1b[31mERROR\x1b[0m \x1b[8mhidden \x1b[0;5mblinks\x1b[m\n", true),
            b"\x1b[31mERROR\x1b[0m \\u{1b}[8mhidden \\u{1b}[0;5mblinks\\u{1b}[m\n"
        );
        // A line without colours has none of a peer's.
        assert_eq!(
            shown_line(b"INFO deleted \x1b[31mERROR\n", false),
            b"INFO deleted \\u{1b}[31mERROR\n"
        );
        assert_eq!(shown("Grüße\t日本").to_string(), "Grüße\t日本");
        let styled = "\x1b[1m\x1b[31merror:\x1b[0m no \x1b[33mNAME\x1b[0m\n\n  \x1b[4mtip\x1b[0m\n";
        assert_eq!(shown_usage(styled), None);
        let steering = styled.replace("NAME", "\x1b]0;title\x07\u{9b}");
        assert_eq!(
            shown_usage(&steering).as_deref(),
            Some("error: no \\u{1b}]0;title\\u{7}\\u{9b}\n\n  tip")
        );
    }
}
