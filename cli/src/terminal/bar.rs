//! A progress bar over an input of which only that counts which is acknowledged.

use std::io::{IsTerminal as _, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};

/// Time of work after which the time that is left is estimated.
const ESTIMATED_AFTER: Duration = Duration::from_secs(2);

/// Bytes of an input that were read.
#[derive(Clone, Default)]
pub(crate) struct BytesRead(Arc<AtomicU64>);

impl BytesRead {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts what is read.
    pub(crate) fn count(&self, input: Box<dyn Read + Send>) -> Box<dyn Read + Send> {
        Box::new(Counted {
            input,
            read: self.clone(),
        })
    }
}

struct Counted {
    input: Box<dyn Read + Send>,
    read: BytesRead,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.input.read(into)?;
        self.read.0.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// The bar; on a terminal only, and where the length of the input is known.
pub(crate) struct Bar {
    bar: ProgressBar,
    bytes: u64,
}

impl Bar {
    pub(crate) fn new(bytes: u64) -> Self {
        if bytes == 0 || !std::io::stderr().is_terminal() {
            return Self {
                bar: ProgressBar::hidden(),
                bytes,
            };
        }
        let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}{left}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let tell_left = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = out.write_str(&left(state.elapsed(), state.eta()));
        };
        let bar = ProgressBar::new(bytes);
        bar.set_style(style.with_key("left", tell_left));
        Self { bar, bytes }
    }

    /// Of the rows whose bytes lie between the two places, so many are stored. The bar is full when the import is done, not when the
    /// last bytes were read.
    pub(crate) fn stored(&self, (from, to): (u64, u64), rows: u64, of: u64) {
        self.bar.set_position(place((from, to), rows, of, self.bytes));
    }

    pub(crate) fn say(&self, what: impl Into<std::borrow::Cow<'static, str>>) {
        self.bar.set_message(what);
    }

    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// What is said of the time that is left. At first nothing: from the first bytes nothing can be told.
fn left(elapsed: Duration, left: Duration) -> String {
    match elapsed < ESTIMATED_AFTER {
        true => String::new(),
        false => format!("  {:#} left", HumanDuration(left)),
    }
}

fn place((from, to): (u64, u64), rows: u64, of: u64, bytes: u64) -> u64 {
    let length = u128::from(to.saturating_sub(from));
    let share = length * u128::from(rows.min(of)) / u128::from(of.max(1));
    // Of a hundred, one is left until all is done.
    let most = bytes - bytes.div_ceil(100).min(bytes);
    (from + u64::try_from(share).unwrap_or(0)).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_estimate_is_shown_before_one_can_be_made() {
        assert_eq!(left(Duration::from_millis(500), Duration::from_secs(900)), "");
        assert_eq!(left(Duration::from_secs(3), Duration::from_secs(900)), "  15m left");
    }

    #[test]
    fn what_was_read_counts_as_far_as_its_rows_are_stored() {
        assert_eq!(place((0, 1_000), 0, 10, 2_000), 0);
        assert_eq!(place((0, 1_000), 5, 10, 2_000), 500);
        assert_eq!(place((1_000, 2_000), 5, 10, 2_000), 1_500);
        assert_eq!(place((1_000, 2_000), 10, 10, 2_000), 1_980);
        assert_eq!(place((0, 10), 0, 0, 10), 0);
    }
}
