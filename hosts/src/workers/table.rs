//! The rows of workers in the table of a storage account: one partition, a row for each store and host.

use streamkit_azure::account::table::{AccountTable, Cells, Condition, Range, RowVersion, TableKey, Write};
use streamkit_azure::account::{CallError, Conditional, Refusal};
use streamkit_engine::StoreId;

use super::known::WorkersRow;
use super::row;
use crate::host::HostId;

/// The partition. No store has it: theirs begin with an id.
const PARTITION: &str = "workers";

/// Rows of a page: each may be large.
const PAGE: usize = 16;

/// Most pages of a read; a service may answer with less than a page.
const PAGES_MAX: usize = 256;

/// The rows in a table that is there.
#[derive(Clone, Debug)]
pub struct TableOfWorkers {
    table: AccountTable,
    own: HostId,
}

impl TableOfWorkers {
    /// Of this host, of which no other has the id.
    pub fn new(table: AccountTable, own: HostId) -> Self {
        Self { table, own }
    }

    /// Puts these cells into this host's row.
    pub(super) async fn write(&self, store: StoreId, cells: Cells) -> Result<(), CallError> {
        let (partition, key) = (key(PARTITION), self.own_key(store));
        let replace = Write::Replace(key.clone(), cells.clone(), Condition::Exists);
        if let Conditional::Not(Refusal::Missing) = self.table.write(&partition, &replace).await? {
            self.table.write(&partition, &Write::Insert(key, cells)).await?;
        }
        Ok(())
    }

    /// Removes this host's row.
    pub(super) async fn remove_own(&self, store: StoreId) -> Result<(), CallError> {
        let delete = Write::Delete(self.own_key(store), Condition::Exists);
        self.table.write(&key(PARTITION), &delete).await.map(drop)
    }

    /// Removes a row of another host, if it is of this version.
    pub(super) async fn remove(&self, stale: &WorkersRow) -> Result<(), CallError> {
        let (Some(key_of_row), Some(version)) = (TableKey::new(stale.key.as_str()), RowVersion::new(&stale.version))
        else {
            return Ok(());
        };
        let delete = Write::Delete(key_of_row, Condition::Is(version));
        self.table.write(&key(PARTITION), &delete).await.map(drop)
    }

    /// The rows of other hosts. One that is none is left out.
    pub(super) async fn others(&self, store: StoreId) -> Result<Vec<WorkersRow>, CallError> {
        let name = store.0.simple();
        let range = Range {
            partition: key(PARTITION),
            from: key(&format!("{name}!")),
            to: key(&format!("{name}~")),
        };
        let (mut rows, mut place, own) = (Vec::new(), None, self.own_key(store));
        for _ in 0..PAGES_MAX {
            let page = self.table.page(&range, PAGE, place.as_ref()).await?;
            let others = page.rows.iter().filter(|found| found.key != own);
            rows.extend(others.filter_map(|found| {
                Some(WorkersRow {
                    key: found.key.as_str().to_owned(),
                    version: found.version.as_str().to_owned(),
                    workers: row::read(&found.cells)?,
                })
            }));
            place = page.next;
            if place.is_none() {
                break;
            }
        }
        Ok(rows)
    }

    fn own_key(&self, store: StoreId) -> TableKey {
        key(&format!("{}!{}", store.0.simple(), self.own.0.simple()))
    }
}

fn key(text: &str) -> TableKey {
    TableKey::new(text).expect("letters, digits and marks")
}
