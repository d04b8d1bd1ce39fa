//! How a line on standard error is written: as text for people, or as a JSON object for programs. Of a server, every line is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use serde_json::{Map, Value};

use super::shown::shown_json;

/// How lines are written.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// An object a line
    Json,
}

static IS_JSON: AtomicBool = AtomicBool::new(false);
static HAS_STYLES: AtomicBool = AtomicBool::new(false);

/// Chooses it, for the whole program, and whether lines of the log have colours.
pub(crate) fn set_format(format: LogFormat, has_styles: bool) {
    IS_JSON.store(format == LogFormat::Json, Ordering::Relaxed);
    HAS_STYLES.store(has_styles, Ordering::Relaxed);
}

/// Whether lines of the log have colours.
pub(super) fn has_styles() -> bool {
    HAS_STYLES.load(Ordering::Relaxed)
}

pub(crate) fn is_json() -> bool {
    IS_JSON.load(Ordering::Relaxed)
}

/// What every object begins with. The time comes first: whoever compares lines leaves it out.
pub(super) fn begun(level: &str, target: &str, message: &str) -> Map<String, Value> {
    let time = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
    let fields = [
        ("timestamp", time.as_str()),
        ("level", level),
        ("target", target),
        ("message", message),
    ];
    fields
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .into_iter()
        .collect()
}

/// An object as a line. What a peer said in it begins no other line and steers no terminal.
pub(super) fn json_line(object: Map<String, Value>) -> String {
    let mut line = shown_json(&Value::Object(object).to_string());
    line.push('\n');
    line
}

/// A line that is said beside the log.
pub(super) fn said(level: &str, text: &str) -> Vec<u8> {
    match is_json() {
        true => json_line(begun(level, "streamkit", text)).into_bytes(),
        false => format!("{text}\n").into_bytes(),
    }
}

/// What of a line tells whether another one is its repetition: all but its time, and but which call it is of.
pub(super) fn repeats(line: &[u8]) -> &[u8] {
    const CALL: &[u8] = br#","channel":""#;
    if !is_json_line(line) {
        let space = line.iter().position(|byte| *byte == b' ');
        return space.map_or(line, |space| &line[space + 1..]);
    }
    // Between quotes neither a comma nor a quote follows a quote: what is found is no part of a value.
    let time = line.iter().position(|byte| *byte == b',').map_or(0, |comma| comma + 1);
    let call = line.windows(CALL.len()).rposition(|window| window == CALL);
    &line[time..call.unwrap_or(line.len()).max(time)]
}

fn is_json_line(line: &[u8]) -> bool {
    line.starts_with(br#"{"timestamp":""#)
}

/// That a line repeated itself so many more times. `line` as [`repeats`] left it.
pub(super) fn repeated(more: u64, within: std::time::Duration, line: &[u8]) -> Vec<u8> {
    if !is_json() {
        let said = format!("streamkit: {more} more in the last {within:?}: ");
        return [said.as_bytes(), line].concat();
    }
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end().trim_end_matches('}');
    let mut object = begun("WARN", "streamkit", &format!("{more} more in the last {within:?}"));
    object.insert("more".to_owned(), more.into());
    let of = serde_json::from_str(&format!("{{{text}}}")).unwrap_or_else(|_| Value::from(text));
    object.insert("of".to_owned(), of);
    json_line(object).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_differ_in_time_and_call_alone_repeat_each_other() {
        let line = |time: &str, message: &str, channel: &str| {
            let mut object = begun("WARN", "t", message);
            object.insert("timestamp".to_owned(), time.into());
            object.insert("store_id".to_owned(), "1".into());
            object.insert("channel".to_owned(), channel.into());
            object.insert("trace_id".to_owned(), channel.into());
            json_line(object).into_bytes()
        };
        let one = line("a", "x", "1");
        assert_eq!(repeats(&one), repeats(&line("b", "x", "2")));
        assert_ne!(repeats(&one), repeats(&line("b", "y", "2")));
        // A peer's text is none of the line's own fields.
        let forged = line("a", r#"x","channel":"9"#, "1");
        assert!(repeats(&forged).len() > repeats(&one).len());
        assert_eq!(repeats(b"time WARN damage\n"), b"WARN damage\n");
        assert_eq!(repeats(b"{\"timestamp\":\""), b"{\"timestamp\":\"");
    }

    #[test]
    fn a_line_is_one_line_of_json_whatever_is_in_it() {
        let hostile = "a\n{\"level\":\"FAKE\"}\u{1b}[2J\u{9b}\u{2028}\u{202e}\0";
        let line = json_line(begun("INFO", "t", hostile));
        assert_eq!(line.lines().count(), 1);
        assert!(
            line.trim_end()
                .chars()
                .all(|c| !c.is_control() && !"\u{2028}\u{202e}".contains(c)),
            "{line}"
        );
        let back: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(back["message"], hostile);
        assert_eq!(back["level"], "INFO");
    }
}
