//! Tries an account before anything is trusted to it: whether it refuses what it has to refuse. An emulator, or a service that only looks
//! like tables, may not.

use std::time::Duration;

use azure_core::Uuid;
use bytes::Bytes;

use super::Account;
use super::answer::{CallError, Conditional, Refusal};
use super::table::{Cell, Cells, Condition, Range, RowTransaction, TableKey, Transacted, Write};

/// How far this machine's clock may be off the service's.
const SKEW_MAX: Duration = Duration::from_secs(5);

/// Why an account cannot hold a log.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// It does not refuse what it has to refuse.
    #[error(
        "this storage cannot hold a log that several hosts write: {0}; use an Azure storage account, or an emulator that does what it does"
    )]
    Unfit(&'static str),
    /// This machine's clock is wrong, or the service's.
    #[error("this machine's clock is at least {} s off the storage's, and may be at most {} s; set it by a time server", .0.as_secs(), SKEW_MAX.as_secs())]
    Clock(Duration),
    /// A call failed.
    #[error("the storage cannot be tried: {0}")]
    Call(#[from] CallError),
}

impl Account {
    /// Makes the table and the container if they are not there, and tries whether the account does what a log demands of it: it
    /// refuses an insert of what is there, a change of another version, and all of a transaction if it refuses a part of it. What
    /// it writes for that, it deletes; a name is never used twice.
    ///
    /// # Errors
    /// [`ProbeError`]; after [`ProbeError::Call`] it may be tried again.
    pub async fn probe(&self) -> Result<(), ProbeError> {
        self.table.create().await?;
        self.blobs.create().await?;
        let id = Uuid::new_v4();
        let partition = key(&format!("probe!{id}"))?;
        self.check_rows(&partition).await?;
        self.check_transactions(&partition).await?;
        self.check_blobs(&format!("probe.{id}")).await?;
        for name in ["a", "b"] {
            self.table
                .write(&partition, &Write::Delete(key(name)?, Condition::Exists))
                .await?;
        }
        match self.clock.last().map(|told| told.skew()) {
            Some(skew) if skew > SKEW_MAX => Err(ProbeError::Clock(skew)),
            _ => Ok(()),
        }
    }

    async fn check_rows(&self, partition: &TableKey) -> Result<(), ProbeError> {
        let a = key("a")?;
        let insert = |n| Write::Insert(a.clone(), cells(n));
        let replace = |n, version| Write::Replace(a.clone(), cells(n), Condition::Is(version));
        let Conditional::Applied(Some(first)) = self.table.write(partition, &insert(1)).await? else {
            return Err(ProbeError::Unfit("it does not insert a row, or names no version of it"));
        };
        if self.table.write(partition, &insert(2)).await? != Conditional::Not(Refusal::Exists) {
            return Err(ProbeError::Unfit("it inserts a row that is there"));
        }
        let Conditional::Applied(Some(second)) = self.table.write(partition, &replace(3, first.clone())).await? else {
            return Err(ProbeError::Unfit("it does not replace a row of the version it named"));
        };
        if second == first
            || self.table.write(partition, &replace(4, first)).await? != Conditional::Not(Refusal::Changed)
        {
            return Err(ProbeError::Unfit("it replaces a row of another version"));
        }
        let missing = Write::Merge(key("missing")?, cells(1), Condition::Exists);
        if self.table.write(partition, &missing).await? != Conditional::Not(Refusal::Missing) {
            return Err(ProbeError::Unfit("it changes a row that is not there"));
        }
        let look = Write::Merge(a.clone(), Cells::new(), Condition::Exists);
        let Conditional::Applied(Some(third)) = self.table.write(partition, &look).await? else {
            return Err(ProbeError::Unfit("it does not look at a row that is there"));
        };
        match self.table.get(partition, &a).await? {
            Some(row) if row.cells == cells(3) && row.version == third => Ok(()),
            _ => Err(ProbeError::Unfit("it does not read a row as it was written")),
        }
    }

    async fn check_transactions(&self, partition: &TableKey) -> Result<(), ProbeError> {
        let transaction = |name, n| {
            let own = RowTransaction::new(partition.clone());
            let own = own.and(Write::Merge(key("a")?, cells(n), Condition::Exists));
            Ok::<_, ProbeError>(own.and(Write::Insert(key(name)?, cells(n))))
        };
        if !matches!(
            self.table.transact(&transaction("b", 5)?).await?,
            Transacted::Applied(_)
        ) {
            return Err(ProbeError::Unfit("it refuses a transaction that it can do"));
        }
        let again = self.table.transact(&transaction("b", 6)?).await?;
        if !matches!(
            again,
            Transacted::Not {
                refusal: Refusal::Exists,
                ..
            }
        ) {
            return Err(ProbeError::Unfit(
                "it does a transaction of which it has to refuse a part",
            ));
        }
        let range = Range {
            partition: partition.clone(),
            from: key("a")?,
            to: key("z")?,
        };
        let page = self.table.page(&range, 10, None).await?;
        let read: Vec<_> = page.rows.iter().map(|row| (row.key.as_str(), &row.cells)).collect();
        match read == [("a", &cells(5)), ("b", &cells(5))] {
            true => Ok(()),
            false => Err(ProbeError::Unfit(
                "it does a part of a transaction, or does not list what is there",
            )),
        }
    }

    async fn check_blobs(&self, name: &str) -> Result<(), ProbeError> {
        let put = |text: &'static str| self.blobs.put(name, Bytes::from_static(text.as_bytes()));
        if put("first").await? != Conditional::Applied(()) || put("second").await? != Conditional::Not(Refusal::Exists)
        {
            return Err(ProbeError::Unfit(
                "it does not keep a blob, or replaces one that is there",
            ));
        }
        let read = self.blobs.get(name).await?;
        self.blobs.delete(name).await?;
        match read.as_deref() == Some(b"first") && self.blobs.get(name).await?.is_none() {
            true => Ok(()),
            false => Err(ProbeError::Unfit(
                "it does not read a blob as it was written, or keeps one that is deleted",
            )),
        }
    }
}

fn key(text: &str) -> Result<TableKey, CallError> {
    TableKey::new(text).ok_or(CallError::NotSent("a key that is none"))
}

fn cells(number: i64) -> Cells {
    let bytes = Bytes::from(number.to_le_bytes().to_vec());
    [
        ("n".to_owned(), Cell::Number(number)),
        ("b".to_owned(), Cell::Binary(bytes)),
    ]
    .into()
}
