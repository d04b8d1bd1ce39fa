//! A handler at work: how often it is tried, and what its failure means.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use streamkit_record::Entry;

use super::error::ProjectionError;
use super::guard::{Done, guarded};
use super::handler::{Failure, Step};
use super::keeper::Keeper;
use super::run::Run;
use super::standing::Standing;

/// What became of entries.
pub(super) enum Tried {
    Handled,
    /// They fail for good.
    Failed(String),
}

impl<K: Keeper> Run<K> {
    /// Has entries handled, again and again where that may help. `after` is stored with them by who stores both as one.
    pub(super) async fn attempt(&mut self, unit: &[Entry], after: Option<Standing>) -> Done<Tried> {
        // Of several, which one fails is found out first.
        let most = if unit.len() > 1 {
            1
        } else {
            self.settings.retries.attempts
        };
        let (mut times, mut waits) = (0, 0);
        loop {
            let step = Step {
                entries: unit,
                before: self.stored.as_ref(),
                after: after.as_ref().unwrap_or(&self.standing),
            };
            let (keeper, settings) = (&self.keeper, &self.settings);
            let work = async { keeper.handle(step).await };
            let done = guarded(&mut self.stop, settings, work).await?;
            let Err(failure) = done.unwrap_or_else(|why| Err(Failure::Retry(why))) else {
                return Ok(self.handled(unit, after));
            };
            if let Some(after) = after.as_ref().filter(|_| K::STORES_AS_ONE)
                && self.is_stored(after).await?
            {
                return Ok(self.handled(unit, Some(after.clone())));
            }
            let (why, pause) = match failure {
                Failure::Stop(why) => {
                    let (path, sequence) = (unit[0].path.clone(), unit[0].sequence);
                    return Err(ProjectionError::ByHandler { path, sequence, why }.into());
                }
                Failure::Park(why) => return Ok(Tried::Failed(why)),
                Failure::Wait(why) => {
                    waits += 1;
                    (why, waits)
                }
                Failure::Retry(why) => {
                    times += 1;
                    if times >= most {
                        return Ok(Tried::Failed(why));
                    }
                    (why, times)
                }
            };
            self.tell(|progress| {
                progress.retried += 1;
                progress.trouble = Some(why);
            });
            self.pause(self.settings.retries.pause(pause)).await?;
        }
    }

    fn handled(&mut self, unit: &[Entry], after: Option<Standing>) -> Tried {
        if let Some(after) = after {
            self.keeps(after);
        } else {
            self.unsaved += unit.len() as u64;
            self.is_changed = true;
        }
        let lag = unit.last().map(lag).unwrap_or_default();
        self.tell(|progress| {
            progress.handled += unit.len() as u64;
            progress.lag = lag;
            progress.trouble = None;
        });
        Tried::Handled
    }
}

/// How long ago an entry was committed.
fn lag(entry: &Entry) -> Duration {
    let committed = Duration::from_millis(u64::try_from(entry.timestamp.0).unwrap_or_default());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(committed)
}
