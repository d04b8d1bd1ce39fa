//! Slots that seem to be missing: whether the extent was retired, a read was early, or somebody deleted them.

use super::super::{Inserted, Rows, RowsEnd, SlotNumber, Unanswered};
use super::gathered::Gathered;
use super::rows::{HEADER, slot_key};
use super::{AzureMedium, damaged};
use crate::account::table::TableKey;

/// What became of a slot that was in its extent at some time.
enum Stands {
    /// It is there, and so is the header.
    There,
    /// The header is there, and it is not.
    Gone,
    /// The extent is retired, or is about to be.
    Retired,
}

impl AzureMedium {
    /// Looks for the slot first: a retirement that has taken it has taken the header before, and a header never comes back.
    async fn stands(&self, partition: &TableKey, slot: SlotNumber) -> Result<Stands, Unanswered> {
        let table = self.account.table();
        let has_slot = table.get(partition, &self.key(slot_key(slot))?).await?.is_some();
        let has_header = table.get(partition, &self.key(HEADER)?).await?.is_some();
        Ok(match (has_header, has_slot) {
            (true, true) => Stands::There,
            (true, false) => Stands::Gone,
            (false, _) => Stands::Retired,
        })
    }

    /// What a read from a slot on found, that came to its end.
    ///
    /// The header may name a slot that is not among the rows because it was inserted behind the page that it would have been in. Then it is there now, and
    /// one more look, which begins behind the read of the header, tells; whoever reads has what was there when the read began.
    pub(super) async fn end(
        &self,
        partition: &TableKey,
        from: SlotNumber,
        gathered: Gathered<'_>,
    ) -> Result<Rows, Unanswered> {
        let Some(slot) = gathered.missing(from) else {
            return gathered.finish().map_err(damaged);
        };
        match self.stands(partition, slot).await? {
            Stands::There => gathered.finish().map_err(damaged),
            Stands::Retired => Ok(Rows {
                end: RowsEnd::Nothing,
                ..gathered.finish_early()
            }),
            // What is there is read, and told to be damaged where it ends.
            Stands::Gone if gathered.may_end_early(from) => Ok(gathered.finish_early()),
            Stands::Gone => Err(damaged(format!(
                "{partition}, slot {slot}: the header says that it was inserted, and it is not there; slots are missing from {from} on"
            ))),
        }
    }

    /// Why a row was missing that an insert looks at: the header, or the slot before that is known to have been there. The answer may number the write that
    /// failed, in a text for people; the rows themselves are proof.
    pub(super) async fn missing(
        &self,
        partition: &TableKey,
        known: Option<SlotNumber>,
    ) -> Result<Inserted, Unanswered> {
        let Some(known) = known else {
            return Ok(Inserted::Retired);
        };
        match self.stands(partition, known).await? {
            Stands::Retired => Ok(Inserted::Retired),
            Stands::Gone => Err(damaged(format!(
                "{partition}, slot {known}: it was there, and is not any more"
            ))),
            Stands::There => Err(Unanswered::Unknown(
                "rows were missing that an insert looks at, and are there".to_owned(),
            )),
        }
    }
}
