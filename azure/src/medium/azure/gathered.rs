//! The slots of an extent, put together of the rows that a read found.

use bytes::Bytes;

use super::super::{Rows, RowsEnd, SlotNumber};
use super::header::named;
use super::rows::{Begun, HEADER, slot_of};
use crate::account::table::Row;

/// What a read has found so far.
pub struct Gathered<'a> {
    /// The partition, which the checksums know.
    place: &'a str,
    slots: Vec<(SlotNumber, Bytes)>,
    bytes: usize,
    /// A slot of which rows are still to come.
    begun: Option<(SlotNumber, Begun)>,
    has_header: bool,
    /// A slot that was inserted, as the header says.
    named: Option<SlotNumber>,
    /// What is wrong with a slot. It counts only if the extent is not being retired, which deletes rows one after the other.
    damage: Option<String>,
}

impl<'a> Gathered<'a> {
    pub fn new(place: &'a str) -> Self {
        Self {
            place,
            slots: Vec::new(),
            bytes: 0,
            begun: None,
            has_header: false,
            named: None,
            damage: None,
        }
    }

    /// Takes the next row, in the order of keys.
    pub fn take(&mut self, row: &Row) {
        if let Some((slot, mut begun)) = self.begun.take() {
            match begun.next(row) {
                Ok(true) => return self.put((slot, begun)),
                Ok(false) => self.damage(slot, "a row of it is missing"),
                Err(why) => return self.damage(slot, why),
            }
        }
        if row.key.as_str() == HEADER {
            self.has_header = true;
            match named(row) {
                Ok(named) => self.named = named,
                Err(why) => drop(self.damage.get_or_insert_with(|| format!("{}: {why}", self.place))),
            }
            return;
        }
        let Some(slot) = slot_of(&row.key) else {
            // Its first row was deleted, or never was.
            self.damage
                .get_or_insert_with(|| format!("{}: a row {} without those before it", self.place, row.key));
            return;
        };
        match Begun::new(row) {
            Ok(begun) => self.put((slot, begun)),
            Err(why) => self.damage(slot, why),
        }
    }

    fn put(&mut self, (slot, begun): (SlotNumber, Begun)) {
        if !begun.is_whole() {
            self.begun = Some((slot, begun));
            return;
        }
        match begun.finish(self.place) {
            Ok(bytes) => {
                self.bytes += bytes.len();
                self.slots.push((slot, bytes));
            }
            Err(why) => self.damage(slot, why),
        }
    }

    fn damage(&mut self, slot: SlotNumber, why: &str) {
        self.damage
            .get_or_insert_with(|| format!("{}, slot {slot}: {why}", self.place));
    }

    /// The bytes of the slots so far.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a read from this slot on may end before the header: the slot is there, and nothing is damaged.
    pub fn may_end_early(&self, from: SlotNumber) -> bool {
        self.damage.is_none() && self.slots.first().is_some_and(|(first, _)| *first == from)
    }

    /// Whether the header was there, behind which is nothing.
    pub fn is_ended(&self) -> bool {
        self.has_header
    }

    /// The slot that the header names, if a read from this one on should have found it and did not. Whatever is damaged is told before.
    pub fn missing(&self, from: SlotNumber) -> Option<SlotNumber> {
        let named = self.named.filter(|named| *named >= from)?;
        let is_whole = self.damage.is_none() && self.begun.is_none();
        let is_there = self.slots.binary_search_by_key(&named, |(slot, _)| *slot).is_ok();
        (is_whole && !is_there).then_some(named)
    }

    /// What was found up to the end.
    ///
    /// # Errors
    /// What is damaged in an extent that is not retired.
    pub fn finish(mut self) -> Result<Rows, String> {
        if let Some((slot, _)) = self.begun.take() {
            self.damage(slot, "a row of it is missing");
        }
        match (self.has_header, self.damage) {
            (true, Some(damage)) => Err(damage),
            (true, None) => Ok(Rows {
                rows: self.slots,
                end: RowsEnd::Header,
            }),
            (false, _) => Ok(Rows {
                rows: self.slots,
                end: RowsEnd::Nothing,
            }),
        }
    }

    /// What was found before the end.
    pub fn finish_early(self) -> Rows {
        Rows {
            rows: self.slots,
            end: RowsEnd::Early,
        }
    }
}
