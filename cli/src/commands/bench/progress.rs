//! How far a load is, on a terminal.

use std::time::Duration;

use indicatif::ProgressBar;

/// One line on a terminal, drawn again and again; elsewhere nothing.
pub(super) fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
