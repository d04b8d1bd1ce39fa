//! An extent's first bytes as annotated hex: each field of docs/FORMAT.md with its bytes and meaning.

use crate::disk::DiskFile;
use crate::error::StorageError;
use crate::format::extent_header::{EXTENT_HEADER_BYTES, ExtentHeader};
use crate::format::group::{GROUP_HEADER_BYTES, GROUP_MAGIC, GroupHeader, salt_of};
use crate::format::transaction::{
    Kind, RECORD_HEADER_BYTES, SECTION_HEADER_BYTES, Section, TRANSACTION_HEADER_BYTES, TransactionHeader,
    open_transaction,
};
use crate::limits::{BLOCK_BYTES, TRANSACTION_ENCODED_BYTES_MAX};

/// Some bytes of a file and their meaning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HexLine {
    /// Where they stand in the file.
    pub at: u64,
    /// The bytes; for a long field, its first ones.
    pub bytes: Vec<u8>,
    /// The length of the field in bytes.
    pub length: u64,
    /// Their meaning, in words.
    pub meaning: String,
}

/// Most bytes shown of a long field.
const SHOWN_BYTES: usize = 32;

/// Annotates the header and the first `groups` groups of an extent. Stops where no group follows, or where `show` says so. In
/// memory is one group at a time, whose lines would take many times its bytes.
pub(crate) fn annotate(
    file: &dyn DiskFile,
    groups: usize,
    show: &mut dyn FnMut(HexLine) -> bool,
) -> Result<(), StorageError> {
    let io = |error| StorageError::io("read", file.path(), error);
    let size = file.size().map_err(io)?;
    let read = |at: u64, length: usize| -> Result<Vec<u8>, StorageError> {
        let mut bytes = vec![0; length.min(size.saturating_sub(at).min(u64::from(u32::MAX)) as usize)];
        let read = file.read_at(at, &mut bytes).map_err(io)?;
        bytes.truncate(read);
        Ok(bytes)
    };
    let head = read(0, EXTENT_HEADER_BYTES)?;
    let mut hex = Hex {
        bytes: &head,
        start: 0,
        at: 0,
        show,
        go_on: true,
    };
    let header = ExtentHeader::decode(&head);
    hex.extent_header();
    hex.whole(header.is_ok(), "the header");
    let mut go_on = hex.go_on;
    let mut at = EXTENT_HEADER_BYTES as u64;
    for _ in 0..groups {
        if !go_on {
            break;
        }
        let mut bytes = read(at, GROUP_HEADER_BYTES)?;
        let block = at.next_multiple_of(BLOCK_BYTES as u64);
        if bytes.get(..4) != Some(&GROUP_MAGIC) && block != at {
            let behind = read(block, GROUP_HEADER_BYTES)?;
            if behind.get(..4) == Some(&GROUP_MAGIC) {
                (at, bytes) = (block, behind);
            }
        }
        let salt = match &header {
            Ok(header) => Some(header.salt),
            Err(_) => salt_of(&bytes),
        };
        let decoded = salt.and_then(|salt| GroupHeader::decode(salt, &bytes).ok());
        let Some(group) = decoded else {
            let meaning = match bytes.iter().all(|&byte| byte == 0) {
                true => "nothing: no group stands here".to_owned(),
                false => "NOT a whole group's header".to_owned(),
            };
            show(line(at, &bytes, bytes.len(), meaning));
            break;
        };
        let length = (group.body_bytes as usize).min(TRANSACTION_ENCODED_BYTES_MAX.saturating_mul(2));
        let body = read(at + GROUP_HEADER_BYTES as u64, length)?;
        bytes.extend_from_slice(&body);
        let mut hex = Hex {
            bytes: &bytes,
            start: at,
            at: 0,
            show,
            go_on: true,
        };
        hex.group_header(&group);
        hex.whole(group.check_body(&body).is_ok(), "the body");
        hex.transactions();
        go_on = hex.go_on;
        at += group.span() as u64;
    }
    Ok(())
}

fn line(at: u64, bytes: &[u8], length: usize, meaning: String) -> HexLine {
    HexLine {
        at,
        bytes: bytes.iter().take(SHOWN_BYTES).copied().collect(),
        length: length as u64,
        meaning,
    }
}

/// Goes through bytes field by field; what is not there any more is not shown.
struct Hex<'a> {
    bytes: &'a [u8],
    /// Where they stand in the file.
    start: u64,
    at: usize,
    show: &'a mut dyn FnMut(HexLine) -> bool,
    /// Whether more is wanted.
    go_on: bool,
}

