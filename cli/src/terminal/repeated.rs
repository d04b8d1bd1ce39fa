//! Lines of the log that repeat themselves: somebody who reads one damaged place in a loop does not fill the disk that keeps
//! the log.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

use super::lines;

/// How often a line is written within [`WINDOW`].
const WRITTEN: u64 = 5;

/// For how long those like it are counted.
const WINDOW: Duration = Duration::from_secs(10);

/// Different lines that are remembered; further ones pass.
const REMEMBERED: usize = 256;

/// What was logged lately.
pub(crate) struct Repeated {
    lines: Option<HashMap<Vec<u8>, u64>>,
    since: Option<Instant>,
}

impl Repeated {
    pub(crate) const fn new() -> Self {
        Self {
            lines: None,
            since: None,
        }
    }

    /// Whether a line is to be written.
    pub(crate) fn lets_pass(&mut self, line: &[u8], now: Instant) -> bool {
        self.since.get_or_insert(now);
        let lines = self.lines.get_or_insert_default();
        let full = lines.len() >= REMEMBERED;
        match lines.entry(lines::repeats(line).to_vec()) {
            Entry::Occupied(mut seen) => {
                *seen.get_mut() += 1;
                *seen.get() <= WRITTEN
            }
            Entry::Vacant(new) if !full => {
                new.insert(1);
                true
            }
            Entry::Vacant(_) => true,
        }
    }

    /// How many were not written, once their time is over.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Vec<u8>> {
        let since = self.since?;
        if now.duration_since(since) < WINDOW {
            return None;
        }
        self.since = None;
        let mut said = Vec::new();
        for (line, count) in self.lines.take()? {
            if count > WRITTEN {
                said.extend_from_slice(&lines::repeated(count - WRITTEN, WINDOW, &line));
            }
        }
        (!said.is_empty()).then_some(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_repeats_itself_is_written_a_few_times_and_then_counted() {
        let (mut repeated, now) = (Repeated::new(), Instant::now());
        let passed = (0..100).filter(|n| repeated.lets_pass(format!("time{n} WARN damage\n").as_bytes(), now));
        assert_eq!(passed.count(), 5);
        assert!(repeated.lets_pass(b"time WARN another\n", now));
        assert!(repeated.due(now).is_none());
        let said = String::from_utf8(repeated.due(now + WINDOW).unwrap()).unwrap();
        assert_eq!(said, "streamkit: 95 more in the last 10s: WARN damage\n");
        assert!(repeated.lets_pass(b"time WARN damage\n", now));
    }
}
