//! The room that a received message holds until its record is stored or dropped.

use tokio::sync::OwnedSemaphorePermit;

use crate::limits::RECORD_OVERHEAD_BYTES;

/// Room of a channel, of its connection, and, beyond what a connection always has, of all.
#[derive(Default)]
pub(crate) struct Room {
    own: Option<[OwnedSemaphorePermit; 2]>,
    all: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Room of a connection and a channel, and of all, if it takes some of that.
    pub(crate) fn new(
        connection: OwnedSemaphorePermit,
        channel: OwnedSemaphorePermit,
        all: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let own = Some([connection, channel]);
        Self { own, all }
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.own.as_ref().map_or(0, |[connection, _]| connection.num_permits())
    }

    /// Gives back what a message took on the wire beyond the record in it.
    pub(crate) fn shrink(&mut self, record_bytes: usize) {
        for permit in self.own.iter_mut().flatten().chain(&mut self.all) {
            let more = permit
                .num_permits()
                .saturating_sub(record_bytes + RECORD_OVERHEAD_BYTES);
            drop(permit.split(more));
        }
    }

    /// Takes over another's.
    pub(crate) fn merge(&mut self, other: Room) {
        match (&mut self.own, other.own) {
            (Some(held), Some(more)) => {
                for (held, more) in held.iter_mut().zip(more) {
                    held.merge(more);
                }
            }
            (held @ None, more) => *held = more,
            (Some(_), None) => {}
        }
        match (&mut self.all, other.all) {
            (Some(held), Some(more)) => held.merge(more),
            (held @ None, more) => *held = more,
            (Some(_), None) => {}
        }
    }
}
