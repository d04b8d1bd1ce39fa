//! What the ring promises.

use super::*;
use crate::disk::direct::Direct;
use crate::disk::traits::Disk as _;
use crate::limits::BLOCK_BYTES;

fn block(content: u64) -> Blocks {
    let mut blocks = Blocks::default();
    for _ in 0..BLOCK_BYTES / 8 {
        blocks.extend_from_slice(&content.to_le_bytes());
    }
    blocks
}

#[test]
fn the_lock_of_a_folder_stands_as_long_as_a_ring_may_write_into_it_and_no_longer() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..20 {
        let Ok(ring) = Ring::new() else {
            return eprintln!("skipped: no io_uring here");
        };
        let open = || File::create(dir.path().join("lock")).unwrap();
        let lock = open();
        lock.try_lock().unwrap();
        ring.hold(&lock).unwrap();
        drop(lock); // as a killed process does: nobody unlocks it
        assert!(open().try_lock().is_err());
        drop(ring);
        open().try_lock().expect("what the ring held is given up by then");
    }
}

#[test]
fn many_writes_end_each_with_its_own_outcome_and_a_wait_ends_when_woken() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Direct::default();
    let Ok(mut ring) = Ring::new() else {
        return eprintln!("skipped: no io_uring here");
    };
    let writes = 3 * u64::from(ENTRIES);
    let file = disk.open_log(&dir.path().join("file"), true).unwrap();
    file.grow(0, &Blocks::zeros((writes as usize + 1) * BLOCK_BYTES))
        .unwrap();
    for ticket in 0..writes {
        ring.start(ticket, Arc::clone(&file), ticket * BLOCK_BYTES as u64, block(ticket));
    }
    let mut ended = Vec::new();
    while ended.len() < writes as usize {
        ring.reap(true, &mut ended).unwrap();
    }
    ended.sort_by_key(|ended| ended.ticket);
    for (ticket, ended) in (0..).zip(&ended) {
        assert_eq!(ended.ticket, ticket);
        assert!(matches!(ended.outcome, WriteOutcome::Made(Ok(()))) && *ended.blocks == *block(ticket));
    }
    let bytes = std::fs::read(dir.path().join("file")).unwrap();
    for (ticket, written) in (0..writes).zip(bytes.chunks(BLOCK_BYTES)) {
        assert_eq!(written, &*block(ticket));
    }
    // A file that cannot be written to says so.
    let refused = std::fs::File::open(dir.path().join("file")).unwrap();
    let readable = Arc::new(DirectFile::for_test(refused, dir.path().join("file")));
    ring.start(7, readable, 0, block(7));
    ended.clear();
    while ended.is_empty() {
        ring.reap(true, &mut ended).unwrap();
    }
    assert!(matches!(ended[0].outcome, WriteOutcome::Made(Err(_))));
    let waker = ring.waker();
    let waking = std::thread::spawn(move || waker.wake());
    ended.clear();
    ring.reap(true, &mut ended).unwrap();
    assert!(ended.is_empty());
    waking.join().unwrap();
    // Dropped with writes under way, it waits for them: they are there.
    for ticket in 0..100 {
        ring.start(ticket, Arc::clone(&file), writes * BLOCK_BYTES as u64, block(1000));
    }
    drop(ring);
    let bytes = std::fs::read(dir.path().join("file")).unwrap();
    assert_eq!(bytes[writes as usize * BLOCK_BYTES..], *block(1000));
}

#[test]
fn each_write_ends_when_the_ring_fails_for_good_and_what_the_kernel_never_got_is_made_or_not_begun() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Direct::default();
    let Ok(mut ring) = Ring::new() else {
        return eprintln!("skipped: no io_uring here");
    };
    let files = [0, 1].map(|number| {
        let file = disk.open_log(&dir.path().join(format!("file-{number}")), true).unwrap();
        file.grow(0, &Blocks::zeros(8 * BLOCK_BYTES)).unwrap();
        file
    });
    let at = |block: u64| block * BLOCK_BYTES as u64;
    // One that the kernel has, and of which it will not tell any more; one behind it, and one of another file.
    ring.start(1, Arc::clone(&files[0]), at(1), block(1));
    ring.submit();
    ring.start(2, Arc::clone(&files[0]), at(2), block(2));
    ring.start(3, Arc::clone(&files[1]), at(3), block(3));
    ring.break_for_test();
    let mut ended = Vec::new();
    let broken = ring.reap(true, &mut ended).unwrap_err();
    assert!(broken.leaves_writes && broken.cause.to_string().contains("io_uring failed"));
    ended.sort_by_key(|ended| ended.ticket);
    assert_eq!(ended.iter().map(|ended| ended.ticket).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(matches!(ended[0].outcome, WriteOutcome::Made(Err(_))) && ended[0].blocks.is_empty());
    assert!(matches!(ended[1].outcome, WriteOutcome::NotBegun));
    assert!(matches!(ended[2].outcome, WriteOutcome::Made(Ok(()))));
    let bytes = |number| std::fs::read(dir.path().join(format!("file-{number}"))).unwrap();
    assert_eq!(bytes(1)[3 * BLOCK_BYTES..4 * BLOCK_BYTES], *block(3));
    assert!(bytes(0)[2 * BLOCK_BYTES..3 * BLOCK_BYTES].iter().all(|&byte| byte == 0));
    // What comes later is made, too, and nobody waits for ever.
    ring.start(4, Arc::clone(&files[1]), at(4), block(4));
    ended.clear();
    assert!(ring.reap(true, &mut ended).is_err());
    assert!(matches!(ended[0].outcome, WriteOutcome::Made(Ok(()))) && ended.len() == 1);
    assert!(ring.finish().is_err());
}

#[test]
fn what_was_started_reaches_the_device_when_submitted_without_a_wait() {
    let dir = tempfile::tempdir().unwrap();
    let Ok(mut ring) = Ring::new() else {
        return eprintln!("skipped: no io_uring here");
    };
    let file = Direct::default().open_log(&dir.path().join("file"), true).unwrap();
    file.grow(0, &Blocks::zeros(BLOCK_BYTES)).unwrap();
    ring.start(1, file, 0, block(7));
    ring.submit();
    assert!(ring.pushed.is_empty(), "the kernel has it");
    let mut ended = Vec::new();
    while ended.is_empty() {
        ring.reap(false, &mut ended).unwrap();
        std::thread::yield_now();
    }
    assert_eq!(std::fs::read(dir.path().join("file")).unwrap(), *block(7));
}
