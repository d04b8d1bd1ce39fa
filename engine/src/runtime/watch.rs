//! A thread that checks something periodically, as long as that exists.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// The thread. Dropping it ends it, but does not wait: it may hang in a look at a disk that hangs, and holds nothing.
pub(crate) struct Watch(Arc<Ending>);

#[derive(Default)]
struct Ending {
    ended: Mutex<bool>,
    told: Condvar,
}

impl Watch {
    /// Looks at once, and then again and again.
    ///
    /// # Errors
    /// What the operating system says where it starts no thread.
    pub(crate) fn start<T: Send + Sync + 'static>(name: &str, at: Weak<T>, look: fn(&Arc<T>)) -> io::Result<Self> {
        let ending = Arc::<Ending>::default();
        let own = Arc::clone(&ending);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            while let Some(it) = at.upgrade() {
                look(&it);
                drop(it);
                if own.is_told_within(PAUSE) {
                    return;
                }
            }
        })?;
        Ok(Self(ending))
    }
}

impl Ending {
    fn is_told_within(&self, time: Duration) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.told.wait_timeout_while(ended, time, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.told.notify_all();
    }
}
