//! The durable state of a log at one host: everything up to a place.

use bytes::Bytes;
use streamkit_engine::Timestamp;

use super::blobs::Checkpoint;
use super::event::Failure;
use super::group::{Group, GroupId};
use super::ledger::{Ledger, NotApplied};
use super::place::Place;
use crate::medium::SlotNumber;

/// All valid groups before a place, applied.
pub(crate) struct Tail<L> {
    pub ledger: L,
    pub place: Place,
    /// The last valid group.
    pub last: Option<GroupId>,
    /// Its commit time.
    pub time: Timestamp,
    /// Bytes of groups in this extent, as far as this host saw them.
    pub extent_bytes: u64,
    /// Restored from a checkpoint, and the slot before its place was not seen yet.
    pub is_unproven: bool,
}

impl<L: Ledger> Tail<L> {
    /// The begin of a log.
    pub fn begin(home: &L::Home, place: Place) -> Result<Self, Failure> {
        Ok(Self {
            ledger: L::begin(home).map_err(Failure::Host)?,
            place,
            last: None,
            time: Timestamp(i64::MIN),
            extent_bytes: 0,
            is_unproven: false,
        })
    }

    /// What this host knows by itself.
    pub fn found(home: &L::Home) -> Result<Option<Self>, Failure> {
        let found = L::found(home).map_err(Failure::Host)?;
        Ok(found.map(|found| Self {
            ledger: found.ledger,
            place: found.place,
            last: found.last,
            time: found.time,
            extent_bytes: 0,
            is_unproven: found.place.slot > SlotNumber::FIRST,
        }))
    }

    /// What a checkpoint says.
    pub fn restore(home: &L::Home, checkpoint: Checkpoint) -> Result<Option<Self>, Failure> {
        let restored = L::restore(home, &checkpoint.ledger).map_err(Failure::Damaged)?;
        Ok(restored.map(|ledger| Self {
            ledger,
            place: checkpoint.place,
            last: checkpoint.last,
            time: checkpoint.time,
            extent_bytes: 0,
            is_unproven: checkpoint.place.slot > SlotNumber::FIRST,
        }))
    }

    pub fn checkpoint(&self) -> Option<Checkpoint> {
        Some(Checkpoint {
            place: self.place,
            last: self.last,
            time: self.time,
            ledger: self.ledger.checkpoint()?,
        })
    }

    /// Where a read begins: a checkpoint is proven by the slot before its place.
    pub fn reads_from(&self) -> SlotNumber {
        match self.is_unproven {
            true => SlotNumber(self.place.slot.0 - 1),
            false => self.place.slot,
        }
    }

    /// Whether a group in the next slot counts.
    pub fn is_valid(&self, group: &Group) -> bool {
        group.predecessor == self.last
    }

    /// The next slot holds a group that does not count, whatever it says.
    pub fn skip_void(&mut self, group: &Group) {
        assert!(!self.is_valid(group) && self.is_next(group));
        self.place = self.place.behind(None);
    }

    /// The next slot holds a valid group with this body.
    pub fn apply(&mut self, group: &Group, body: &Bytes) -> Result<(), Failure> {
        assert!(self.is_valid(group) && self.is_next(group), "only the next valid group");
        if group.time < self.time {
            let id = group.id;
            return Err(Failure::Damaged(format!("the commit time of group {id} goes back")));
        }
        self.ledger.apply(group.id, group.time, body).map_err(|why| match why {
            NotApplied::Damaged(why) => Failure::Damaged(format!("group {}: {why}", group.id)),
            NotApplied::Host(why) => Failure::Host(why),
        })?;
        (self.last, self.time) = (Some(group.id), group.time);
        self.place = self.place.behind(group.seal);
        match group.seal {
            Some(_) => self.extent_bytes = 0,
            None => self.extent_bytes += body.len() as u64,
        }
        self.ledger.reached(self.place, self.last, self.time);
        Ok(())
    }

    fn is_next(&self, group: &Group) -> bool {
        (group.extent, group.slot) == (self.place.extent, self.place.slot)
    }
}
