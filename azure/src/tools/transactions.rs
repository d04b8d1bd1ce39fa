//! The transactions in the bodies of groups, in the engine's format.

use std::collections::HashMap;

use bytes::Bytes;
use streamkit_engine::archive::ArchivedFile;
use streamkit_engine::format::transaction::{
    Kind, Section, TransactionHeader, check_metadata, check_structure, open_transaction, sections,
};

use super::report::{Bodies, BodyCount};
use crate::ledger::Content;
use crate::log::Group;

/// Segments whose heads are followed.
const SEGMENTS_MAX: usize = 1_000_000;

/// Checks that each body is a row of whole transactions, of the commit time of their group, numbered without a hole, and that the sequences of each segment
/// follow each other.
#[derive(Debug, Default)]
pub struct Transactions {
    /// The number of the next one, if the one before it is known.
    next: Option<u64>,
    /// The heads of segments, as far as they are known.
    heads: HashMap<(Vec<u8>, Vec<u8>), u64>,
    count: BodyCount,
}

impl Transactions {
    fn transaction(&mut self, group: &Group, header: &TransactionHeader, bytes: &[u8]) -> Result<(), String> {
        let number = header.number;
        let wanted = self.next.replace(number.saturating_add(1));
        self.count.transactions += 1;
        if wanted.is_some_and(|wanted| wanted != number) {
            return Err(format!(
                "transaction {number} stands where {} has to be",
                wanted.unwrap_or_default()
            ));
        }
        if header.timestamp != group.time {
            return Err(format!("transaction {number} has another commit time than its group"));
        }
        let wrong = |why: streamkit_engine::format::FormatError| format!("transaction {number}: {why}");
        check_structure(header, bytes).map_err(wrong)?;
        check_metadata(header, bytes).map_err(wrong)?;
        for section in sections(header, bytes) {
            self.section(header, &section.map_err(wrong)?)?;
        }
        Ok(())
    }

    fn section(&mut self, header: &TransactionHeader, section: &Section<'_>) -> Result<(), String> {
        let path = (section.space.to_vec(), section.segment.to_vec());
        match header.kind {
            Kind::Data => {
                self.count.entries += u64::from(section.record_count);
                let is_followed = self.heads.len() < SEGMENTS_MAX || self.heads.contains_key(&path);
                let before = match is_followed {
                    true => self.heads.insert(path.clone(), section.last_sequence().0),
                    false => None,
                };
                match before {
                    Some(head) if section.first_sequence.0 != head + 1 => Err(format!(
                        "transaction {}: {}/{} goes on with sequence {} behind {head}",
                        header.number,
                        String::from_utf8_lossy(&path.0),
                        String::from_utf8_lossy(&path.1),
                        section.first_sequence.0,
                    )),
                    _ => Ok(()),
                }
            }
            // What comes of the segment begins anew.
            Kind::Delete => {
                self.heads.remove(&path);
                Ok(())
            }
            Kind::Open | Kind::Trim | Kind::Lease | Kind::Release => Ok(()),
        }
    }
}

impl Bodies for Transactions {
    fn check(&mut self, group: &Group, body: &Bytes) -> Result<(), String> {
        let mut left: &[u8] = body;
        while !left.is_empty() {
            let opened = open_transaction(left);
            let (header, bytes) = match opened {
                Ok(opened) => opened,
                Err(why) => {
                    self.hide();
                    let at = body.len() - left.len();
                    return Err(format!("byte {at} of its body: {why}"));
                }
            };
            left = &left[bytes.len()..];
            if let Err(why) = self.transaction(group, &header, bytes) {
                // One damage is told once.
                self.heads.clear();
                return Err(why);
            }
        }
        Ok(())
    }

    fn hide(&mut self) {
        self.next = None;
        self.heads.clear();
    }

    fn archived(&self, state: &Bytes) -> Result<Vec<ArchivedFile>, String> {
        let content = Content::decode(state).map_err(|why| why.to_string())?;
        Ok(content.snapshot.files().collect())
    }

    fn count(&self) -> BodyCount {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use streamkit_engine::format::transaction::Encoded;
    use streamkit_engine::{Record, SegmentPath, Sequence, Timestamp, Transaction};
    use uuid::Uuid;

    use super::*;
    use crate::log::{Boot, GroupBody, GroupId};
    use crate::medium::{ExtentId, SlotNumber};

    const TIME: Timestamp = Timestamp(7);

    fn group() -> Group {
        let by = Boot {
            host: Uuid::nil(),
            boot: Uuid::nil(),
        };
        Group {
            id: GroupId { by, number: 1 },
            extent: ExtentId(Uuid::nil()),
            slot: SlotNumber(1),
            predecessor: None,
            time: TIME,
            seal: None,
            body: GroupBody::Inline(Bytes::new()),
        }
    }

    /// A transaction of two records of one segment.
    fn bytes(number: u64, first: u64, time: Timestamp) -> Vec<u8> {
        let path = SegmentPath::new("space", "segment").unwrap();
        let records = vec![Record::new("x"), Record::new("y")];
        let mut encoded = Encoded::data(&Transaction::single(path, Sequence(first), records));
        encoded.commit(number, time).to_vec()
    }

    #[test]
    fn a_body_is_checked_from_its_first_transaction_to_its_last() {
        let check = |parts: &[Vec<u8>]| {
            let mut seen = Transactions::default();
            let checked = seen.check(&group(), &parts.concat().into());
            (checked.err().unwrap_or_default(), seen.count())
        };
        let good = [bytes(4, 1, TIME), bytes(5, 3, TIME)];
        let count = BodyCount {
            transactions: 2,
            entries: 4,
        };
        assert_eq!(check(&good), (String::new(), count));
        for (second, said) in [
            (bytes(6, 3, TIME), "transaction 6 stands where 5"),
            (bytes(5, 4, TIME), "goes on with sequence 4 behind 2"),
            (bytes(5, 3, Timestamp(8)), "another commit time"),
            (bytes(5, 3, TIME)[1..].to_vec(), "of its body"),
            (vec![0], "of its body"),
        ] {
            let (told, _) = check(&[good[0].clone(), second]);
            assert!(told.contains(said), "{told}");
        }
        // Behind what nobody has seen, anything may come.
        let mut seen = Transactions::default();
        seen.check(&group(), &good[0].clone().into()).unwrap();
        seen.hide();
        seen.check(&group(), &bytes(9, 9, TIME).into()).unwrap();
    }
}
