//! Batches: entries as rows of transactions, whole as they stand in the log, or excerpts of them. Either has a checksum, and whoever
//! reads a batch compares it.

use bytes::Bytes;
use streamkit_record::transaction::{
    Kind, Section, TransactionHeader, check_structure, entries, open_transaction, sections,
};
use streamkit_record::{Cursor, Entry, FormatError, SegmentPath, Sequence, Timestamp};
use uuid::Uuid;

use super::malformed::Malformed;

/// A whole transaction follows.
const WHOLE: u8 = 1;
/// An excerpt follows.
const EXCERPT: u8 = 2;

/// Writes a transaction as it stands in the log, all of whose entries are wanted.
pub fn put_whole(out: &mut Vec<u8>, transaction: &[u8]) {
    out.push(WHOLE);
    out.extend_from_slice(transaction);
}

/// Writes sections of a transaction, each as in the log: `sections` writes them and tells how many.
pub fn put_excerpt(out: &mut Vec<u8>, header: &TransactionHeader, sections: impl FnOnce(&mut Vec<u8>) -> u16) {
    out.push(EXCERPT);
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&header.number.to_le_bytes());
    out.extend_from_slice(&header.timestamp.0.to_le_bytes());
    out.extend_from_slice(header.id.as_bytes());
    let count_at = out.len();
    out.extend_from_slice(&[0; 2]);
    let count = sections(out);
    out[count_at..count_at + 2].copy_from_slice(&count.to_le_bytes());
    let behind = start + 8;
    let bytes = u32::try_from(out.len() - behind).expect("a transaction has less than 4 GiB");
    let checksum = crc32fast::hash(&out[behind..]);
    out[start..start + 4].copy_from_slice(&bytes.to_le_bytes());
    out[start + 4..behind].copy_from_slice(&checksum.to_le_bytes());
}

/// Reads batches. It keeps the names of the segment that came last: most entries are of the same.
#[derive(Default, Debug)]
pub struct Batches {
    last: Option<SegmentPath>,
}

impl Batches {
    /// Reads the entries of one, in their order. They share its bytes.
    ///
    /// # Errors
    /// [`Malformed`], also if a checksum is wrong. What was read before it is in `out`.
    pub fn read(&mut self, batch: &Bytes, out: &mut Vec<Entry>) -> Result<(), Malformed> {
        let mut at = 0;
        while let Some(&kind) = batch.get(at) {
            at += 1;
            let rest = batch.slice(at..);
            at += match kind {
                WHOLE => self.whole(&rest, out)?,
                EXCERPT => self.excerpt(&rest, out)?,
                _ => return Err(Malformed("a piece of an unknown kind")),
            };
        }
        Ok(())
    }

    fn whole(&mut self, rest: &Bytes, out: &mut Vec<Entry>) -> Result<usize, Malformed> {
        let (header, transaction) = open_transaction(rest).map_err(damaged)?;
        if header.kind != Kind::Data {
            return Err(Malformed("a transaction without entries"));
        }
        check_structure(&header, transaction)?;
        for section in sections(&header, transaction) {
            self.section(rest, &header, &section?, out)?;
        }
        Ok(transaction.len())
    }

    fn excerpt(&mut self, rest: &Bytes, out: &mut Vec<Entry>) -> Result<usize, Malformed> {
        let mut from = Cursor::new(rest);
        let (bytes, checksum) = (from.u32()?, from.u32()?);
        let all = from.slice(bytes as usize)?;
        let taken = from.at();
        if crc32fast::hash(all) != checksum {
            return Err(damaged(FormatError::Checksum));
        }
        let mut from = Cursor::new(all);
        let (number, timestamp) = (from.u64()?, Timestamp(from.i64()?));
        let id = Uuid::from_bytes(from.array()?);
        let section_count = from.u16()?;
        let header = TransactionHeader {
            length: bytes,
            crc: checksum,
            kind: Kind::Data,
            section_count,
            record_count: 0,
            number,
            timestamp,
            id,
        };
        let excerpt = rest.slice(8..taken);
        let mut at = from.at();
        for _ in 0..section_count {
            let section = Section::decode(&excerpt, at)?;
            self.section(&excerpt, &header, &section, out)?;
            at += section.length();
        }
        match at == excerpt.len() {
            true => Ok(taken),
            false => Err(Malformed("an excerpt that its sections do not fill")),
        }
    }

