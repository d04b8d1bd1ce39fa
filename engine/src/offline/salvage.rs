//! Finds the whole transactions in a place where a group is not whole. A transaction has a checksum, but no salt: so none is
//! looked for at any byte, where a payload could pose as one, but only where one must start.

use crate::format::FormatError;
use crate::format::transaction::{
    TRANSACTION_HEADER_BYTES, TransactionHeader, check_metadata, check_structure, open_transaction,
};

/// Checks all of the transaction at the front of `bytes`.
pub(crate) fn whole_transaction(bytes: &[u8]) -> Result<(TransactionHeader, &[u8]), FormatError> {
    let (header, transaction) = open_transaction(bytes)?;
    check_structure(&header, transaction)?;
    check_metadata(&header, transaction)?;
    Ok((header, transaction))
}

/// Where the whole transactions in `bytes` start, which stand at byte `at` of an extent, each with its bytes. They start at
/// one of `starts` (bytes of the extent, in order), or behind another whose length is right. Their numbers rise, from
/// above `last_number`.
pub(crate) fn salvage(bytes: &[u8], at: u32, starts: &[u32], mut last_number: u64) -> Vec<(u32, u32)> {
    let mut found = Vec::new();
    let mut next = 0;
    for &start in starts {
        let Some(mut offset) = start.checked_sub(at).map(|offset| offset as usize) else {
            continue;
        };
        if offset < next {
            continue;
        }
        while let Some(rest) = bytes
            .get(offset..)
            .filter(|rest| rest.len() >= TRANSACTION_HEADER_BYTES)
        {
            match whole_transaction(rest) {
                Ok((header, transaction)) if header.number > last_number => {
                    found.push((at + offset as u32, header.length));
                    last_number = header.number;
                    offset += transaction.len();
                    next = offset;
                }
                _ => match behind(rest, last_number) {
                    Some(length) => offset += length,
                    None => break,
                },
            }
        }
    }
    found
}

/// The length of the damaged transaction at the front of `bytes`, if it is right: a whole one follows.
fn behind(bytes: &[u8], last_number: u64) -> Option<usize> {
    let length = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    let rest = bytes.get(length.max(TRANSACTION_HEADER_BYTES)..)?;
    let (header, _) = whole_transaction(rest).ok()?;
    (header.number > last_number).then_some(length.max(TRANSACTION_HEADER_BYTES))
}
