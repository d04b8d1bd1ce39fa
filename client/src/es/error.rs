//! Errors of event sourcing, by what the caller should do next.

use streamkit_record::SegmentPath;

use crate::error::Error;

/// Why the events of an aggregate could not be read. No event was left out: there is no state.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The type has no event of this name. Use a newer program, or let [`super::Event::unknown`] keep it.
    #[error("{path}/{sequence} is an event {name:?} (version {version}), which this program does not know")]
    UnknownEvent {
        /// The segment.
        path: SegmentPath,
        /// Where it stands.
        sequence: u64,
        /// Its name, behind the upcasts that it has.
        name: String,
        /// Its version, likewise.
        version: u32,
    },
    /// The type has the event in another version: a newer one, or an older one without a step that begins there.
    #[error("{path}/{sequence} is {name:?} in version {version}, and this program reads version {current}")]
    UnknownVersion {
        /// The segment.
        path: SegmentPath,
        /// Where it stands.
        sequence: u64,
        /// Its name, behind the upcasts that it has.
        name: String,
        /// Its version, likewise.
        version: u32,
        /// The version that the type has.
        current: u32,
    },
    /// An entry is no event of the type, or an upcast refused it.
    #[error("{path}/{sequence} is no event of this kind: {why}")]
    Malformed {
        /// The segment.
        path: SegmentPath,
        /// Where it stands.
        sequence: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The first events were trimmed, and no snapshot that fits stands for them.
    #[error("the events of {path} before {first} are gone, and no snapshot stands for them")]
    Trimmed {
        /// The segment.
        path: SegmentPath,
        /// The first event that is there.
        first: u64,
    },
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Why events were not saved.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// Others were first: nothing is saved. Load, and decide again.
    #[error("the aggregate has gone on: the head is {head}, not {expected}")]
    Conflict {
        /// The sequence that the save went on from.
        expected: u64,
        /// The segment's head at that moment.
        head: u64,
    },
    /// An event cannot be written, or could not be read again: nothing is saved.
    #[error("an event cannot be saved: {why}")]
    Unfit {
        /// What is wrong with it.
        why: String,
    },
    /// The store did not take them. [`Error::is_not_stored`] tells whether that is certain; if it is not, load to see.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Why an update did not succeed. `E` is the error of the caller's decision.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError<E> {
    /// The caller's own decision: nothing is saved.
    #[error("{0}")]
    Refused(E),
    /// Others were first as often as the policy allows: nothing is saved.
    #[error("others were first {conflicts} times; the head is {head}")]
    Contended {
        /// How often.
        conflicts: u32,
        /// The head the last time.
        head: u64,
    },
    /// The aggregate could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The events could not be saved.
    #[error(transparent)]
    Save(SaveError),
}
