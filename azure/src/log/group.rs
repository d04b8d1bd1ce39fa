//! What stands in a slot: a group, or, in slot 0, who made the extent.
//!
//! A group says who made it, behind which group it was planned, and for which slot. Two groups with the same content are two groups: only the
//! id tells whether a slot holds one's own.

use std::fmt;

use bytes::Bytes;
use streamkit_engine::Timestamp;
use uuid::Uuid;

use super::codec::{FieldReader, FieldWriter, Malformed};
use crate::medium::{BlobKind, BlobName, ExtentId, SlotNumber};

const GROUP: [u8; 4] = *b"SKg1";
const EXTENT: [u8; 4] = *b"SKe1";

/// One start of a host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Boot {
    /// The host.
    pub host: Uuid,
    /// Random for each start.
    pub boot: Uuid,
}

/// The id of a group. No two groups have the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct GroupId {
    /// Who made it.
    pub by: Boot,
    /// Which of its groups it is, from 1.
    pub number: u64,
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.by.host, self.by.boot, self.number)
    }
}

/// A group as it stands in a slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// The extent that it was planned for.
    pub extent: ExtentId,
    /// The slot that it was planned for.
    pub slot: SlotNumber,
    /// The valid group before it; `None` for the first of a store. A group behind another one is void.
    pub predecessor: Option<GroupId>,
    /// Its commit time, never less than that of its predecessor.
    pub time: Timestamp,
    /// The extent where the log goes on, if this group is the last of its own.
    pub seal: Option<ExtentId>,
    /// What the ledger made.
    pub body: GroupBody,
}

/// The body of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupBody {
    /// In the slot.
    Inline(Bytes),
    /// In a blob, which was there before the slot.
    Blob {
        /// Its name, without the kind.
        id: Uuid,
        /// Its length.
        length: u64,
        /// Its checksum.
        checksum: u32,
    },
}

impl GroupBody {
    /// Stands for bytes in a blob of this name.
    pub fn in_blob(id: Uuid, bytes: &[u8]) -> Self {
        Self::Blob {
            id,
            length: bytes.len() as u64,
            checksum: crc32fast::hash(bytes),
        }
    }

    /// The name of a body's blob.
    pub fn blob_name(id: Uuid) -> BlobName {
        BlobName {
            kind: BlobKind::Body,
            id,
        }
    }
}

impl FieldWriter {
    pub(super) fn boot(&mut self, boot: Boot) -> &mut Self {
        self.uuid(boot.host).uuid(boot.boot)
    }

    pub(super) fn group_id(&mut self, id: GroupId) -> &mut Self {
        self.boot(id.by).u64(id.number)
    }

    pub(crate) fn predecessor(&mut self, id: Option<GroupId>) -> &mut Self {
        self.option(id, |fields, id| _ = fields.group_id(id))
    }
}

impl FieldReader<'_> {
    pub(super) fn boot(&mut self) -> Result<Boot, Malformed> {
        Ok(Boot {
            host: self.uuid()?,
            boot: self.uuid()?,
        })
    }

    pub(super) fn group_id(&mut self) -> Result<GroupId, Malformed> {
        Ok(GroupId {
            by: self.boot()?,
            number: self.u64()?,
        })
    }

    pub(crate) fn predecessor(&mut self) -> Result<Option<GroupId>, Malformed> {
        self.option(Self::group_id)
    }
}

impl Group {
    /// Most bytes that a group has beside its body.
    pub const OVERHEAD: usize = 256;

    /// Whether a group that does not follow the last valid one before its slot is void, and no proof of damage, where hosts have so many groups pinned at a
    /// time. Whoever makes a group knows all slots before it, but for those that its own pinned groups are to take: only behind one of these that lost its
    /// slot is it void.
    pub fn may_be_void(&self, depth: usize) -> bool {
        depth > 1 && self.predecessor.is_some_and(|before| before.by == self.id.by)
    }

    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut fields = FieldWriter::new(GROUP);
        fields.group_id(self.id).uuid(self.extent.0).u64(self.slot.0);
        fields.predecessor(self.predecessor).i64(self.time.0);
        fields.option(self.seal, |fields, next| _ = fields.uuid(next.0));
        match &self.body {
            GroupBody::Inline(bytes) => fields.u8(0).bytes(bytes),
            GroupBody::Blob { id, length, checksum } => fields.u8(1).uuid(*id).u64(*length).u32(*checksum),
        };
        fields.done()
    }

    /// The group of a slot.
    ///
    /// # Errors
    /// These bytes are no group, or one that was planned for another slot.
    pub fn decode(bytes: &Bytes, extent: ExtentId, slot: SlotNumber) -> Result<Self, Malformed> {
        let mut taken = FieldReader::new(bytes, GROUP, "group")?;
        let group = Self {
            id: taken.group_id()?,
            extent: ExtentId(taken.uuid()?),
            slot: SlotNumber(taken.u64()?),
            predecessor: taken.predecessor()?,
            time: Timestamp(taken.i64()?),
            seal: taken.option(FieldReader::uuid)?.map(ExtentId),
            body: match taken.u8()? {
                0 => GroupBody::Inline(taken.bytes()?),
                1 => GroupBody::Blob {
                    id: taken.uuid()?,
                    length: taken.u64()?,
                    checksum: taken.u32()?,
                },
                _ => return Err(taken.malformed()),
            },
        };
        taken.end()?;
        match group.extent == extent && group.slot == slot {
            true => Ok(group),
            false => Err(Malformed("group of this slot")),
        }
    }
}

/// The bytes of slot 0 of an extent that this start of a host makes.
pub fn first_slot(by: Boot) -> Bytes {
    let mut fields = FieldWriter::new(EXTENT);
    fields.boot(by);
    fields.done()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(body: GroupBody) -> Group {
        let by = Boot {
            host: Uuid::from_u128(1),
            boot: Uuid::from_u128(2),
        };
        Group {
            id: GroupId { by, number: 3 },
            extent: ExtentId(Uuid::from_u128(4)),
            slot: SlotNumber(5),
            predecessor: Some(GroupId { by, number: 2 }),
            time: Timestamp(-6),
            seal: Some(ExtentId(Uuid::from_u128(7))),
            body,
        }
    }

    #[test]
    fn a_group_is_what_its_bytes_say_and_cut_or_changed_bytes_are_none() {
        let inline = group(GroupBody::Inline(Bytes::from_static(b"body")));
        let blob = group(GroupBody::in_blob(Uuid::from_u128(8), b"a large one"));
        for group in [inline, blob] {
            let bytes = group.encode();
            assert!(bytes.len() <= Group::OVERHEAD);
            assert_eq!(Group::decode(&bytes, group.extent, group.slot), Ok(group.clone()));
            assert!(Group::decode(&bytes, group.extent, group.slot.next()).is_err());
            for at in 0..bytes.len() {
                assert!(Group::decode(&bytes.slice(..at), group.extent, group.slot).is_err());
                let mut changed = bytes.to_vec();
                changed[at] ^= 1;
                assert!(Group::decode(&changed.into(), group.extent, group.slot).is_err());
            }
        }
    }
}
