//! What is the caller's, run so that it can neither hang nor panic the projection; and how the projection is told to stop.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::error::ProjectionError;
use super::settings::Settings;

/// Why the task ends.
pub(super) enum Halt {
    Stopped,
    Failed(ProjectionError),
}

impl<E: Into<ProjectionError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

pub(super) type Done<T> = Result<T, Halt>;

/// Tells that the projection is to stop: it was asked to, or nobody holds it any more.
pub(super) struct Stop(pub(super) watch::Receiver<bool>);

impl Stop {
    pub(super) async fn asked(&mut self) {
        // An error means that nobody can ask any more.
        let _ = self.0.wait_for(|is_asked| *is_asked).await;
    }

    pub(super) fn is_asked(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

/// Runs what is the caller's, which may hang or panic: the text says so.
///
/// # Errors
/// [`Halt::Stopped`]: it is to stop, and the grace is over.
pub(super) async fn guarded<T>(
    stop: &mut Stop,
    settings: &Settings,
    work: impl Future<Output = T>,
) -> Done<Result<T, String>> {
    let caught = AssertUnwindSafe(work).catch_unwind();
    let grace = async {
        stop.asked().await;
        sleep(settings.grace).await;
    };
    tokio::select! {
        biased;
        done = timeout(settings.handler_timeout, caught) => Ok(match done {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(panic)) => Err(format!("panic: {}", text_of(&*panic))),
            Err(_) => Err(format!("it did not end within {:?}", settings.handler_timeout)),
        }),
        () = grace => Err(Halt::Stopped),
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a text")
}
