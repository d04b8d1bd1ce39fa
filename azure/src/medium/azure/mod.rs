//! A store in an Azure storage account: slots and the root are rows of a table, the rest are blobs.
//!
//! ```text
//!  partition STORE          row root              the root, changed by its version
//!  partition STORE!EXTENT   row s + 20 digits     a slot; a large one goes on in rows with .1, .2, .3 behind that
//!                           row z                 the header: it sorts last, and names a slot that was inserted
//!  blob STORE.KIND.ID                             what a checkpoint, a history, a manifest or a body is
//! ```
//!
//! Slots are removed by a retirement alone, and behind the header. So a slot that is known to have been there, and is missing under a header that is
//! there, was deleted by somebody else: [`Unanswered::Damaged`]. A read knows it of the slot that the header names, an insert of the slot before its own
//! if it is told so. A look at a slot that seems to be missing is two reads more; nothing else costs a request.

mod gathered;
mod header;
mod missing;
mod rows;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use streamkit_engine::{StoreId, Timestamp};
use uuid::Uuid;

use self::gathered::Gathered;
use self::header::header;
use self::rows::{BEHIND_SLOTS, Begun, HEADER, ROW_BYTES, SLOT_BYTES, slot_key, write};
use super::{
    BlobKind, BlobName, Created, ExtentId, Inserted, Medium, Put, Root, RootVersion, Rows, SlotBefore, SlotNumber,
    Swapped, Unanswered,
};
use crate::account::table::{
    Cells, Condition, Range, RowTransaction, RowVersion, TableKey, Transacted, WRITES_MAX, Write,
};
use crate::account::{Account, BLOB_MAX, CallError, Conditional, Refusal};

/// Rows of a first page: however large they are, the answer is not too large.
const PAGE_FIRST: usize = 16;
/// Rows of a page, if those before were small.
const PAGE_MOST: usize = 1000;
/// Bytes of a page behind which the next one may have more rows.
const PAGE_SMALL: usize = 1024 * 1024;
/// How often a retirement looks again because another one deleted what it was about to delete.
const LOOKS: usize = 10_000;

/// One store in an account.
#[derive(Clone, Debug)]
pub struct AzureMedium {
    account: Arc<Account>,
    store: String,
}

impl AzureMedium {
    /// A store in an account. Nothing is sent; [`Account::probe`] should have succeeded before.
    pub fn new(account: Arc<Account>, store: StoreId) -> Self {
        let store = TableKey::encode(&store.to_string());
        Self { account, store }
    }

    /// How the names of all blobs of a kind begin.
    pub fn blob_prefix(&self, kind: BlobKind) -> String {
        format!("{}.{}.", self.store, kind.word())
    }

    fn key(&self, text: impl Into<String>) -> Result<TableKey, Unanswered> {
        TableKey::new(text).ok_or_else(|| Unanswered::Refused("a key that no table takes".to_owned()))
    }

    fn partition(&self, extent: ExtentId) -> Result<TableKey, Unanswered> {
        self.key(format!("{}!{extent}", self.store))
    }

    fn blob(&self, name: BlobName) -> String {
        format!("{}{}", self.blob_prefix(name.kind), name.id)
    }

    /// A transaction with the insert of a slot, too.
    fn with_slot(
        &self,
        mut transaction: RowTransaction,
        partition: &TableKey,
        slot: SlotNumber,
        bytes: &Bytes,
    ) -> Result<RowTransaction, Unanswered> {
        if bytes.len() > SLOT_BYTES {
            return Err(Unanswered::Refused(format!("a slot has at most {SLOT_BYTES} bytes")));
        }
        for (key, cells) in write(partition.as_str(), &slot_key(slot), bytes) {
            transaction = transaction.and(Write::Insert(self.key(key)?, cells));
        }
        Ok(transaction)
    }

    /// The rows of a page, and how many the next one may have. A page of small rows may be followed by one of large rows.
    fn next_page(rows: usize, bytes: usize) -> usize {
        match bytes <= PAGE_SMALL {
            true => (rows * 4).min(PAGE_MOST),
            false => PAGE_FIRST,
        }
    }

