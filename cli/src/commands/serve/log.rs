//! The filter of the log, read again while the server runs.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::arguments::settings;
use crate::failure::Failure;
use crate::terminal::filter;

/// Between two looks at the file.
const PAUSE: Duration = Duration::from_secs(10);

/// The filter, and where it comes from. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub(crate) struct LogFilter {
    /// The settings file, if the filter may stand there.
    file: Option<PathBuf>,
    /// As it was read last.
    last: Arc<Mutex<String>>,
}

impl LogFilter {
    /// What a server with this settings file logs now. An option on the command line or a variable wins over the file, and cannot
    /// change.
    pub(super) fn new(file: Option<PathBuf>, now: String) -> Self {
        let is_option = |argument: OsString| {
            let argument = argument.to_string_lossy();
            argument == "--log" || argument.starts_with("--log=")
        };
        let is_fixed = std::env::args_os().any(is_option) || std::env::var_os("STREAMKIT_LOG").is_some();
        Self {
            // A pipe has nothing left.
            file: file.filter(|file| !is_fixed && file.is_file()),
            last: Arc::new(Mutex::new(now)),
        }
    }

    /// Reads the filter anew, and logs by it from now on. Blocks for the file.
    ///
    /// # Errors
    /// The file cannot be read, or what stands there is no filter: the log goes on as before.
    pub(crate) fn reload(&self) -> Result<(), Failure> {
        let Some(file) = &self.file else { return Ok(()) };
        let log = settings::text_of(file, "log")?.unwrap_or_else(|| filter::DEFAULT.to_owned());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != log {
            filter::set(&log).map_err(|why| Failure::arguments(why).during(file.display()))?;
            tracing::info!(filter = log, "the log has another filter");
            *last = log;
        }
        Ok(())
    }

    /// Looks at the file now and then, until the runtime ends.
    pub(super) fn look_now_and_then(self) {
        if self.file.is_none() {
            return;
        }
        tokio::spawn(async move {
            let mut told = None;
            loop {
                tokio::time::sleep(PAUSE).await;
                let own = self.clone();
                let read =
                    tokio::task::spawn_blocking(move || own.reload().map_err(|failure| failure.to_string())).await;
                let wrong = read.ok().and_then(Result::err);
                if let Some(error) = wrong.as_ref().filter(|error| told.as_ref() != Some(*error)) {
                    tracing::warn!(%error, "the log keeps its filter");
                }
                told = wrong;
            }
        });
    }
}
