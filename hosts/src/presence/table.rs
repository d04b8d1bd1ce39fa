//! The register of hosts in the table of a storage account: one partition, a row for each host.

use async_trait::async_trait;
use bytes::Bytes;
use streamkit_azure::account::table::{AccountTable, Cell, Cells, Condition, Range, Row, RowVersion, TableKey, Write};
use streamkit_azure::account::{CallError, Conditional, Refusal};
use uuid::Uuid;

use super::register::{HostRow, Register, RegisterError};
use crate::host::{Host, HostId};

/// The partition. No store has it: theirs begin with an id.
const PARTITION: &str = "hosts";

/// Most rows of a page.
const PAGE: usize = 1000;

/// Most pages of a read; a service may answer with less than a page.
const PAGES_MAX: usize = 16;

const BOOT: &str = "boot";
const ADDRESS: &str = "address";
const VERSION: &str = "version";
const SEQUENCE: &str = "sequence";

/// The register in a table.
#[derive(Clone, Debug)]
pub struct TableRegister {
    table: AccountTable,
    partition: TableKey,
}

impl From<CallError> for RegisterError {
    fn from(error: CallError) -> Self {
        Self(error.to_string())
    }
}

impl TableRegister {
    /// In a table that is there.
    pub fn new(table: AccountTable) -> Self {
        Self {
            table,
            partition: key(PARTITION.to_owned()),
        }
    }
}

#[async_trait]
impl Register for TableRegister {
    async fn write(&self, host: &Host, sequence: u64) -> Result<(), RegisterError> {
        let (key, cells) = (row_key(host.id), cells(host, sequence));
        let replace = Write::Replace(key.clone(), cells.clone(), Condition::Exists);
        match self.table.write(&self.partition, &replace).await? {
            Conditional::Applied(_) => Ok(()),
            Conditional::Not(Refusal::Missing) => {
                let insert = Write::Insert(key, cells);
                // Somebody of the same id was faster: the next one replaces it.
                self.table.write(&self.partition, &insert).await?;
                Ok(())
            }
            Conditional::Not(why) => Err(RegisterError(format!("a row was refused: {why:?}"))),
        }
    }

    async fn read(&self, most: usize) -> Result<Vec<HostRow>, RegisterError> {
        let range = Range {
            partition: self.partition.clone(),
            from: key("0".to_owned()),
            to: key("g".to_owned()),
        };
        let (mut rows, mut place) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let page = self.table.page(&range, PAGE, place.as_ref()).await?;
            rows.extend(page.rows.iter().filter_map(host_row));
            place = page.next;
            if place.is_none() || rows.len() >= most {
                rows.truncate(most);
                return Ok(rows);
            }
        }
        Err(RegisterError("it has more pages than it may have".to_owned()))
    }

    async fn remove(&self, host: HostId, version: Option<&str>) -> Result<(), RegisterError> {
        let condition = match version {
            None => Condition::Exists,
            Some(version) => match RowVersion::new(version) {
                Some(version) => Condition::Is(version),
                None => return Err(RegisterError("a version that is none".to_owned())),
            },
        };
        let delete = Write::Delete(row_key(host), condition);
        self.table.write(&self.partition, &delete).await?;
        Ok(())
    }
}

fn key(text: String) -> TableKey {
    TableKey::new(text).expect("letters and digits")
}

fn row_key(host: HostId) -> TableKey {
    key(host.0.simple().to_string())
}

fn cells(host: &Host, sequence: u64) -> Cells {
    let binary = |bytes: &[u8]| Cell::Binary(Bytes::copy_from_slice(bytes));
    [
        (BOOT, binary(host.boot.as_bytes())),
        (ADDRESS, binary(host.address().as_bytes())),
        (VERSION, binary(host.version().as_bytes())),
        (SEQUENCE, Cell::Number(i64::try_from(sequence).unwrap_or(i64::MAX))),
    ]
    .map(|(name, cell)| (name.to_owned(), cell))
    .into()
}

/// A row as a host's; `None` if it is none.
fn host_row(row: &Row) -> Option<HostRow> {
    let binary = |name| match row.cells.get(name)? {
        Cell::Binary(bytes) => Some(&bytes[..]),
        Cell::Number(_) => None,
    };
    let Cell::Number(sequence) = row.cells.get(SEQUENCE)? else {
        return None;
    };
    let id = Uuid::try_parse(row.key.as_str()).ok()?;
    // Spelled in one way, so that no host has two rows.
    if id.simple().to_string() != row.key.as_str() {
        return None;
    }
    let boot = Uuid::from_slice(binary(BOOT)?).ok()?;
    let text = |name| std::str::from_utf8(binary(name)?).ok();
    Some(HostRow {
        host: Host::new(HostId(id), boot, text(ADDRESS)?, text(VERSION)?)?,
        sequence: u64::try_from(*sequence).ok()?,
        version: row.version.as_str().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_reads_as_it_was_written_and_what_is_none_is_left_out() {
        let id = HostId(Uuid::from_u128(0xab));
        let host = Host::new(id, Uuid::from_u128(8), "ws://a:1", "0.1.0").unwrap();
        let row = |key: TableKey, cells| Row {
            key,
            version: RowVersion::new("W/1").unwrap(),
            cells,
        };
        let read = host_row(&row(row_key(id), cells(&host, 3))).unwrap();
        assert_eq!(
            (read.host.clone(), read.sequence, &*read.version),
            (host.clone(), 3, "W/1")
        );
        for (name, cell) in [
            (BOOT, Cell::Binary(Bytes::from_static(b"short"))),
            (BOOT, Cell::Number(1)),
            (ADDRESS, Cell::Binary(Bytes::from_static(b"http://a"))),
            (ADDRESS, Cell::Binary(Bytes::from_static(b"\xff"))),
            (SEQUENCE, Cell::Number(-1)),
            (SEQUENCE, Cell::Binary(Bytes::new())),
        ] {
            let mut bad = cells(&host, 3);
            bad.insert(name.to_owned(), cell);
            assert_eq!(host_row(&row(row_key(id), bad)), None, "{name}");
        }
        for name in [BOOT, ADDRESS, VERSION, SEQUENCE] {
            let mut bad = cells(&host, 3);
            bad.remove(name);
            assert_eq!(host_row(&row(row_key(id), bad)), None, "{name}");
        }
        for other in [
            "x",
            "000000000000000000000000000000AB",
            "00000000-0000-0000-0000-0000000000ab",
        ] {
            assert_eq!(
                host_row(&row(TableKey::new(other).unwrap(), cells(&host, 3))),
                None,
                "{other}"
            );
        }
    }
}
