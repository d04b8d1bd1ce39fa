//! Whether the storage answers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use streamkit_engine::StorageError;

use crate::medium::Medium;

/// How often it is asked.
const EVERY: Duration = Duration::from_secs(5);
/// It is away if it has not answered for so long.
const AWAY: Duration = Duration::from_secs(15);

/// Knows when the storage answered last.
pub(super) struct Health {
    last: Mutex<(Instant, Option<String>)>,
}

impl Health {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            last: Mutex::new((Instant::now(), None)),
        })
    }

    /// Asks the storage now and then, for as long as somebody may want to know.
    pub(super) fn watch(self: &Arc<Self>, medium: Arc<dyn Medium>) {
        let own = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                let said = tokio::time::timeout(AWAY, medium.service_time()).await;
                let Some(own) = own.upgrade() else { return };
                own.said(match said {
                    Ok(Ok(_)) => None,
                    Ok(Err(why)) => Some(why.to_string()),
                    Err(_) => Some("no answer".to_owned()),
                });
                drop(own);
                tokio::time::sleep(EVERY).await;
            }
        });
    }

    fn said(&self, failure: Option<String>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.is_none() {
            last.0 = Instant::now();
        }
        last.1 = failure;
    }

    /// # Errors
    /// It has not answered for some time.
    pub(super) fn check(&self) -> Result<(), StorageError> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &last.1 {
            Some(why) if last.0.elapsed() >= AWAY => Err(StorageError::Unanswered(why.clone())),
            _ => Ok(()),
        }
    }
}
