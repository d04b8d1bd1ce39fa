//! The promises of a medium, tried on any implementation: one that does not keep them loses entries.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::future::join_all;
use uuid::Uuid;

use super::{
    BlobKind, BlobName, Created, ExtentId, Inserted, Medium, Put, Rows, RowsEnd, SlotBefore, SlotNumber, Swapped,
    Unanswered,
};

/// How many try the same thing at once.
const RIVALS: u8 = 16;

/// A promise: its name, and what tries it on a medium.
pub type Promise = (&'static str, for<'a> fn(&'a dyn Medium) -> Trying<'a>);
/// The trial of a promise. It panics if the promise is not kept, and ends early with what keeps it from being tried.
pub type Trying<'a> = Pin<Box<dyn Future<Output = Result<(), Unanswered>> + Send + 'a>>;

/// All promises. [`Promise`]s of the root need a store that has none yet, so each should get a store of its own.
pub const PROMISES: &[Promise] = &[
    ("an extent is made once", |medium| Box::pin(made_once(medium))),
    ("a slot is taken once", |medium| Box::pin(taken_once(medium))),
    ("of many who take a slot one wins", |medium| Box::pin(one_wins(medium))),
    ("slots hold what was put into them", |medium| Box::pin(holds(medium))),
    ("a read begins where it is asked to", |medium| {
        Box::pin(reads_from(medium))
    }),
    ("a read may end early, and reading on finds the rest", |medium| {
        Box::pin(reads_on(medium))
    }),
    ("a retired extent takes nothing, and its name stays taken", |medium| {
        Box::pin(retires(medium))
    }),
    ("many may retire an extent at once", |medium| {
        Box::pin(retires_together(medium))
    }),
    ("the root changes only from the version that was read", |medium| {
        Box::pin(root_changes(medium))
    }),
    ("of many who change the root one wins", |medium| {
        Box::pin(root_has_one_winner(medium))
    }),
    ("a blob is written once", |medium| {
        Box::pin(blob_is_written_once(medium))
    }),
    ("the service's time goes on", |medium| Box::pin(time_goes_on(medium))),
];

fn extent() -> ExtentId {
    ExtentId(Uuid::new_v4())
}

/// Bytes that tell a misplaced piece.
fn bytes(length: usize, salt: u8) -> Bytes {
    let salt = usize::from(salt);
    (0..length)
        .map(|at| (at.wrapping_mul(31) ^ (at >> 9) ^ salt).to_le_bytes()[0])
        .collect::<Vec<u8>>()
        .into()
}

async fn made_once(medium: &dyn Medium) -> Result<(), Unanswered> {
    let id = extent();
    assert_eq!(read(medium, id, 0).await?.end, RowsEnd::Nothing, "it was never made");
    assert_eq!(
        medium
            .insert_at(id, SlotNumber::FIRST, bytes(1, 0), SlotBefore::Known)
            .await?,
        Inserted::Retired
    );
    let made = join_all((0..RIVALS).map(|salt| medium.create_extent(id, bytes(10, salt)))).await;
    let made = made.into_iter().collect::<Result<Vec<_>, _>>()?;
    let winner = made
        .iter()
        .position(|made| *made == Created::Done)
        .expect("one made it");
    assert_eq!(
        made.iter().filter(|made| **made == Created::Done).count(),
        1,
        "{made:?}"
    );
    let rows = read(medium, id, 0).await?;
    let first = bytes(10, u8::try_from(winner).expect("a rival"));
    assert_eq!(rows.rows, [(SlotNumber::ZERO, first)], "slot 0 is the winner's");
    assert_eq!(rows.end, RowsEnd::Header);
    Ok(())
}

async fn taken_once(medium: &dyn Medium) -> Result<(), Unanswered> {
    let id = made(medium).await?;
    let slot = SlotNumber::FIRST;
    assert_eq!(
        medium.insert_at(id, slot, bytes(5, 1), SlotBefore::Known).await?,
        Inserted::Done
    );
    assert_eq!(
        medium.insert_at(id, slot, bytes(5, 2), SlotBefore::Known).await?,
        Inserted::Taken
    );
    assert_eq!(
        medium.insert_at(id, slot, bytes(5, 1), SlotBefore::Known).await?,
        Inserted::Taken,
        "also with the same bytes"
    );
    assert_eq!(read(medium, id, 1).await?.rows, [(slot, bytes(5, 1))]);
    // It does not look at the slot before, if nobody knows that it is there.
    assert_eq!(
        medium
            .insert_at(id, SlotNumber(3), bytes(5, 3), SlotBefore::Perhaps)
            .await?,
        Inserted::Done
    );
    let rows = read(medium, id, 1).await?;
    assert_eq!(rows.rows.first(), Some(&(slot, bytes(5, 1))));
    assert_eq!(rows.end, RowsEnd::Header);
    Ok(())
}

async fn one_wins(medium: &dyn Medium) -> Result<(), Unanswered> {
    let id = made(medium).await?;
    for slot in (1..6).map(SlotNumber) {
        let answers =
            join_all((0..RIVALS).map(|salt| medium.insert_at(id, slot, bytes(100, salt), SlotBefore::Known))).await;
        let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        let won: Vec<usize> = (0..answers.len()).filter(|at| answers[*at] == Inserted::Done).collect();
        assert_eq!(won.len(), 1, "{answers:?}");
        assert!(answers.iter().all(|answer| *answer != Inserted::Retired), "{answers:?}");
        let winner = bytes(100, u8::try_from(won[0]).expect("a rival"));
        let rows = read(medium, id, slot.0).await?.rows;
        assert_eq!(rows, [(slot, winner)], "the slot is the winner's");
    }
    Ok(())
}

async fn holds(medium: &dyn Medium) -> Result<(), Unanswered> {
    let id = made(medium).await?;
    let most = medium.slot_bytes_max();
    let lengths = [0, 1, 65_536, 65_537, 900 * 1024, 900 * 1024 + 1, most - 1, most];
    let lengths: Vec<usize> = lengths.into_iter().filter(|length| *length <= most).collect();
    for (slot, length) in (1..).map(SlotNumber).zip(&lengths) {
        let salt = slot.0.to_le_bytes()[0];
        assert_eq!(
            medium
                .insert_at(id, slot, bytes(*length, salt), SlotBefore::Known)
                .await?,
            Inserted::Done
        );
        assert_eq!(
            medium.insert_at(id, slot, bytes(1, salt), SlotBefore::Known).await?,
            Inserted::Taken
        );
    }
    let mut from = 1;
    while from <= lengths.len() as u64 {
        for (slot, found) in read(medium, id, from).await?.rows {
            assert_eq!(slot.0, from, "nothing is missing");
            let at = usize::try_from(slot.0).expect("a small number") - 1;
            assert!(
                found == bytes(lengths[at], slot.0.to_le_bytes()[0]),
                "slot {slot} of {} bytes",
                lengths[at]
            );
            from += 1;
        }
    }
    Ok(())
}

async fn reads_from(medium: &dyn Medium) -> Result<(), Unanswered> {
    let id = made(medium).await?;
    for slot in 1..=40 {
        medium
            .insert_at(id, SlotNumber(slot), bytes(50, 1), SlotBefore::Known)
            .await?;
    }
    for from in [0, 1, 17, 40, 41, 1000] {
        let rows = read(medium, id, from).await?;
        let found: Vec<u64> = rows.rows.iter().map(|(slot, _)| slot.0).collect();
        assert_eq!(found, (from..=40).collect::<Vec<u64>>());
        assert_eq!(rows.end, RowsEnd::Header);
    }
    Ok(())
}

async fn reads_on(medium: &dyn Medium) -> Result<(), Unanswered> {
    let id = made(medium).await?;
    for slot in 1..=60 {
        medium
            .insert_at(id, SlotNumber(slot), bytes(2000, 1), SlotBefore::Known)
            .await?;
    }
    let mut from = 1;
    loop {
        let rows = medium.read_from(id, SlotNumber(from), 10_000).await?;
        for (slot, found) in rows.rows {
            assert_eq!((slot.0, found.len()), (from, 2000));
            from += 1;
        }
        match rows.end {
            RowsEnd::Header => break,
            RowsEnd::Early => {}
            RowsEnd::Nothing => panic!("it is not retired"),
        }
    }
    assert_eq!(from, 61);
    Ok(())
}

async fn retires(medium: &dyn Medium) -> Result<(), Unanswered> {
    let id = made(medium).await?;
    let large = medium.slot_bytes_max().min(2_000_000);
    for slot in 1..=130 {
        let length = if slot == 70 { large } else { 10 };
        medium
            .insert_at(id, SlotNumber(slot), bytes(length, 1), SlotBefore::Known)
            .await?;
    }
    medium.retire_extent(id).await?;
    let rows = read(medium, id, 0).await?;
    assert_eq!(rows.end, RowsEnd::Nothing);
    assert_eq!(rows.rows, [(SlotNumber::ZERO, bytes(3, 9))], "slot 0 is the tombstone");
    for slot in [1, 70, 131] {
        for before in [SlotBefore::Known, SlotBefore::Perhaps] {
            let inserted = medium.insert_at(id, SlotNumber(slot), bytes(1, 0), before).await?;
            assert_eq!(inserted, Inserted::Retired);
        }
    }
    assert_eq!(
        medium.create_extent(id, bytes(3, 9)).await?,
        Created::Taken,
        "a late create does not open it again"
    );
    assert_eq!(
        medium
            .insert_at(id, SlotNumber::FIRST, bytes(1, 0), SlotBefore::Known)
            .await?,
        Inserted::Retired
    );
    medium.retire_extent(id).await
}

async fn retires_together(medium: &dyn Medium) -> Result<(), Unanswered> {
    let id = made(medium).await?;
    for slot in 1..=250 {
        medium
            .insert_at(id, SlotNumber(slot), bytes(10, 1), SlotBefore::Known)
            .await?;
    }
    let (ends, late) = futures_util::join!(
        join_all((0..4).map(|_| medium.retire_extent(id))),
        join_all((251..260).map(|slot| medium.insert_at(id, SlotNumber(slot), bytes(10, 1), SlotBefore::Perhaps))),
    );
    ends.into_iter().collect::<Result<Vec<_>, _>>()?;
    late.into_iter().collect::<Result<Vec<_>, _>>()?;
    let rows = read(medium, id, 0).await?;
    assert_eq!((rows.rows.len(), rows.end), (1, RowsEnd::Nothing));
    Ok(())
}

async fn root_changes(medium: &dyn Medium) -> Result<(), Unanswered> {
    assert_eq!(medium.read_root().await?, None, "this needs a store without a root");
    let done = |swapped| match swapped {
        Swapped::Done(version) => version,
        Swapped::Lost => panic!("nobody else changed it"),
    };
    let first = done(medium.swap_root(None, bytes(100_000, 1)).await?);
    assert_eq!(medium.swap_root(None, bytes(10, 2)).await?, Swapped::Lost);
    let root = medium.read_root().await?.expect("it was made");
    assert_eq!((&root.version, root.bytes), (&first, bytes(100_000, 1)));
    let second = done(medium.swap_root(Some(first.clone()), bytes(10, 3)).await?);
    assert_ne!(first, second);
    assert_eq!(medium.swap_root(Some(first), bytes(10, 4)).await?, Swapped::Lost);
    // The same bytes again make another version.
    let third = done(medium.swap_root(Some(second.clone()), bytes(10, 3)).await?);
    assert_ne!(second, third);
    assert_eq!(medium.swap_root(Some(second), bytes(10, 5)).await?, Swapped::Lost);
    let root = medium.read_root().await?.expect("it is there");
    assert_eq!((root.version, root.bytes), (third, bytes(10, 3)));
    Ok(())
}

async fn root_has_one_winner(medium: &dyn Medium) -> Result<(), Unanswered> {
    let mut expected = medium.read_root().await?.map(|root| root.version);
    for _ in 0..5 {
        let answers = join_all((0..RIVALS).map(|salt| medium.swap_root(expected.clone(), bytes(30, salt)))).await;
        let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        let won: Vec<usize> = (0..answers.len()).filter(|at| answers[*at] != Swapped::Lost).collect();
        assert_eq!(won.len(), 1, "{answers:?}");
        let root = medium.read_root().await?.expect("it is there");
        assert_eq!(root.bytes, bytes(30, u8::try_from(won[0]).expect("a rival")));
        assert_eq!(answers[won[0]], Swapped::Done(root.version.clone()));
        expected = Some(root.version);
    }
    Ok(())
}

async fn blob_is_written_once(medium: &dyn Medium) -> Result<(), Unanswered> {
    for (kind, length) in [
        (BlobKind::Manifest, 0),
        (BlobKind::Checkpoint, 100),
        (BlobKind::Body, 4 * 1024 * 1024),
        (BlobKind::History, 9_000_000),
    ] {
        let id = Uuid::new_v4();
        let name = BlobName { kind, id };
        assert_eq!(medium.get_blob(name).await?, None);
        assert_eq!(medium.put_blob(name, bytes(length, 1)).await?, Put::Done);
        assert_eq!(medium.put_blob(name, bytes(length, 1)).await?, Put::Taken);
        assert!(medium.get_blob(name).await? == Some(bytes(length, 1)), "{length} bytes");
        medium.delete_blob(name).await?;
        assert_eq!(medium.get_blob(name).await?, None);
        medium.delete_blob(name).await?;
    }
    Ok(())
}

async fn time_goes_on(medium: &dyn Medium) -> Result<(), Unanswered> {
    let first = medium.service_time().await?;
    let second = medium.service_time().await?;
    assert!(first <= second);
    Ok(())
}

async fn made(medium: &dyn Medium) -> Result<ExtentId, Unanswered> {
    let id = extent();
    assert_eq!(medium.create_extent(id, bytes(3, 9)).await?, Created::Done);
    Ok(id)
}

/// All that is there from a slot on.
async fn read(medium: &dyn Medium, id: ExtentId, from: u64) -> Result<Rows, Unanswered> {
    medium.read_from(id, SlotNumber(from), usize::MAX).await
}
