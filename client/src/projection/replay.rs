//! Parked segments are handled from their first unhandled entry on, in the task of the projection: nothing else of the segment is
//! handled meanwhile, and then the follow goes on behind that.

use futures_util::StreamExt as _;
use streamkit_record::{Entry, SegmentPath, Sequence, Timestamp};

use super::attempt::Tried;
use super::command::Command;
use super::error::ProjectionError;
use super::guard::{Done, Halt};
use super::keeper::Keeper;
use super::run::Run;
use super::standing::{Parked, Standing};
use crate::asked::Read;
use crate::batches::{Batch, Batches};
use crate::error::Error;

impl<K: Keeper> Run<K> {
    /// Does what was asked for, and says what came of it.
    pub(super) async fn answer(&mut self, command: Command) -> Done<()> {
        let replayed = self.replay(&command.path, command.skips_first).await?;
        self.save().await?;
        // Whoever asked may have gone.
        let _ = command.answer.send(replayed);
        Ok(())
    }

    /// Handles a parked segment up to its head, and unparks it. Returns how many entries that were.
    async fn replay(&mut self, path: &SegmentPath, skips_first: bool) -> Done<Result<u64, ProjectionError>> {
        let Some(parked) = self.standing.parked_at(path) else {
            let path = path.clone();
            return Ok(Err(ProjectionError::NotParked { path }));
        };
        // By its time, not by its sequence: the segment may have been deleted and begun anew.
        let mut batches = self.store.read(Read {
            after: Timestamp(parked.time.0.saturating_sub(1)),
            at_least: self.standing.position(),
            filter: self.follow.filter.clone(),
            ..Read::segment(path.clone())
        });
        let first = (parked.number, parked.first);
        // The last one that came. It is handled once it is known what comes next: that is stored with it.
        let mut waits: Option<Entry> = None;
        let mut handled = 0;
        loop {
            let batch = match self.batch(&mut batches).await? {
                Ok(Some(batch)) => batch,
                Ok(None) => break,
                Err(error) => return Ok(Err(error.into())),
            };
            for entry in batch {
                let place = (entry.trx.number, entry.sequence);
                if place < first || skips_first && place == first {
                    continue;
                }
                match waits.take() {
                    Some(before) => {
                        let then = Some(Parked::at(&entry));
                        if let Err(error) = self.one(&before, then).await? {
                            return Ok(Err(error));
                        }
                        handled += 1;
                    }
                    None if skips_first => self.changes(|standing| standing.park(path, Parked::at(&entry))),
                    None if place != first => return Ok(Err(removed(path, parked, entry.sequence).into())),
                    None => {}
                }
                waits = Some(entry);
            }
        }
        match waits {
            Some(last) => {
                let done = self.one(&last, None).await?;
                Ok(done.map(|()| handled + 1))
            }
            None if skips_first => {
                self.changes(|standing| standing.unpark(path, parked.number));
                Ok(Ok(0))
            }
            None => Ok(Err(removed(path, parked, Sequence(0)).into())),
        }
    }

    async fn batch(&mut self, batches: &mut Batches) -> Done<Result<Option<Vec<Entry>>, Error>> {
        tokio::select! {
            biased;
            () = self.stop.asked() => Err(Halt::Stopped),
            batch = batches.next() => Ok(match batch {
                Some(Ok(Batch::Entries(entries))) => Ok(Some(entries)),
                Some(Ok(Batch::End(_))) => Ok(None),
                Some(Err(error)) => Err(error),
                None => Err(Error::Protocol("a read ended without its end".to_owned())),
            }),
        }
    }

    /// Handles an entry of a parked segment, which then is parked at the next one, or goes on with the rest.
    async fn one(&mut self, entry: &Entry, next: Option<Parked>) -> Done<Result<(), ProjectionError>> {
        if self.stop.is_asked() {
            return Err(Halt::Stopped);
        }
        let change = |standing: &mut Standing| match next {
            Some(next) => standing.park(&entry.path, next),
            None => standing.unpark(&entry.path, entry.trx.number),
        };
        let after = K::STORES_AS_ONE.then(|| {
            let mut after = self.standing.clone();
            change(&mut after);
            after.behind(self.stored.as_ref())
        });
        match self.attempt(std::slice::from_ref(entry), after).await? {
            Tried::Handled if K::STORES_AS_ONE => self.tell_parked(),
            Tried::Handled => self.changes(change),
            Tried::Failed(why) => {
                self.tell(|progress| progress.failed += 1);
                let (path, sequence) = (entry.path.clone(), entry.sequence);
                return Ok(Err(ProjectionError::StaysParked { path, sequence, why }));
            }
        }
        self.save_if_due().await.map(Ok)
    }

    fn changes(&mut self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.standing);
        self.is_changed = true;
        self.tell_parked();
    }
}

/// What a segment has lost of which the first unhandled entry is gone.
fn removed(path: &SegmentPath, parked: Parked, next: Sequence) -> Error {
    Error::Removed {
        space: path.space.to_string(),
        segment: path.segment.to_string(),
        sequence: parked.first.0,
        next: next.0,
    }
}
