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
        assert_eq!(shown("Grüße\t日本").to_string(), "Grüße\t日本");
    }
}