    /// Removes the root of a store that nobody uses.
    pub(crate) async fn forget_root(&self) -> Result<(), Unanswered> {
        self.forget(self.key(self.store.clone())?, self.key(ROOT)?).await
    }

    /// Removes what is left of a retired extent, which nobody will ever create again.
    pub(crate) async fn forget_tombstone(&self, extent: ExtentId) -> Result<(), Unanswered> {
        self.forget(self.partition(extent)?, self.key(slot_key(SlotNumber::ZERO))?)
            .await
    }

    /// The first extent behind this one, or of all, that is not retired, or not to its end.
    pub(crate) async fn extent_behind(&self, behind: Option<ExtentId>) -> Result<Option<ExtentId>, Unanswered> {
        let behind = match behind {
            Some(extent) => self.partition(extent)?,
            None => self.key(format!("{}!", self.store))?,
        };
        let partitions = (&behind, &self.key(format!("{}~", self.store))?);
        let rows = (
            &self.key(slot_key(SlotNumber::FIRST))?,
            &self.key(format!("{HEADER}~"))?,
        );
        let found = self.account.table().partition_with(partitions, rows).await?;
        let extent = |partition: TableKey| {
            let name = partition.as_str().split_once('!').map(|(_, name)| name);
            let id = name.and_then(|name| Uuid::parse_str(name).ok());
            id.map(ExtentId)
                .ok_or_else(|| damaged(format!("{partition} is no extent")))
        };
        found.map(extent).transpose()
    }

    /// The names of at most so many blobs of the store.
    pub(crate) async fn all_blobs(&self, most: usize) -> Result<Vec<String>, Unanswered> {
        Ok(self.account.blobs().list(&format!("{}.", self.store), most).await?)
    }

    /// Removes a blob by one of these names.
    pub(crate) async fn delete_any_blob(&self, name: &str) -> Result<(), Unanswered> {
        match self.account.blobs().delete(name).await? {
            Conditional::Applied(()) | Conditional::Not(Refusal::Missing) => Ok(()),
            Conditional::Not(refusal) => Err(strange(refusal)),
        }
    }

    /// Something that only a store with a root has: a slot with a group, or a blob. What hosts leave that lost the race for the first root is none.
    pub(crate) async fn remains(&self) -> Result<Option<String>, Unanswered> {
        let partitions = (
            &self.key(format!("{}!", self.store))?,
            &self.key(format!("{}~", self.store))?,
        );
        let slots = (&self.key(slot_key(SlotNumber::FIRST))?, &self.key(BEHIND_SLOTS)?);
        if let Some(partition) = self.account.table().partition_with(partitions, slots).await? {
            return Ok(Some(format!("a slot in {partition}")));
        }
        let blobs = self.all_blobs(1).await?;
        Ok(blobs.into_iter().next().map(|blob| format!("the blob {blob}")))
    }

    /// The root, if it is there, whatever else is.
    pub(crate) async fn root_row(&self) -> Result<Option<Root>, Unanswered> {
        let (partition, key) = (self.key(self.store.clone())?, self.key(ROOT)?);
        let Some(row) = self.account.table().get(&partition, &key).await? else {
            return Ok(None);
        };
        let bytes = Begun::new(&row).and_then(|begun| begun.finish(partition.as_str()));
        let bytes = bytes.map_err(|why| damaged(format!("the root of {partition}: {why}")))?;
        let version = RootVersion(row.version.as_str().to_owned());
        Ok(Some(Root { bytes, version }))
    }

    async fn forget(&self, partition: TableKey, key: TableKey) -> Result<(), Unanswered> {
        let delete = Write::Delete(key, Condition::Exists);
        match self.account.table().write(&partition, &delete).await? {
            Conditional::Applied(_) | Conditional::Not(Refusal::Missing) => Ok(()),
            Conditional::Not(refusal) => Err(strange(refusal)),
        }
    }