impl Hex<'_> {
    fn show(&mut self, line: HexLine) {
        self.go_on = self.go_on && (self.show)(line);
    }

    fn field(&mut self, length: usize, meaning: impl FnOnce(&[u8]) -> String) {
        let end = self.at.saturating_add(length).min(self.bytes.len());
        let bytes = &self.bytes[self.at..end];
        if !bytes.is_empty() {
            let meaning = meaning(bytes);
            self.show(line(self.start + self.at as u64, bytes, bytes.len(), meaning));
        }
        self.at = end;
    }

    fn number(&mut self, length: usize, name: &str) {
        self.field(length, |bytes| format!("{name}: {}", little(bytes)));
    }

    fn sum(&mut self, name: &str) {
        self.field(4, |bytes| format!("{name}: {:#010x}", little(bytes)));
    }

    fn text(&mut self, length: usize, name: &str) {
        self.field(length, |bytes| {
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES)]);
            format!("{name}: {}", text.escape_debug())
        });
    }

    fn id(&mut self, name: &str) {
        self.field(16, |bytes| {
            let id = uuid::Uuid::from_slice(bytes).map(|id| id.to_string());
            format!("{name}: {}", id.unwrap_or_else(|_| "cut off".to_owned()))
        });
    }

    /// Says of what came last whether its checksum is right.
    fn whole(&mut self, is_whole: bool, what: &str) {
        let at = self.start + self.at as u64;
        let meaning = match is_whole {
            true => format!("{what} is whole"),
            false => format!("{what} is NOT whole: its checksum does not match, or it ends too early"),
        };
        self.show(line(at, &[], 0, meaning));
    }

    fn extent_header(&mut self) {
        self.text(8, "magic");
        self.number(2, "format version");
        self.number(2, "stage (0: begun, 1: only prepared)");
        self.sum("checksum of this block");
        self.id("store");
        self.number(8, "extent");
        self.number(8, "oldest extent");
        self.number(8, "bytes of the file");
        self.number(4, "where the groups of the extent before end");
        self.sum("chain: link of the last group before");
        self.number(8, "epoch");
        self.number(8, "last group before");
        self.number(8, "last transaction before");
        self.number(8, "its commit time, Unix milliseconds");
        self.sum("salt");
        self.number(4, "durable mark, 0 for none");
        self.field(EXTENT_HEADER_BYTES, |bytes| match bytes.iter().all(|&byte| byte == 0) {
            true => "zeros".to_owned(),
            false => "NOT only zeros".to_owned(),
        });
    }

    fn group_header(&mut self, group: &GroupHeader) {
        self.text(4, "group, magic");
        self.sum("link: checksum of salt and header");
        self.sum("checksum of the body");
        self.number(4, "bytes of the body");
        self.sum("chain: link of the group before");
        self.number(4, "transactions");
        self.number(8, "group");
        self.number(8, "epoch");
        self.field(12, |_| format!("durable mark: {}", group.durable));
        self.number(4, "extent");
        self.id("writer");
    }

    fn transactions(&mut self) {
        while self.go_on && self.at < self.bytes.len() {
            let rest = &self.bytes[self.at..];
            let length = rest
                .first_chunk()
                .map_or(0, |length| u32::from_le_bytes(*length) as usize);
            let end = match TransactionHeader::decode(rest) {
                Ok(_) if length <= rest.len() => self.at + length,
                _ => {
                    self.field(usize::MAX, |_| "NOT a transaction".to_owned());
                    return;
                }
            };
            let is_whole = open_transaction(rest).is_ok();
            self.transaction(end);
            self.at = end;
            self.whole(is_whole, "the transaction");
        }
    }

    fn transaction(&mut self, end: usize) {
        let start = self.at;
        let all = &self.bytes[start..end];
        let Ok(header) = TransactionHeader::decode(all) else {
            return;
        };
        self.number(4, "transaction, bytes");
        self.sum("checksum from byte 8 on");
        self.field(1, |_| format!("kind: {:?}", header.kind).to_lowercase());
        self.number(1, "flags");
        self.number(2, "sections");
        self.number(4, "records");
        self.number(8, "number");
        self.number(8, "commit time, Unix milliseconds");
        self.id("the producer's id");
        let mut offset = TRANSACTION_HEADER_BYTES;
        for _ in 0..header.section_count {
            let Ok(section) = Section::decode(all, offset) else {
                self.field(end - self.at, |_| "NOT a section".to_owned());
                return;
            };
            offset += section.length();
            self.section(header.kind, &section, start + offset);
        }
    }

    fn section(&mut self, kind: Kind, section: &Section<'_>, end: usize) {
        self.number(4, "section, bytes");
        self.number(2, "bytes of the space's name");
        self.number(2, "bytes of the segment's name");
        self.number(4, "records");
        match kind {
            Kind::Lease | Kind::Release => self.number(8, "fencing token"),
            _ => self.number(8, "first sequence"),
        }
        debug_assert_eq!(SECTION_HEADER_BYTES, 20);
        let (space, segment) = match kind {
            Kind::Lease | Kind::Release => ("key", "holder"),
            _ => ("space", "segment"),
        };
        self.text(section.space.len(), space);
        self.text(section.segment.len(), segment);
        if kind == Kind::Trim {
            self.number(8, "commit time of that entry");
        }
        if kind == Kind::Lease {
            self.number(8, "time to live, milliseconds");
        }
        for _ in 0..section.record_count {
            let head = self
                .bytes
                .get(self.at..end)
                .and_then(|rest| rest.first_chunk::<RECORD_HEADER_BYTES>());
            let Some(&[a, b, c, d, e, f, g, h]) = head else { break };
            self.number(4, "record, bytes of metadata");
            self.number(4, "bytes of payload");
            let left = end.saturating_sub(self.at);
            let metadata = (u32::from_le_bytes([a, b, c, d]) as usize).min(left);
            self.text(metadata, "metadata");
            let left = end.saturating_sub(self.at);
            self.text((u32::from_le_bytes([e, f, g, h]) as usize).min(left), "payload");
        }
        if self.at < end {
            self.field(end - self.at, |_| "behind the records".to_owned());
        }
    }
}

/// A number of up to eight bytes.
fn little(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, &byte| number << 8 | u64::from(byte))
}
