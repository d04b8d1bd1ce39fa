//! The header of an extent: that it takes slots, and which slot was inserted last, or nearly so.

use super::super::SlotNumber;
use crate::account::table::{Cell, Cells, Row};

/// The version of this layout.
const FORMAT: (&str, i64) = ("format", 1);
/// A slot that was inserted, in the same transaction with this cell: usually the last one. A slot that arrives behind a later one takes the cell back, so
/// it bounds the slots from below. A header of before has none, and claims nothing.
const LAST: &str = "last";

/// The cells of a header when this slot is inserted.
pub fn header(slot: SlotNumber) -> Cells {
    [
        (FORMAT.0.to_owned(), Cell::Number(FORMAT.1)),
        (LAST.to_owned(), Cell::Number(slot.0.cast_signed())),
    ]
    .into()
}

/// The slot that a header names.
///
/// # Errors
/// What is wrong with it.
pub fn named(header: &Row) -> Result<Option<SlotNumber>, &'static str> {
    match header.cells.get(LAST) {
        Some(Cell::Number(slot)) => Ok(Some(SlotNumber(slot.cast_unsigned()))),
        Some(Cell::Binary(_)) => Err("its header names no slot"),
        None => Ok(None),
    }
}
