//! Continues a pass where no whole group follows: looks for the next one, takes from between whatever is proven to be
//! of this log, and notes the place.

use super::Pass;
use crate::directory::names::FileName;
use crate::error::StorageError;
use crate::format::extent_header::{EXTENT_HEADER_BYTES, LogState};
use crate::format::group::{GROUP_HEADER_BYTES, GroupHeader};
use crate::format::transaction::{TRANSACTION_HEADER_BYTES, TransactionHeader, take_transaction};
use crate::limits::BLOCK_BYTES;
use crate::log::walk::Walk;
use crate::offline::Damage;
use crate::offline::evidence::Evidence;
use crate::offline::files::{ExtentFile, SealedEnd};
use crate::offline::salvage::salvage;
use crate::offline::scan::{Scanned, groups_from};
use crate::offline::scattered::Scattered;
use streamkit_record::LogPosition;

impl Pass<'_> {
    /// Notes that no whole group is at `here`, and goes on behind it; returns where the extent ends if nothing follows.
    /// `bound` is where the groups that were durable end, as far as that is known.
    pub(super) fn beyond(
        &mut self,
        walk: &mut Walk,
        here: LogPosition,
        bound: u64,
        sealed: bool,
    ) -> Result<Option<u32>, StorageError> {
        let LogPosition { extent, byte } = here;
        self.scan(walk, here)?;
        let state = walk.state;
        let last = self.files.next_header(extent).map(|next| next.state.group_number);
        let is_known = matches!(&self.evidence, Some((_, Some(evidence))) if evidence.until == u64::MAX);
        let durable = self.durable(extent);
        let wanted = |group: &Scanned| match sealed {
            // Behind the end, and of a number that belongs before it: pushed there, or left by a crash; the index file tells.
            true => u64::from(group.at) < bound || is_known && last.is_some_and(|last| group.number <= last),
            false => durable.lets_follow(&state, group),
        };
        let next = self.scattered.as_mut();
        let next = next.and_then(|scattered| scattered.next(state.group_number, state.epoch, wanted));
        let head = match next {
            Some(group) => {
                let salt = walk.salt();
                let head = walk.bytes(group.at, u64::from(group.at) + GROUP_HEADER_BYTES as u64)?;
                let decoded = GroupHeader::decode(salt, head);
                decoded.ok().map(|header| (group, header))
            }
            None => None,
        };
        let Some((group, header)) = head else {
            let end = bound.max(u64::from(byte)).min(u64::from(u32::MAX));
            self.hole(walk, here, end, "a group that is not whole", u64::MAX)?;
            return Ok(Some((end as u32).min(walk.limit() as u32).max(byte)));
        };
        let at = group.at;
        let follows = header.number == state.group_number + 1 && header.chain == state.chain;
        let in_place = at == byte || at == byte.next_multiple_of(BLOCK_BYTES as u32);
        if let Some(scattered) = &mut self.scattered {
            let passes_over = scattered.has_later_between(byte, at, header.number);
            scattered.displaced |= at < byte || follows && !in_place || passes_over;
        }
        if !follows {
            let lost = header.number - state.group_number - 1;
            let found = match lost {
                0 => "a group that does not continue the one before".to_owned(),
                1 => format!("group {} is not whole", header.number - 1),
                _ => format!(
                    "groups {} to {} are not whole",
                    state.group_number + 1,
                    header.number - 1
                ),
            };
            let below = self.first_number(walk, group)?;
            self.hole(walk, here, u64::from(at.max(byte)), &found, below)?;
        } else if !in_place {
            let found = format!("no group: group {} stands at byte {at} instead", header.number);
            self.hole(walk, here, u64::from(byte), &found, 0)?;
        }
        let body_at = at + GROUP_HEADER_BYTES as u32;
        let end = u64::from(body_at) + u64::from(header.body_bytes);
        let is_whole = header.check_body(walk.bytes(body_at, end)?).is_ok();
        if is_whole {
            walk.go_to(at, &header);
        } else {
            let found = format!("the transactions of group {} are not whole", header.number);
            let place = LogPosition { extent, byte: at };
            self.hole(walk, place, end, &found, u64::MAX)?;
            walk.go_past(at, &header);
        }
        Ok(None)
    }

    /// What is known to have been durable of an extent.
    fn durable(&self, extent: u64) -> Durable {
        let of_this = |position: LogPosition| (position.extent == extent).then_some(position.byte);
        let known = self.files.known_durable.and_then(of_this);
        let groups = self.scattered.as_ref().map(Scattered::durable);
        let checkpoint = self.files.checkpoint.as_ref();
        let checkpoint = checkpoint.filter(|found| found.position.extent == extent);
        Durable {
            byte: known.max(groups).unwrap_or(0),
            group: checkpoint.map_or(0, |found| found.state.group_number),
            group_end: checkpoint.map_or(0, |found| found.position.byte),
        }
    }

    /// Looks for all groups of an extent, at the first place where none follows.
    fn scan(&mut self, walk: &Walk, here: LogPosition) -> Result<(), StorageError> {
        if self.scattered.is_some() {
            return Ok(());
        }
        self.read_evidence(here);
        let state = &walk.state;
        let groups = groups_from(
            walk.file(),
            walk.limit(),
            (here.extent, walk.salt()),
            (state.group_number.saturating_add(1), state.epoch),
        )?;
        self.scattered = Some(Scattered::new(groups, here.byte));
        Ok(())
    }

    /// Everything in the extent before `here` is whole.
    pub(super) fn read_evidence(&mut self, here: LogPosition) {
        if self.evidence.as_ref().is_none_or(|&(of, _)| of != here.extent) {
            let mut evidence = Evidence::read(self.files, here.extent);
            if let Some(evidence) = &mut evidence {
                evidence.begin_at(here.byte);
            }
            self.evidence = Some((here.extent, evidence));
        }
    }

    /// The number of a whole group's first transaction.
    fn first_number(&self, walk: &mut Walk, group: Scanned) -> Result<u64, StorageError> {
        let from = group.at + GROUP_HEADER_BYTES as u32;
        let to = u64::from(from) + TRANSACTION_HEADER_BYTES as u64;
        let header = TransactionHeader::decode(walk.bytes(from, to)?);
        Ok(match header {
            Ok(header) if group.whole => header.number,
            _ => u64::MAX,
        })
    }

    /// No group follows where a walk has come to, in an extent whose groups changed places: it goes on with the next one
    /// wherever that stands, or returns where the extent ends.
    pub(super) fn behind_displaced(
        &mut self,
        walk: &mut Walk,
        here: LogPosition,
        sealed_end: Option<SealedEnd>,
    ) -> Result<Option<u32>, StorageError> {
        let state = walk.state;
        let durable = self.durable(here.extent);
        let Some(scattered) = &mut self.scattered else {
            return Ok(Some(here.byte));
        };
        let reached = scattered.end();
        match sealed_end {
            Some((end, chain)) if chain == state.chain => return Ok(Some(end.max(reached))),
            sealed_end => {
                let wanted = |group: &Scanned| sealed_end.is_some() || durable.lets_follow(&state, group);
                if scattered.has_more(state.group_number, state.epoch, wanted) {
                    return self.beyond(walk, here, u64::MAX, sealed_end.is_some());
                }
            }
        }
        let known = self.files.known_durable.filter(|known| known.extent == here.extent);
        let bound = sealed_end.map(|(end, _)| end).or(known.map(|known| known.byte));
        if sealed_end.is_some() || bound > Some(reached) {
            let place = LogPosition { byte: reached, ..here };
            let end = bound.unwrap_or(reached).max(reached);
            self.hole(walk, place, end.into(), "a group that is not whole", u64::MAX)?;
        }
        Ok(Some(bound.unwrap_or(reached).max(reached).min(walk.limit() as u32)))
    }

    /// Bytes that were skipped, since groups changed places, are damage.
    pub(super) fn end_scattered(&mut self, extent: &ExtentFile, number: u64, end: u32) -> Result<(), StorageError> {
        let Some(mut scattered) = self.scattered.take().filter(|scattered| scattered.displaced) else {
            return Ok(());
        };
        for &hole in &self.findings.holes {
            let damage = &self.findings.damage[hole];
            if damage.extent == number {
                scattered.cover(damage.byte as u32, damage.end.min(end.into()) as u32);
            }
        }
        let start = LogPosition {
            extent: number,
            byte: EXTENT_HEADER_BYTES as u32,
        };
        let mut walk = Walk::new(extent.file.clone(), 0, start, self.state)?;
        for (from, to) in scattered.gaps(end) {
            let is_filling = to - from < BLOCK_BYTES as u32 && is_zero(&mut walk, from, to.into())?;
            if !is_filling {
                let place = LogPosition { byte: from, ..start };
                self.hole(&mut walk, place, to.into(), "bytes of no group of this extent", 0)?;
            }
        }
        Ok(())
    }

    /// Notes a hole of the log from `here` to `end`, and the whole transactions in it with numbers lower than `below`, which count if
    /// they are asked for.
    fn hole(
        &mut self,
        walk: &mut Walk,
        here: LogPosition,
        end: u64,
        found: &str,
        below: u64,
    ) -> Result<(), StorageError> {
        let LogPosition { extent, byte } = here;
        self.read_evidence(here);
        let last_number = self.state.trx_number;
        let bytes = walk.bytes(byte, end)?;
        let mut whole = Vec::new();
        let mut is_all = false;
        if let Some((_, Some(evidence))) = &self.evidence {
            let mut starts = evidence.starts(byte, end);
            starts.retain(|&start| self.scattered.as_ref().is_none_or(|found| !found.is_in_whole(start)));
            whole = salvage(bytes, byte, &starts, evidence, (last_number, below));
            is_all = evidence.until >= end;
        }
        let path = self.files.path(FileName::Extent(extent));
        let mut damage = Damage::without_loss(path, extent, u64::from(byte), found);
        damage.end = end;
        damage.whole_transactions = whole.len() as u64;
        damage.affected_is_all = is_all;
        self.findings.hole(damage);
        if !self.files.take_unproven {
            return Ok(());
        }
        self.in_hole = true;
        for (at, length) in whole {
            let start = (at - byte) as usize;
            let Some(bytes) = bytes.get(start..start + length as usize) else {
                continue;
            };
            if let Ok((header, transaction)) = take_transaction(bytes) {
                let at = LogPosition { extent, byte: at };
                self.transaction(at, &header, transaction)?;
            }
        }
        self.in_hole = false;
        Ok(())
    }

    /// Nothing tells the salt of an extent: none of its groups can be known.
    pub(super) fn without_salt(
        &mut self,
        number: u64,
        extent: &ExtentFile,
        sealed_end: Option<SealedEnd>,
    ) -> Result<u32, StorageError> {
        let here = LogPosition {
            extent: number,
            byte: EXTENT_HEADER_BYTES as u32,
        };
        let known = self.files.known_durable.filter(|&known| known > here);
        let durable = known
            .filter(|known| known.extent == number)
            .map_or(0, |known| u64::from(known.byte));
        let end = sealed_end.map_or(extent.size.max(durable), |(end, _)| u64::from(end));
        let end = end.max(u64::from(here.byte)).min(u64::from(u32::MAX));
        let mut walk = Walk::new(extent.file.clone(), 0, here, self.state)?;
        // One that is only prepared holds nothing; but that is all that can be said.
        if sealed_end.is_none() && known.is_none() && is_zero(&mut walk, here.byte, end)? {
            let damage = self.findings.damage.iter_mut();
            damage
                .filter(|damage| damage.extent == number)
                .for_each(|damage| damage.affected_is_all = false);
            return Ok(here.byte);
        }
        self.hole(
            &mut walk,
            here,
            end,
            "groups of which nothing proves that they are of this extent",
            0,
        )?;
        // Behind what the checkpoint tells of an open extent, more may have been durable.
        if let (None, Some(&hole)) = (sealed_end, self.findings.holes.last()) {
            self.findings.damage[hole].affected_is_all = false;
        }
        Ok(end as u32)
    }
}