    async fn delete_slots(&self, partition: &TableKey) -> Result<(), Unanswered> {
        let range = Range {
            partition: partition.clone(),
            from: self.key(slot_key(SlotNumber::FIRST))?,
            to: self.key(BEHIND_SLOTS)?,
        };
        let table = self.account.table();
        let mut place = None;
        for _ in 0..LOOKS {
            let page = table.keys(&range, WRITES_MAX, place.as_ref()).await?;
            if page.rows.is_empty() {
                // Nothing is inserted into a retired extent, so what was empty stays empty.
                let Some(next) = page.next else { return Ok(()) };
                place = Some(next);
                continue;
            }
            let delete = page
                .rows
                .into_iter()
                .fold(RowTransaction::new(partition.clone()), |all, key| {
                    all.and(Write::Delete(key, Condition::Exists))
                });
            match table.transact(&delete).await? {
                Transacted::Applied(_)
                | Transacted::Not {
                    refusal: Refusal::Missing,
                    ..
                } => place = None,
                Transacted::Not { refusal, .. } => return Err(strange(refusal)),
            }
        }
        Err(Unanswered::Unknown(
            "others delete the same slots all the time".to_owned(),
        ))
    }
}

#[async_trait]
impl Medium for AzureMedium {
    fn slot_bytes_max(&self) -> usize {
        SLOT_BYTES
    }

    async fn create_extent(&self, extent: ExtentId, first: Bytes) -> Result<Created, Unanswered> {
        let partition = self.partition(extent)?;
        let header = Write::Insert(self.key(HEADER)?, header(SlotNumber::ZERO));
        let transaction = RowTransaction::new(partition.clone()).and(header);
        let transaction = self.with_slot(transaction, &partition, SlotNumber::ZERO, &first)?;
        match self.account.table().transact(&transaction).await? {
            Transacted::Applied(_) => Ok(Created::Done),
            // Slot 0 stays behind the header, so whichever of the two was refused: slot 0 is there.
            Transacted::Not {
                refusal: Refusal::Exists,
                ..
            } => Ok(Created::Taken),
            Transacted::Not { refusal, .. } => Err(strange(refusal)),
        }
    }

    async fn insert_at(
        &self,
        extent: ExtentId,
        slot: SlotNumber,
        bytes: Bytes,
        before: SlotBefore,
    ) -> Result<Inserted, Unanswered> {
        let partition = self.partition(extent)?;
        let look = Write::Merge(self.key(HEADER)?, header(slot), Condition::Exists);
        let mut transaction = RowTransaction::new(partition.clone()).and(look);
        let known = slot.before().filter(|_| before == SlotBefore::Known);
        if let Some(known) = known {
            // It changes no cell: it asks whether the row is there.
            let look = Write::Merge(self.key(slot_key(known))?, Cells::new(), Condition::Exists);
            transaction = transaction.and(look);
        }
        let transaction = self.with_slot(transaction, &partition, slot, &bytes)?;
        match self.account.table().transact(&transaction).await? {
            Transacted::Applied(_) => Ok(Inserted::Done),
            Transacted::Not {
                refusal: Refusal::Exists,
                ..
            } => Ok(Inserted::Taken),
            Transacted::Not {
                refusal: Refusal::Missing,
                ..
            } => self.missing(&partition, known).await,
            Transacted::Not { refusal, .. } => Err(strange(refusal)),
        }
    }

    async fn read_from(&self, extent: ExtentId, from: SlotNumber, most: usize) -> Result<Rows, Unanswered> {
        let range = Range {
            partition: self.partition(extent)?,
            from: self.key(slot_key(from))?,
            to: self.key(HEADER)?,
        };
        let mut gathered = Gathered::new(range.partition.as_str());
        let (mut place, mut size) = (None, PAGE_FIRST);
        loop {
            let page = match self.account.table().page(&range, size, place.as_ref()).await {
                Err(CallError::TooLarge) if size > PAGE_FIRST => {
                    size = PAGE_FIRST;
                    continue;
                }
                page => page?,
            };
            let before = gathered.bytes();
            for row in &page.rows {
                gathered.take(row);
            }
            if gathered.is_ended() || page.next.is_none() {
                return self.end(&range.partition, from, gathered).await;
            }
            if gathered.bytes() >= most && gathered.may_end_early(from) {
                return Ok(gathered.finish_early());
            }
            size = Self::next_page(size, gathered.bytes() - before);
            place = page.next;
        }
    }

