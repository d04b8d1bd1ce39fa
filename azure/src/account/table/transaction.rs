//! Writes of rows: alone, or several of one partition in a transaction.

use std::collections::BTreeSet;

use super::key::{Condition, TableKey};
use super::row::{Cells, check, to_json};

/// Most writes of a transaction.
pub const WRITES_MAX: usize = 100;

/// A write of one row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Write {
    /// Inserts a row that is not there.
    Insert(TableKey, Cells),
    /// Puts these cells in the place of all that a row has.
    Replace(TableKey, Cells, Condition),
    /// Puts these cells into a row beside those that it has.
    Merge(TableKey, Cells, Condition),
    /// Deletes a row.
    Delete(TableKey, Condition),
}

impl Write {
    pub(super) fn key(&self) -> &TableKey {
        let (Self::Insert(key, _) | Self::Replace(key, ..) | Self::Merge(key, ..) | Self::Delete(key, _)) = self;
        key
    }

    fn cells(&self) -> Option<&Cells> {
        match self {
            Self::Insert(_, cells) | Self::Replace(_, cells, _) | Self::Merge(_, cells, _) => Some(cells),
            Self::Delete(..) => None,
        }
    }

    /// What its answer to success is: one that creates says so.
    pub(super) fn is_insert(&self) -> bool {
        matches!(self, Self::Insert(..))
    }

    pub(super) fn check(&self, partition: &TableKey) -> Result<(), &'static str> {
        self.cells().map_or(Ok(()), |cells| check(partition, self.key(), cells))
    }

    /// The request of it.
    pub(super) fn request(&self, table: &str, partition: &TableKey) -> WriteRequest<'_> {
        let row = || row_path(table, partition, self.key());
        let (method, path, condition) = match self {
            Self::Insert(..) => ("POST", table.to_owned(), None),
            Self::Replace(_, _, condition) => ("PUT", row(), Some(condition)),
            Self::Merge(_, _, condition) => ("PATCH", row(), Some(condition)),
            Self::Delete(_, condition) => ("DELETE", row(), Some(condition)),
        };
        WriteRequest {
            method,
            path,
            condition: condition.map(Condition::header),
            body: self.cells().map(|cells| to_json(partition, self.key(), cells)),
        }
    }
}

/// The parts of a write's request.
pub struct WriteRequest<'a> {
    pub method: &'static str,
    /// Behind the service's address.
    pub path: String,
    pub condition: Option<&'a str>,
    pub body: Option<String>,
}

/// Where a row stands, behind the service's address. Keys have no character that means something there.
pub fn row_path(table: &str, partition: &TableKey, key: &TableKey) -> String {
    format!("{table}(PartitionKey='{partition}',RowKey='{key}')")
}

/// Writes of one partition that are done together or not at all. Keys name rows of that partition alone, so none of them can be of
/// another one, which an emulator would take and the service would not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowTransaction {
    pub(super) partition: TableKey,
    pub(super) writes: Vec<Write>,
}

impl RowTransaction {
    /// A transaction of a partition, without writes yet.
    pub fn new(partition: TableKey) -> Self {
        Self {
            partition,
            writes: Vec::new(),
        }
    }

    /// With one more write, behind the others.
    #[must_use]
    pub fn and(mut self, write: Write) -> Self {
        self.writes.push(write);
        self
    }

    /// How many writes it has.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Whether the service would take it; if not, why.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.writes.is_empty() || self.writes.len() > WRITES_MAX {
            return Err("a transaction has 1 to 100 writes");
        }
        let keys: BTreeSet<&TableKey> = self.writes.iter().map(Write::key).collect();
        if keys.len() < self.writes.len() {
            return Err("a transaction has a row twice");
        }
        self.writes.iter().try_for_each(|write| write.check(&self.partition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_the_service_would_refuse_is_known_before_it_is_sent() {
        let key = |n: usize| TableKey::new(format!("r{n}")).unwrap();
        let of = |n: usize| {
            (0..n).fold(RowTransaction::new(TableKey::new("p").unwrap()), |all, n| {
                all.and(Write::Delete(key(n), Condition::Exists))
            })
        };
        assert!(of(0).check().is_err());
        assert!(of(1).check().is_ok());
        assert!(of(100).check().is_ok());
        assert!(of(101).check().is_err());
        assert!(of(3).and(Write::Insert(key(1), Cells::new())).check().is_err());
    }
}
