//! Finds the whole transactions in a damaged group. A transaction has a checksum but no salt, so it does not prove its
//! log. None counts unless the extent's index file, or the checkpoint, says that these entries stood there, committed
//! at that time.

use super::evidence::Evidence;
use crate::format::FormatError;
use crate::format::transaction::{TransactionHeader, check_metadata, check_structure, open_transaction};

/// Checks all of the transaction at the front of `bytes`.
pub(crate) fn whole_transaction(bytes: &[u8]) -> Result<(TransactionHeader, &[u8]), FormatError> {
    let (header, transaction) = open_transaction(bytes)?;
    check_structure(&header, transaction)?;
    check_metadata(&header, transaction)?;
    Ok((header, transaction))
}

/// Where the whole transactions in `bytes` start, which stand at byte `at` of an extent, each with its bytes. Each starts at
/// one of `starts` (bytes of the extent, in order), is the one that stood there as `evidence` says, and its number is higher
/// than the one before, and lower than `below`.
pub(crate) fn salvage(
    bytes: &[u8],
    at: u32,
    starts: &[u32],
    evidence: &Evidence,
    (mut last_number, below): (u64, u64),
) -> Vec<(u32, u32)> {
    let mut found = Vec::new();
    for &start in starts {
        let rest = start.checked_sub(at).and_then(|offset| bytes.get(offset as usize..));
        if let Some(Ok((header, transaction))) = rest.map(whole_transaction)
            && (last_number + 1..below).contains(&header.number)
            && evidence.proves(start, &header, transaction)
        {
            found.push((start, header.length));
            last_number = header.number;
        }
    }
    found
}