    async fn retire_extent(&self, extent: ExtentId) -> Result<(), Unanswered> {
        let partition = self.partition(extent)?;
        let header = Write::Delete(self.key(HEADER)?, Condition::Exists);
        match self.account.table().write(&partition, &header).await? {
            Conditional::Applied(_) | Conditional::Not(Refusal::Missing) => {}
            Conditional::Not(refusal) => return Err(strange(refusal)),
        }
        self.delete_slots(&partition).await
    }

    async fn read_root(&self) -> Result<Option<Root>, Unanswered> {
        if let Some(root) = self.root_row().await? {
            return Ok(Some(root));
        }
        let Some(remains) = self.remains().await? else {
            return Ok(None);
        };
        // Whatever is written is written behind the root, so it is there by now if it ever was.
        match self.root_row().await? {
            Some(root) => Ok(Some(root)),
            None => Err(damaged(format!(
                "the root of {} is not there, but {remains} is; put the root back, or remove what is left with `streamkit azure delete`",
                self.store
            ))),
        }
    }

    async fn swap_root(&self, expected: Option<RootVersion>, bytes: Bytes) -> Result<Swapped, Unanswered> {
        if bytes.len() > ROW_BYTES {
            return Err(Unanswered::Refused(format!("a root has at most {ROW_BYTES} bytes")));
        }
        let (partition, key) = (self.key(self.store.clone())?, self.key(ROOT)?);
        let cells = write(partition.as_str(), ROOT, &bytes).swap_remove(0).1;
        let write = match expected {
            None => Write::Insert(key, cells),
            Some(version) => {
                let version = RowVersion::new(&version.0);
                let version = version.ok_or_else(|| Unanswered::Refused("no version of a root".to_owned()))?;
                Write::Replace(key, cells, Condition::Is(version))
            }
        };
        match self.account.table().write(&partition, &write).await? {
            Conditional::Applied(Some(version)) => Ok(Swapped::Done(RootVersion(version.as_str().to_owned()))),
            Conditional::Applied(None) => Err(Unanswered::Unknown("the root's new version was not told".to_owned())),
            Conditional::Not(_) => Ok(Swapped::Lost),
        }
    }

    async fn put_blob(&self, name: BlobName, bytes: Bytes) -> Result<Put, Unanswered> {
        if bytes.len() > BLOB_MAX {
            return Err(Unanswered::Refused(format!("a blob has at most {BLOB_MAX} bytes")));
        }
        match self.account.blobs().put(&self.blob(name), bytes).await? {
            Conditional::Applied(()) => Ok(Put::Done),
            Conditional::Not(Refusal::Exists) => Ok(Put::Taken),
            Conditional::Not(refusal) => Err(strange(refusal)),
        }
    }

    async fn get_blob(&self, name: BlobName) -> Result<Option<Bytes>, Unanswered> {
        Ok(self.account.blobs().get(&self.blob(name)).await?)
    }

    async fn delete_blob(&self, name: BlobName) -> Result<(), Unanswered> {
        self.delete_any_blob(&self.blob(name)).await
    }

    async fn service_time(&self) -> Result<Timestamp, Unanswered> {
        let (partition, key) = (self.key(self.store.clone())?, self.key(ROOT)?);
        let told = self.account.table().time(&partition, &key).await?;
        let since = told.date.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Ok(Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// The key of the root's row.
const ROOT: &str = "root";

/// A refusal that no call here can come to. It proves nothing.
fn strange(refusal: Refusal) -> Unanswered {
    Unanswered::Unknown(format!("a refusal that fits nothing asked for: {refusal:?}"))
}

fn damaged(what: String) -> Unanswered {
    Unanswered::Damaged(what)
}

impl From<CallError> for Unanswered {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unknown(why) => Self::Unknown(why),
            CallError::Throttled { after } => Self::Throttled { after },
            CallError::Denied(why) => Self::Denied(why),
            CallError::TooLarge => Self::Unknown(error.to_string()),
            CallError::Refused { .. } | CallError::NotSent(_) => Self::Refused(error.to_string()),
        }
    }
}
