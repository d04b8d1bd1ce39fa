//! What the follow tells: entries in the order of the log, but for those of parked segments.

use streamkit_record::{Entry, LogCursor};

use super::attempt::Tried;
use super::error::ProjectionError;
use super::guard::Done;
use super::keeper::Keeper;
use super::run::Run;
use super::standing::{Parked, Standing};
use crate::asked::Followed;

impl<K: Keeper> Run<K> {
    /// Takes what the follow tells.
    pub(super) async fn take(&mut self, followed: Followed) -> Done<()> {
        match followed {
            Followed::Batch(entries, cursor) => {
                self.entries(&entries, &cursor).await?;
                self.is_behind(&cursor);
            }
            Followed::CaughtUp(cursor) => {
                self.is_behind(&cursor);
                self.tell(|progress| {
                    progress.is_caught_up = true;
                    progress.lag = std::time::Duration::ZERO;
                });
            }
            Followed::At(cursor) => {
                self.is_behind(&cursor);
                self.tell(|progress| progress.lag = std::time::Duration::ZERO);
            }
        }
        // From then on it is known where it began, and a start begins there again.
        match self.stored {
            None => self.save().await,
            Some(_) => self.save_if_due().await,
        }
    }

    /// All before this cursor is handled or parked.
    fn is_behind(&mut self, cursor: &LogCursor) {
        if self.standing.cursor() != cursor {
            self.standing.go_behind(cursor);
            self.is_changed = true;
        }
        let position = self.standing.position();
        self.tell(|progress| (progress.cursor, progress.position) = (cursor.clone(), position));
    }

    /// Has the entries of a batch handled, in units. One that fails is halved, until the entry is found that does.
    async fn entries(&mut self, entries: &[Entry], end: &LogCursor) -> Done<()> {
        let mut most = self.settings.unit;
        let mut at = 0;
        while at < entries.len() {
            self.between().await?;
            let to = entries.len().min(at + most);
            let (unit, after) = self.unit(&entries[at..to], (to == entries.len()).then_some(end));
            let tried = match unit.is_empty() {
                true => {
                    self.pass(&entries[at..to]);
                    at = to;
                    continue;
                }
                false => self.attempt(&unit, after).await?,
            };
            match tried {
                Tried::Handled => {
                    if !K::STORES_AS_ONE {
                        self.pass(&entries[at..to]);
                    }
                    at = to;
                    most = (most * 2).min(self.settings.unit);
                }
                Tried::Failed(_) if unit.len() > 1 => most = (to - at) / 2,
                Tried::Failed(why) => {
                    // What stands before and behind it in the unit was handled before, or is parked.
                    self.park(&unit[0], why).await?;
                    self.pass(&entries[at..to]);
                    at = to;
                }
            }
            let position = self.standing.position();
            self.tell(|progress| progress.position = position);
        }
        Ok(())
    }

    /// Those of some entries that are to be handled now, and how far it has come then, for who stores both as one.
    fn unit(&self, entries: &[Entry], end: Option<&LogCursor>) -> (Vec<Entry>, Option<Standing>) {
        let wanted = entries.iter().filter(|entry| self.standing.wants(entry));
        let unit = wanted.cloned().collect();
        let after = K::STORES_AS_ONE.then(|| {
            let mut after = self.standing.clone();
            entries.iter().for_each(|entry| after.pass(entry));
            if let Some(end) = end {
                after.go_behind(end);
            }
            after.behind(self.stored.as_ref())
        });
        (unit, after)
    }

    fn pass(&mut self, entries: &[Entry]) {
        entries.iter().for_each(|entry| self.standing.pass(entry));
        self.is_changed = true;
    }

    /// Leaves the segment of an entry out from now on, and stores that.
    async fn park(&mut self, entry: &Entry, why: String) -> Done<()> {
        let most = self.settings.parked_most;
        if self.standing.kept_segments() >= most {
            let (path, sequence) = (entry.path.clone(), entry.sequence);
            return Err(ProjectionError::TooManyParked {
                most,
                path,
                sequence,
                why,
            }
            .into());
        }
        tracing::warn!(segment = %entry.path, sequence = entry.sequence.0, why, "a segment is parked");
        self.standing.park(&entry.path, Parked::at(entry));
        self.standing.pass(entry);
        self.is_changed = true;
        self.tell(|progress| {
            progress.failed += 1;
            progress.trouble = None;
        });
        self.tell_parked();
        self.save().await
    }
}
