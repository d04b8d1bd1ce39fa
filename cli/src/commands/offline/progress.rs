//! Blocking work on a data directory, with its progress on a bar.

use std::io::IsTerminal as _;
use std::sync::Arc;

use indicatif::ProgressBar;
use streamkit_engine::disk::{Disk, files::Files};
use streamkit_engine::{OfflineProgress, OpenError};

use crate::failure::Failure;

/// The disk they read.
pub(super) fn disk() -> Arc<dyn Disk> {
    Arc::new(Files)
}

/// A progress bar, where somebody looks.
pub(super) fn bar() -> ProgressBar {
    match std::io::stderr().is_terminal() {
        true => ProgressBar::new(0),
        false => ProgressBar::hidden(),
    }
}

/// Runs blocking work with its progress on a bar.
pub(super) async fn with_progress<T: Send + 'static>(
    bar: ProgressBar,
    work: impl FnOnce(&mut dyn FnMut(OfflineProgress)) -> Result<T, OpenError> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(move || {
        let done = work(&mut |progress| {
            bar.set_length(progress.bytes_total);
            bar.set_position(progress.bytes_done);
        });
        bar.finish_and_clear();
        done
    });
    Ok(done.await.map_err(|error| Failure::new(error.to_string()))??)
}
