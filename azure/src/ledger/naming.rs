//! Names of archived files.

use streamkit_engine::archive::{ArchivedFile, FilePart};
use uuid::Uuid;

use crate::medium::{BlobKind, BlobName};

/// The blob of a file. Other bytes have another name: hosts that do not agree, by a mistake, harm none but themselves.
pub(crate) fn blob_name(file: &ArchivedFile) -> BlobName {
    let kind = match file.part {
        FilePart::Groups => BlobKind::Extent,
        FilePart::Index => BlobKind::Index,
    };
    let content = u64::from(file.bytes) << 32 | u64::from(file.checksum);
    let id = Uuid::from_u64_pair(file.extent, content);
    BlobName { kind, id }
}

#[cfg(test)]
mod tests {
    use super::*;
    use streamkit_engine::StoreId;

    #[test]
    fn files_that_differ_have_blobs_of_different_names() {
        let file = ArchivedFile {
            store: StoreId(Uuid::nil()),
            extent: 1,
            part: FilePart::Groups,
            bytes: 2,
            checksum: 3,
        };
        let others = [
            ArchivedFile { extent: 2, ..file },
            ArchivedFile { bytes: 3, ..file },
            ArchivedFile { checksum: 2, ..file },
            ArchivedFile {
                part: FilePart::Index,
                ..file
            },
        ];
        for other in others {
            assert_ne!(blob_name(&file), blob_name(&other));
        }
        assert_eq!(blob_name(&file), blob_name(&file.clone()));
    }
}
