//! The aggregates of a kind in one space of a store.

use std::num::NonZeroU64;
use std::time::Duration;

use futures_util::Stream;
use streamkit_record::{Name, SegmentPath};

use super::aggregate::{Aggregate, Snapshot};
use super::error::{LoadError, SaveError, UpdateError};
use super::loaded::{Cause, Loaded, Recorded, Saved, Updated};
use super::snapshots::Snapshots;
use super::upcast::endless;
use super::{reading, saving};
use crate::error::Error;
use crate::retry::RetryPolicy;
use crate::store::StoreClient;

/// Loads and saves the aggregates of a kind: each is a segment of one space, named by the aggregate's id. Over either version of the
/// protocol, and of servers of the Go system.
pub struct Repository<A: Aggregate> {
    store: StoreClient,
    space: Name,
    cause: Cause,
    conflicts: RetryPolicy,
    snapshots: Option<Snapshots<A>>,
}

/// How often an update is decided, unless its caller says otherwise.
const CONFLICTS: RetryPolicy = RetryPolicy {
    attempts: 16,
    first_pause: Duration::from_millis(5),
    longest_pause: Duration::from_secs(1),
    factor: 2.0,
};

// A derived one would ask it of the aggregate.
impl<A: Aggregate> Clone for Repository<A> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            space: self.space.clone(),
            snapshots: self.snapshots.clone(),
            ..*self
        }
    }
}

impl<A: Aggregate> Repository<A> {
    /// Of the aggregates in this space, without snapshots.
    ///
    /// # Errors
    /// [`Error::Invalid`]: the name cannot be one of a space, or the upcasts of the events go round in a circle.
    pub fn new(store: StoreClient, space: &str) -> Result<Self, Error> {
        let space = Name::new(space).map_err(|error| Error::Invalid(error.to_string()))?;
        match endless(<A::Event as super::Event>::UPCASTS) {
            Some(why) => Err(Error::Invalid(why)),
            None => Ok(Self {
                store,
                space,
                cause: Cause::default(),
                conflicts: CONFLICTS,
                snapshots: None,
            }),
        }
    }

    /// The same, which writes a snapshot every so many events, and begins loads with the newest one. They stand in the space
    /// `SPACE.snapshots`, under the names of their aggregates.
    ///
    /// Fewer events between them make loads faster, and saves slower: that with which one is due waits for it.
    ///
    /// # Errors
    /// [`Error::Invalid`]: the name of that space would be too long.
    pub fn snapshots(self, every: NonZeroU64) -> Result<Self, Error>
    where
        A: Snapshot,
    {
        let snapshots = Some(Snapshots::beside(&self.space, every)?);
        Ok(Self { snapshots, ..self })
    }

    /// The same, whose updates are decided at most so many times, with these pauses in between. 16 times, and from 5 ms to a second,
    /// without it.
    #[must_use]
    pub fn conflicts(self, conflicts: RetryPolicy) -> Self {
        Self { conflicts, ..self }
    }

    /// The same, whose events say that they come of this.
    #[must_use]
    pub fn caused_by(&self, cause: Cause) -> Self {
        Self { cause, ..self.clone() }
    }

    /// An aggregate with all its events; one without any has the default state, and the sequence 0. A snapshot stands for the
    /// events before it if it fits them; one that is damaged, of another version, of another history, or beyond the head is not used.
    ///
    /// # Errors
    /// [`LoadError`]; a name that no segment can have is [`Error::Invalid`] in it.
    pub async fn load(&self, id: &str) -> Result<Loaded<A>, LoadError> {
        self.load_at(self.path(id)?).await
    }

    async fn load_at(&self, path: SegmentPath) -> Result<Loaded<A>, LoadError> {
        if let Some(snapshots) = &self.snapshots
            && let Some(mut loaded) = snapshots.newest(&self.store, &path).await
        {
            if reading::resume(&self.store, &mut loaded).await? {
                return Ok(loaded);
            }
            tracing::debug!(%path, sequence = loaded.sequence, "a snapshot does not fit the events, and is not used");
        }
        reading::from_the_beginning(&self.store, path).await
    }

