//! The transactions of a group: checks, reports and accounts for each.

use super::Pass;
use crate::directory::names::FileName;
use crate::error::StorageError;
use crate::format::group::{GROUP_HEADER_BYTES, GroupHeader};
use crate::format::transaction::{Kind, TransactionHeader, sections, take_transaction};
use crate::offline::Damage;
use crate::offline::headers::{Body, wrong_in_group};
use crate::offline::salvage::whole_transaction;
use streamkit_record::LogPosition;

impl Pass<'_> {
    /// A whole group, behind one of `epoch_before`.
    pub(super) fn group(
        &mut self,
        at: LogPosition,
        header: &GroupHeader,
        epoch_before: u64,
        body: &[u8],
    ) -> Result<(), StorageError> {
        let epoch_before = (!self.findings.has_hole()).then_some(epoch_before);
        self.sink.group(at, header)?;
        let byte = at.byte + GROUP_HEADER_BYTES as u32;
        let read = self.body(LogPosition { byte, ..at }, body)?;
        for found in wrong_in_group(at, header, epoch_before, read) {
            if header.transaction_count > read.transactions {
                self.findings.broken(self.files, at, header.span() as u64, found);
            } else {
                let path = self.files.path(FileName::Extent(at.extent));
                let damage = Damage::without_loss(path, at.extent, at.byte.into(), found);
                self.findings.damage.push(damage);
            }
        }
        Ok(())
    }

    /// The transactions of a whole group.
    pub(super) fn body(&mut self, start: LogPosition, body: &[u8]) -> Result<Body, StorageError> {
        let mut read = Body::default();
        let mut offset = 0;
        while offset < body.len() {
            let at = LogPosition {
                byte: start.byte + offset as u32,
                ..start
            };
            match whole_transaction(&body[offset..]) {
                Ok((header, transaction)) => {
                    read.opens |= offset == 0 && header.kind == Kind::Open;
                    offset += transaction.len();
                    self.transaction(at, &header, transaction)?;
                }
                Err(error) => {
                    self.findings.broken(
                        self.files,
                        at,
                        (body.len() - offset) as u64,
                        format!("a transaction: {error}"),
                    );
                    match take_transaction(&body[offset..]) {
                        Ok((_, transaction)) => offset += transaction.len(),
                        Err(_) => return Ok(read),
                    }
                }
            }
            read.transactions += 1;
        }
        Ok(read)
    }

    pub(super) fn transaction(
        &mut self,
        at: LogPosition,
        header: &TransactionHeader,
        transaction: &[u8],
    ) -> Result<(), StorageError> {
        let expected = self.state.trx_number.saturating_add(1);
        if header.number < expected {
            self.findings.broken(
                self.files,
                at,
                transaction.len() as u64,
                "a transaction out of order".to_owned(),
            );
            return Ok(());
        }
        let lost = header.number - expected;
        if lost > 0 && self.findings.pending.is_empty() {
            let found = format!("transactions {expected} to {} are missing before it", header.number - 1);
            self.findings.broken(self.files, at, 0, found);
        }
        if self.in_hole {
            self.findings.pending_lost = self.findings.pending_lost.saturating_add(lost);
        } else if !self.findings.pending.is_empty() {
            self.findings.resume(lost);
        }
        self.state.trx_number = header.number;
        self.state.last_timestamp = header.timestamp;
        if let Some((_, Some(evidence))) = &mut self.evidence {
            let is_index = evidence.until == u64::MAX;
            if is_index && header.kind == Kind::Data && evidence.contradicts(header, transaction) {
                return Ok(());
            }
            let is_displaced = self.scattered.as_ref().is_some_and(|found| found.displaced);
            let lost = match header.kind {
                Kind::Data => evidence.found(header, transaction),
                _ => evidence.before(header.timestamp, (!is_displaced).then_some(at.byte)),
            };
            self.lost(at.extent, lost)?;
        }
        let checkpoint = self.files.checkpoint.as_ref();
        if checkpoint.is_some_and(|checkpoint| header.number > checkpoint.state.trx_number) {
            self.compare();
        }
        self.account(at, header, transaction);
        self.sink.transaction(at, header, transaction, &mut self.findings)
    }

    /// Writes a whole transaction into the ledger, if there is one.
    pub(super) fn account(&mut self, at: LogPosition, header: &TransactionHeader, transaction: &[u8]) {
        if self.findings.ledger.is_none() {
            return;
        }
        for section in sections(header, transaction).flatten() {
            let Ok(path) = section.path() else { continue };
            let Some(ledger) = &mut self.findings.ledger else {
                return;
            };
            match header.kind {
                Kind::Open | Kind::Lease | Kind::Release => {}
                Kind::Trim => ledger.trimmed(path, section.first_sequence),
                Kind::Delete => ledger.deleted(&path),
                Kind::Data if section.record_count == 0 => {}
                Kind::Data => {
                    let first = section.first_sequence.0;
                    let continues = ledger.continues(&path, first);
                    if !continues && !self.findings.has_hole() {
                        let found = "a section that does not continue its segment".to_owned();
                        self.findings.broken(self.files, at, section.length() as u64, found);
                    }
                    let hole = self.findings.open_hole();
                    let last = first.saturating_add(u64::from(section.record_count) - 1);
                    if let Some(ledger) = &mut self.findings.ledger {
                        let checkpoint = self.files.checkpoint.as_ref();
                        ledger.found(path, (first, last), header.timestamp, checkpoint, hole);
                    }
                }
            }
        }
    }
}