    fn section(
        &mut self,
        buffer: &Bytes,
        header: &TransactionHeader,
        section: &Section<'_>,
        out: &mut Vec<Entry>,
    ) -> Result<(), Malformed> {
        let is_last = |path: &&SegmentPath| {
            path.space.as_str().as_bytes() == section.space && path.segment.as_str().as_bytes() == section.segment
        };
        let path = match self.last.as_ref().filter(is_last) {
            Some(path) => path.clone(),
            None => self.last.insert(section.path()?).clone(),
        };
        let all = Sequence::FIRST..=Sequence(u64::MAX);
        Ok(entries(buffer, 0, header, section, &path, all, out)?)
    }
}

fn damaged(error: FormatError) -> Malformed {
    match error {
        FormatError::Checksum => Malformed("an entry whose checksum does not match"),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use streamkit_record::transaction::{Encoded, put_section};
    use streamkit_record::{Record, SegmentAppend, Transaction};

    use super::*;

    fn section(segment: &str, first: u64, payloads: &[&'static str]) -> SegmentAppend {
        SegmentAppend {
            path: SegmentPath::new("orders", segment).unwrap(),
            first_sequence: Sequence(first),
            records: payloads.iter().map(|&payload| Record::new(payload)).collect(),
        }
    }

    /// A transaction of two segments, as it stands in the log.
    fn logged() -> (Transaction, Vec<u8>) {
        let transaction = Transaction {
            id: Uuid::from_u128(7),
            segments: vec![section("a", 2, &["x", "yy"]), section("b", 1, &["z"])],
            fence: None,
            conditions: Vec::new(),
        };
        let bytes = Encoded::data(&transaction).commit(9, Timestamp(5)).to_vec();
        (transaction, bytes)
    }

    fn told(entries: &[Entry]) -> Vec<(String, u64, &[u8])> {
        let told = |entry: &Entry| assert_eq!((entry.trx.number, entry.timestamp.0), (9, 5));
        entries.iter().for_each(told);
        let of = |entry: &'_ Entry| (entry.path.segment.as_str().to_owned(), entry.sequence.0);
        entries
            .iter()
            .map(|entry| {
                let (segment, sequence) = of(entry);
                (segment, sequence, &entry.payload[..])
            })
            .collect()
    }

    fn batch() -> Bytes {
        let (transaction, bytes) = logged();
        let (header, _) = open_transaction(&bytes).unwrap();
        let mut out = Vec::new();
        put_whole(&mut out, &bytes);
        put_excerpt(&mut out, &header, |out| {
            put_section(out, &transaction.segments[1]);
            1
        });
        out.into()
    }

    #[test]
    fn whole_transactions_and_excerpts_come_out_as_entries_in_order() {
        let mut entries = Vec::new();
        Batches::default().read(&batch(), &mut entries).unwrap();
        let (a, b) = ("a".to_owned(), "b".to_owned());
        assert_eq!(
            told(&entries),
            [
                (a.clone(), 2, &b"x"[..]),
                (a, 3, b"yy"),
                (b.clone(), 1, b"z"),
                (b, 1, b"z")
            ]
        );
    }

    #[test]
    fn no_changed_bit_of_a_batch_comes_out_as_an_entry() {
        let whole = batch();
        let mut entries = Vec::new();
        Batches::default().read(&whole, &mut entries).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut changed = whole.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            let mut came = Vec::new();
            let read = Batches::default().read(&changed.into(), &mut came);
            assert!(read.is_err() && entries.starts_with(&came), "bit {bit}");
        }
    }

    #[test]
    fn a_batch_cut_within_a_piece_is_malformed() {
        let whole = batch();
        let second = 1 + logged().1.len();
        for end in (1..whole.len()).filter(|&end| end != second) {
            let read = Batches::default().read(&whole.slice(..end), &mut Vec::new());
            assert!(read.is_err(), "{end}");
        }
    }
}