    /// Brings an aggregate up to date: reads what came since, or all of it if what was loaded is no part of what is there.
    ///
    /// # Errors
    /// [`LoadError`]; the aggregate stays usable, as it was or with some of the events that came.
    pub async fn refresh(&self, loaded: &mut Loaded<A>) -> Result<(), LoadError> {
        if !reading::resume(&self.store, loaded).await? {
            *loaded = self.load_at(loaded.path.clone()).await?;
        }
        Ok(())
    }

    /// The events of an aggregate from a sequence on (0: all that are there), up to the head of now. In the stream are
    /// [`LoadError`]s, and the first one ends it.
    ///
    /// # Errors
    /// [`Error::Invalid`]: no segment can have that name.
    pub fn history(
        &self,
        id: &str,
        from: u64,
    ) -> Result<impl Stream<Item = Result<Recorded<A::Event>, LoadError>> + Send + use<A>, Error> {
        Ok(reading::history(&self.store, self.path(id)?, from))
    }

    /// Saves events behind what was loaded, together or not at all, and lets them happen to it. No events are saved without asking the
    /// server.
    ///
    /// If the answer is lost, the client finds out what became of them. Dropping the future gives the answer up, not the save:
    /// what was loaded stays as it was, and the next save of it is a conflict if the dropped one succeeded.
    ///
    /// # Errors
    /// [`SaveError`]; what was loaded stays as it was.
    pub async fn save(&self, loaded: &mut Loaded<A>, events: &[A::Event]) -> Result<Saved, SaveError> {
        let (path, before) = (&loaded.path, loaded.sequence);
        let made = saving::make(self.store.id(), path, self.cause, before, events)?;
        let sequence = saving::append(&self.store, path, before, made.records).await?;
        made.events.into_iter().for_each(|event| loaded.state.apply(event));
        loaded.sequence = sequence;
        loaded.last = made.last.or(loaded.last);
        let snapshot = match &self.snapshots {
            Some(snapshots) if snapshots.is_due(before, sequence) => Some(snapshots.write(&self.store, loaded).await),
            _ => None,
        };
        Ok(Saved { sequence, snapshot })
    }

    /// Saves events behind a sequence that the caller knows, such as 0 for an aggregate that is to be new, without its state, and
    /// without a snapshot. Returns the sequence of the last one.
    ///
    /// # Errors
    /// [`SaveError`].
    pub async fn append(&self, id: &str, expected: u64, events: &[A::Event]) -> Result<u64, SaveError> {
        let path = self.path(id)?;
        let made = saving::make(self.store.id(), &path, self.cause, expected, events)?;
        saving::append(&self.store, &path, expected, made.records).await
    }

    /// Loads an aggregate, and saves the events that `decide` makes of its state. If others are first, it reads what they saved, and
    /// asks `decide` again, after a pause that grows; [`Repository::conflicts`] says how often at most.
    ///
    /// # Errors
    /// [`UpdateError`]. As with [`Repository::save`], [`UpdateError::Save`] may leave open what became of the events.
    pub async fn update<E>(
        &self,
        id: &str,
        mut decide: impl FnMut(&A) -> Result<Vec<A::Event>, E>,
    ) -> Result<Updated<A>, UpdateError<E>> {
        let mut loaded = self.load(id).await?;
        let mut conflicts = 0;
        loop {
            let events = decide(&loaded.state).map_err(UpdateError::Refused)?;
            let head = match self.save(&mut loaded, &events).await {
                Ok(saved) => {
                    return Ok(Updated {
                        loaded,
                        saved,
                        conflicts,
                    });
                }
                Err(SaveError::Conflict { head, .. }) => head,
                Err(error) => return Err(UpdateError::Save(error)),
            };
            conflicts += 1;
            if conflicts >= self.conflicts.attempts {
                return Err(UpdateError::Contended { conflicts, head });
            }
            tokio::time::sleep(self.conflicts.pause(conflicts)).await;
            self.refresh(&mut loaded).await?;
        }
    }

    fn path(&self, id: &str) -> Result<SegmentPath, Error> {
        let segment = Name::new(id).map_err(|error| Error::Invalid(error.to_string()))?;
        Ok(SegmentPath {
            space: self.space.clone(),
            segment,
        })
    }
}
