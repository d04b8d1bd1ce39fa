//! What a server reads again while it serves.

use std::sync::Arc;

type Again = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// All of it, each with its name.
#[derive(Default)]
pub(crate) struct Reloads(Vec<(&'static str, Again)>);

impl Reloads {
    /// Adds something. Where `again` fails, what was read before stays in use.
    pub(crate) fn add<E: ToString>(
        &mut self,
        what: &'static str,
        again: impl Fn() -> Result<(), E> + Send + Sync + 'static,
    ) {
        self.0
            .push((what, Arc::new(move || again().map_err(|error| error.to_string()))));
    }

    /// Reads all of it again, and logs what came of it.
    pub(crate) async fn run(&self) {
        for (what, again) in &self.0 {
            let again = Arc::clone(again);
            let done = tokio::task::spawn_blocking(move || again()).await;
            match done.map_err(|error| error.to_string()).and_then(|done| done) {
                Ok(()) => tracing::info!("SIGHUP: {what}: read again"),
                Err(error) => tracing::error!(
                    %error,
                    "SIGHUP: {what}: what is there cannot be used, and what was read before stays in use; mend it and send the signal again"
                ),
            }
        }
        if self.0.is_empty() {
            tracing::info!("SIGHUP: there is nothing to read again");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn one_that_fails_or_panics_keeps_no_other_from_being_read() {
        let read = Arc::new(AtomicUsize::new(0));
        let mut reloads = Reloads::default();
        let counted = Arc::clone(&read);
        reloads.add("first", || Err::<(), _>("broken"));
        reloads.add("second", || -> Result<(), String> { panic!("worse") });
        reloads.add("third", move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<(), String>(())
        });
        reloads.run().await;
        assert_eq!(read.load(Ordering::Relaxed), 1);
    }
}
