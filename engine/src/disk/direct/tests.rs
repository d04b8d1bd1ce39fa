//! Tests of [`super`].

use super::*;
use crate::disk::nonblocking::without_waiting;
use crate::error::StorageError;

#[test]
fn what_must_not_wait_reads_what_is_cached_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, vec![7; 1 << 20]).unwrap();
    let file = Direct::default().open(&path, OpenMode::Read).unwrap();
    let mut buffer = vec![0; 4096];
    let mut read = |offset, length| {
        without_waiting(|| {
            let read = file.read_at(offset, &mut buffer[..length]);
            read.map_err(|e| StorageError::io("read", &path, e))
        })
    };
    let cached = read(4096, 4096);
    if cached.is_none() {
        return eprintln!("skipped: this file system cannot tell whether a read would wait");
    }
    assert_eq!(cached.unwrap().unwrap(), 4096);
    assert_eq!(
        read((1 << 20) - 10, 100).unwrap().unwrap(),
        10,
        "as far as the file goes"
    );
    let opened = without_waiting(|| {
        let opened = Direct::default().open(&path, OpenMode::Read);
        opened.map(|_| ()).map_err(|e| StorageError::io("open", &path, e))
    });
    assert!(opened.is_none(), "to open a file may wait");
    let many = without_waiting(|| {
        let one = || file.read_at(0, &mut [0; 1]);
        let all = (0..1000).try_for_each(|_| one().map(|_| ()));
        all.map_err(|e| StorageError::io("read", &path, e))
    });
    assert!(many.is_none(), "a long way is left to others");
    let forgotten = std::fs::File::open(&path).unwrap();
    forgotten.sync_all().unwrap();
    rustix::fs::fadvise(&forgotten, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    assert!(read(512 << 10, 4096).is_none(), "the device has to be asked");
    assert_eq!(
        file.read_at(512 << 10, &mut [0; 9]).unwrap(),
        9,
        "who may wait reads it"
    );
}
