//! Entries that were trimmed or deleted later are not lost, whatever becomes of their bytes.

use super::*;

fn check_only_readable(history: &History, ranges: &[SequenceRange], what: &str) {
    for range in ranges {
        let readable = &history.readable[&(STORES[0], range.path.clone())];
        for sequence in range.first.0..=range.last.0 {
            let is_readable = readable.iter().any(|entry| entry.sequence.0 == sequence);
            assert!(
                is_readable,
                "{what}: {} {sequence} was not readable any more",
                range.path
            );
        }
    }
}

#[test]
fn what_was_trimmed_or_deleted_later_is_neither_lost_nor_left_out() {
    let history = history(13);
    let (mut lost, mut left_out) = (0, 0);
    for (round, place) in (4200..60_000).step_by(3100).enumerate() {
        let disk = history.disk.copy();
        // Trim and delete come later, and are whole.
        disk.damage(&extent(1), |bytes| bytes[place] ^= 1);
        if round % 2 == 1 {
            disk.remove(&extent(1).with_extension("index")).unwrap();
        }
        let what = format!("byte {place}");
        for damage in &verified(&disk, DIR).stores[0].damage {
            check_only_readable(&history, &damage.affected, &what);
        }
        for keep in [Keep::Newest, Keep::Oldest] {
            let disk = disk.copy();
            let (report, _) = check_repair(&history, &disk, keep, &what);
            for damage in &report.stores[0].damage {
                check_only_readable(&history, &damage.affected, &what);
                lost += damage.affected.len();
            }
            check_only_readable(&history, &report.stores[0].left_out, &what);
            left_out += report.stores[0].left_out.len();
        }
    }
    assert!(lost > 0 && left_out > 0, "{lost} {left_out}");
}

#[test]
fn a_repair_that_lacks_nothing_that_was_readable_is_complete() {
    let disk = Simulated::new(1);
    run(async {
        let engine = Engine::open(config(&disk, DIR)).unwrap();
        let store = engine.store(STORES[0]).await.unwrap();
        for segment in ["a", "b"] {
            for sequence in 1..=6 {
                let records = vec![Record::new(format!("{segment}{sequence}"))];
                let transaction = Transaction::single(path(segment), Sequence(sequence), records);
                store.append(transaction).await.unwrap();
            }
        }
        store.trim(&path("a"), Sequence(5)).await.unwrap();
        store.delete(&path("b")).await.unwrap();
        let again = Transaction::single(path("b"), Sequence(1), vec![Record::new("again")]);
        store.append(again).await.unwrap();
        // So that the first extent is sealed, and an index file says what stands in it.
        let filling = Transaction::single(path("c"), Sequence(1), vec![Record::new(vec![0; 80_000])]);
        store.append(filling).await.unwrap();
        engine.close().await;
    });
    let payloads = |disk: &Simulated, dir: &str| -> Vec<bytes::Bytes> {
        let entries = read_all_stores(disk, dir).into_values().flatten();
        entries.map(|entry| entry.payload).collect()
    };
    let readable = payloads(&disk.copy(), DIR);
    assert_eq!(readable.len(), 4);
    for payload in ["a3", "b2"] {
        let disk = disk.copy();
        disk.damage(&extent(1), |bytes| {
            let at = memchr::memmem::find(bytes, payload.as_bytes()).unwrap();
            bytes[at] ^= 1;
        });
        assert_eq!(verified(&disk, DIR).stores[0].damage.len(), 1);
        let report = repaired(&disk, "/target", Keep::Newest);
        assert!(report.is_complete(), "{payload}: {report:?}");
        assert_eq!(payloads(&disk, "/target"), readable);
    }
}
