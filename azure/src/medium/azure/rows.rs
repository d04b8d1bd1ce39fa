//! How bytes stand in rows of a table: cut into cells of 64 KiB, several rows if they are many, with their length and a checksum.

use bytes::{Bytes, BytesMut};

use super::super::SlotNumber;
use crate::account::table::{BINARY_MAX, Cell, Cells, Row, TableKey};

/// Most bytes of one row: the service takes 1 MiB with names and all.
pub const ROW_BYTES: usize = 900 * 1024;
/// Most bytes of all rows of one transaction: the service takes 4 MiB of request, and base64 makes four bytes of three.
pub const SLOT_BYTES: usize = 2_900 * 1024;
/// The key of an extent's header. It sorts behind all slots.
pub const HEADER: &str = "z";
/// Behind the keys of all slots, and before the header's.
pub const BEHIND_SLOTS: &str = "s~";

/// Cell of the first row: how many rows there are.
const ROWS: &str = "rows";
/// How many bytes all of them have.
const BYTES: &str = "bytes";
/// The checksum of these.
const CHECKSUM: &str = "checksum";

/// The key of a slot's first row.
pub fn slot_key(slot: SlotNumber) -> String {
    format!("s{:020}", slot.0)
}

/// The rows that hold these bytes, the first of which has this key. `place` names where they stand, so that the checksum tells bytes that came
/// to stand elsewhere.
pub fn write(place: &str, key: &str, bytes: &Bytes) -> Vec<(String, Cells)> {
    let count = bytes.len().div_ceil(ROW_BYTES).max(1);
    let mut rows = Vec::with_capacity(count);
    for at in 0..count {
        let end = bytes.len().min((at + 1) * ROW_BYTES);
        let own = bytes.slice((at * ROW_BYTES).min(end)..end);
        let mut cells = Cells::new();
        for (number, begin) in (0..own.len()).step_by(BINARY_MAX).enumerate() {
            let piece = own.slice(begin..own.len().min(begin + BINARY_MAX));
            cells.insert(cell_name(number), Cell::Binary(piece));
        }
        let key = match at {
            0 => key.to_owned(),
            at => format!("{key}.{at}"),
        };
        rows.push((key, cells));
    }
    if let Some((_, first)) = rows.first_mut() {
        let number = |number: usize| Cell::Number(i64::try_from(number).unwrap_or(i64::MAX));
        first.insert(ROWS.to_owned(), number(count));
        first.insert(BYTES.to_owned(), number(bytes.len()));
        let checksum = checksum(place, key, bytes);
        first.insert(CHECKSUM.to_owned(), Cell::Number(checksum.into()));
    }
    rows
}

fn cell_name(number: usize) -> String {
    format!("b{number:02}")
}

fn checksum(place: &str, key: &str, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in [place.as_bytes(), b"/", key.as_bytes(), b"/", bytes] {
        hasher.update(part);
    }
    hasher.finalize()
}

/// Bytes of which the first row was read.
#[derive(Debug)]
pub struct Begun {
    key: String,
    rows: usize,
    read: usize,
    bytes: usize,
    checksum: u32,
    found: BytesMut,
}

impl Begun {
    /// Begins with the first row.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(row: &Row) -> Result<Self, &'static str> {
        let number = |name: &str| match row.cells.get(name) {
            Some(Cell::Number(number)) => u32::try_from(*number).map_err(|_| "a number that it cannot have"),
            _ => Err("it does not say how much it is"),
        };
        let (rows, bytes) = (number(ROWS)? as usize, number(BYTES)? as usize);
        if rows != bytes.div_ceil(ROW_BYTES).max(1) {
            return Err("it does not have the rows that it needs");
        }
        let mut begun = Self {
            key: row.key.as_str().to_owned(),
            rows,
            read: 0,
            bytes,
            checksum: number(CHECKSUM)?,
            found: BytesMut::new(),
        };
        begun.take(row)?;
        Ok(begun)
    }

    /// Takes the next row; `false` if it is another one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn next(&mut self, row: &Row) -> Result<bool, &'static str> {
        let is_next = row.key.as_str() == format!("{}.{}", self.key, self.read) && self.read < self.rows;
        match is_next {
            true => self.take(row).map(|()| true),
            false => Ok(false),
        }
    }

    fn take(&mut self, row: &Row) -> Result<(), &'static str> {
        for number in 0.. {
            match row.cells.get(&cell_name(number)) {
                Some(Cell::Binary(piece)) => self.found.extend_from_slice(piece),
                Some(Cell::Number(_)) => return Err("a number where bytes should be"),
                None => break,
            }
        }
        self.read += 1;
        match self.found.len() <= self.bytes {
            true => Ok(()),
            false => Err("it has more bytes than it says"),
        }
    }

    /// Whether all rows were read.
    pub fn is_whole(&self) -> bool {
        self.read == self.rows
    }

    /// The bytes, checked.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn finish(self, place: &str) -> Result<Bytes, &'static str> {
        if !self.is_whole() || self.found.len() != self.bytes {
            return Err("it has fewer bytes than it says");
        }
        match checksum(place, &self.key, &self.found) == self.checksum {
            true => Ok(self.found.freeze()),
            false => Err("its checksum is another one"),
        }
    }
}

