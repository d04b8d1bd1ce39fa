//! Reads that are repeated for a while: a tool that only reads may ask again.

use std::time::Duration;

use crate::medium::Unanswered;

/// How often a read is asked for.
const TRIES: u32 = 6;
/// The first pause; each next one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks until there is an answer that proves something, some times over at most ten seconds, or as long as the storage asks to wait.
///
/// # Errors
/// The last [`Unanswered`], or the first that would come again each time.
///
/// # Cancel safety
/// As that of what is asked.
pub async fn patiently<T, F>(mut ask: impl FnMut() -> F) -> Result<T, Unanswered>
where
    F: Future<Output = Result<T, Unanswered>>,
{
    let mut tried = 0;
    loop {
        let wait = match ask().await {
            Err(Unanswered::Unknown(_)) if tried + 1 < TRIES => None,
            Err(Unanswered::Throttled { after }) if tried + 1 < TRIES => after,
            done => return done,
        };
        tokio::time::sleep(wait.unwrap_or(PAUSE * 2u32.pow(tried))).await;
        tried += 1;
    }
}
