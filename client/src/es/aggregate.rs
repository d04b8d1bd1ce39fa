//! What a program says of its aggregates and events.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::envelope::Content;
use super::upcast::Upcast;

/// A thing with a history: its state is what its events, in their order, made of the default one.
pub trait Aggregate: Default + Send + Sync {
    /// What happens to it.
    type Event: Event;

    /// Lets an event happen. It happened: there is nothing to refuse here.
    fn apply(&mut self, event: Self::Event);
}

/// What happens to aggregates of a kind: an `enum` with serde's own representation. The name of a variant (`#[serde(rename = "…")]`) is
/// the name of the event, and what it holds, which has to be an object of JSON or nothing, is its content. The member `metadata` of
/// that object is not the event's own.
pub trait Event: Serialize + DeserializeOwned + Send + Sync {
    /// Steps from old versions of events to those that the type has now.
    const UPCASTS: &'static [Upcast] = &[];

    /// What becomes of an event whose name is none of the type's. `None`, which is the default, makes it an error of the load. A type
    /// that keeps such events marks their variant `#[serde(skip)]`, so that none is saved.
    fn unknown(event: UnknownEvent) -> Option<Self> {
        let _ = event;
        None
    }
}

/// An aggregate whose state can be saved beside its events.
pub trait Snapshot: Aggregate + Serialize + DeserializeOwned {
    /// The version of the state's form. A snapshot of any other version is not used: raise it with each change of what is saved, and with
    /// each change of what [`Aggregate::apply`] makes of old events.
    const VERSION: u32;
}

/// An event whose name a program does not know.
#[derive(Clone, PartialEq, Debug)]
pub struct UnknownEvent {
    /// Its name.
    pub name: String,
    /// The version of its content.
    pub version: u32,
    /// What it holds.
    pub content: Content,
}