/// The slot that a key names, if it is that of a slot's first row.
pub fn slot_of(key: &TableKey) -> Option<SlotNumber> {
    let digits = key.as_str().strip_prefix('s').filter(|digits| digits.len() == 20)?;
    let is_number = digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number).map(SlotNumber)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::table::{ROW_MAX, RowVersion};

    fn row(key: &str, cells: Cells) -> Row {
        Row {
            key: TableKey::new(key).unwrap(),
            version: RowVersion::new("1").unwrap(),
            cells,
        }
    }

    fn read(place: &str, rows: &[(String, Cells)]) -> Result<Bytes, &'static str> {
        let mut begun = Begun::new(&row(&rows[0].0, rows[0].1.clone()))?;
        for (key, cells) in &rows[1..] {
            assert!(begun.next(&row(key, cells.clone()))?);
        }
        begun.finish(place)
    }

    #[test]
    fn bytes_read_as_they_were_written_however_many_rows_they_take() {
        for length in [
            0,
            1,
            BINARY_MAX,
            BINARY_MAX + 1,
            ROW_BYTES,
            ROW_BYTES + 1,
            2 * ROW_BYTES,
            SLOT_BYTES,
        ] {
            let bytes: Bytes = (0..length).map(|at| (at % 251) as u8).collect::<Vec<u8>>().into();
            let rows = write("p", "s1", &bytes);
            assert_eq!(rows.len(), length.div_ceil(ROW_BYTES).max(1));
            assert!(
                rows.iter()
                    .all(|(_, cells)| cells.len() * BINARY_MAX <= ROW_MAX + 2 * BINARY_MAX)
            );
            assert_eq!(read("p", &rows), Ok(bytes));
        }
    }

    #[test]
    fn bytes_that_are_not_those_written_are_told() {
        let good = write("p", "s1", &Bytes::from(vec![7; ROW_BYTES + 10]));
        assert!(read("q", &good).is_err());
        let change = |at: usize, name: &str, cell: Option<Cell>| {
            let mut rows = good.clone();
            match cell {
                Some(cell) => rows[at].1.insert(name.to_owned(), cell),
                None => rows[at].1.remove(name),
            };
            read("p", &rows)
        };
        let other = Some(Cell::Binary(Bytes::from_static(b"other byte")));
        for (at, name, cell) in [
            (0, ROWS, Some(Cell::Number(1))),
            (0, ROWS, Some(Cell::Number(-1))),
            (0, BYTES, Some(Cell::Number(ROW_BYTES as i64 + 11))),
            (0, BYTES, Some(Cell::Number(i64::MAX))),
            (0, CHECKSUM, Some(Cell::Number(1))),
            (0, CHECKSUM, None),
            (0, "b03", None),
            (1, "b00", other),
            (1, "b00", None),
            (1, "b00", Some(Cell::Number(1))),
            (1, "b01", Some(Cell::Binary(Bytes::from_static(b"more")))),
        ] {
            assert!(change(at, name, cell).is_err(), "{at} {name}");
        }
        let mut begun = Begun::new(&row("s1", good[0].1.clone())).unwrap();
        assert_eq!(begun.next(&row("s1.2", good[1].1.clone())), Ok(false));
        assert!(begun.finish("p").is_err());
    }

    #[test]
    fn keys_of_slots_sort_as_their_numbers_and_before_the_header() {
        let keys = [0, 1, 9, 10, u64::MAX].map(|slot| slot_key(SlotNumber(slot)));
        assert!(keys.is_sorted());
        assert!(keys.iter().all(|key| key.as_str() < BEHIND_SLOTS) && BEHIND_SLOTS < HEADER);
        for (key, slot) in keys.iter().zip([0, 1, 9, 10, u64::MAX]) {
            assert_eq!(slot_of(&TableKey::new(key.as_str()).unwrap()), Some(SlotNumber(slot)));
        }
        for key in [
            "z",
            "s1",
            "s00000000000000000001.1",
            "s+0000000000000000001",
            "s99999999999999999999",
        ] {
            assert_eq!(slot_of(&TableKey::new(key.replace('+', "=")).unwrap()), None, "{key}");
        }
        assert!(
            "s00000000000000000001" < "s00000000000000000001.1" && "s00000000000000000001.3" < "s00000000000000000002"
        );
    }
}