/// How far the log was durable for sure, in an extent of which nothing tells that it is sealed.
#[derive(Clone, Copy)]
struct Durable {
    /// Up to this byte.
    byte: u32,
    /// Up to the group of this number.
    group: u64,
    /// Where that ends.
    group_end: u32,
}

impl Durable {
    /// Whether a group counts behind where a walk has come to: it was durable, or all that is missing before it was and it is whole.
    /// Anything else may be left of writes that were torn and never acknowledged.
    fn lets_follow(self, state: &LogState, group: &Scanned) -> bool {
        // One that was moved to where durable bytes were is not durable for that: it was written behind what was durable then.
        let in_place = group.at >= group.durable && (group.number <= self.group || group.at >= self.group_end);
        let is_durable = group.number <= self.group || in_place && group.end <= self.byte;
        let continues = group.number == state.group_number + 1 && group.chain == state.chain;
        // One that begins with the next block is not next: a smaller one under way beside it may have stood between.
        let is_next = in_place && group.at <= self.byte;
        is_durable || group.whole && (continues || is_next)
    }
}

fn is_zero(walk: &mut Walk, from: u32, to: u64) -> Result<bool, StorageError> {
    const STEP: u64 = 1 << 20;
    let mut at = u64::from(from);
    while at < to {
        let bytes = walk.bytes(at as u32, to.min(at + STEP))?;
        if bytes.is_empty() {
            break;
        }
        if bytes.iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        at += bytes.len() as u64;
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
