//! Conditions, and the entries that come with a conflict.

use crate::check::checks;
use crate::connection::refused;
use crate::fault::{Step, must, same};
use crate::wire::calls::{Append, Condition};
use crate::wire::pieces::Entry;
use crate::wire::refused::CONFLICT;
use crate::world::World;

checks! {
    "Verbs › 1 append":
    hold "conditions/hold" "A condition that holds, of segments written or not, changes nothing of an append.",
    fail "conditions/fail" "If a condition does not hold, nothing is stored, and the conflict names each segment that is not as demanded, with its head.",
    learn "conflict/entries" "With bytes of entries asked for, the entries behind the expected heads come before the conflict.",
    bounded "conflict/bounded" "Entries of a conflict are as many as the bytes that were asked for, at most 1 MiB.",
    none "conflict/heads-alone" "Without bytes of entries a conflict has heads alone.",
}

fn condition(world: &World, kind: u8, sequence: u64, segment: &str) -> Condition {
    Condition {
        kind,
        sequence,
        space: world.space.clone(),
        segment: segment.to_owned(),
    }
}

async fn hold(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    connection.append(&world.append("there", 1, &["1", "2"])).await??;
    let mut append = world.append("written", 0, &["x"]);
    append.conditions = vec![
        condition(world, 0, 2, "there"),
        condition(world, 1, 0, "there"),
        condition(world, 2, 0, "absent"),
        condition(world, 0, 0, "absent"),
        condition(world, 2, 0, "written"),
    ];
    same!(connection.append(&append).await??.sections, [(1, 1)], "the sequences");
    let mut again = world.append("written", 0, &["y"]);
    again.conditions = vec![condition(world, 0, 1, "written"), condition(world, 1, 0, "written")];
    same!(connection.append(&again).await??.sections, [(2, 2)], "the sequences");
    Ok(())
}

async fn fail(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    connection.append(&world.append("there", 1, &["1", "2"])).await??;
    let cases = [
        (0, 1, "there", 2),
        (0, 3, "there", 2),
        (2, 0, "there", 2),
        (1, 0, "absent", 0),
        (0, 1, "absent", 0),
    ];
    for (kind, sequence, segment, head) in cases {
        let mut append = world.append("written", 0, &["never"]);
        append.conditions = vec![condition(world, kind, sequence, segment)];
        let refused = refused(connection.append(&append).await?, CONFLICT)?;
        let promised = [(world.space.clone(), segment.to_owned(), head)];
        same!(
            refused.segments,
            promised,
            "the conflict with the condition {kind} {sequence} of {segment:?}"
        );
    }
    let mut append = world.append("written", 5, &["never"]);
    append.conditions = vec![
        condition(world, 2, 0, "there"),
        condition(world, 1, 0, "absent"),
        condition(world, 2, 0, "fine"),
    ];
    let mut refused = refused(connection.append(&append).await?, CONFLICT)?;
    refused.segments.sort();
    let names: Vec<&str> = refused.segments.iter().map(|(_, segment, _)| &**segment).collect();
    same!(
        names,
        ["absent", "there", "written"],
        "the segments that are not as demanded"
    );
    same!(
        connection.segments(&world.space, "", u32::MAX).await??,
        ["there"],
        "the segments"
    );
    Ok(())
}

fn places(entries: &[Entry]) -> Vec<(&str, u64)> {
    entries.iter().map(|entry| (&*entry.segment, entry.sequence)).collect()
}

async fn learn(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    connection.append(&world.append("a", 1, &["1", "2", "3"])).await??;
    connection.append(&world.append("b", 1, &["1"])).await??;
    connection.append(&world.append("a", 4, &["4"])).await??;
    let mut append = Append::new(vec![world.section("a", 3, &["x"]), world.section("b", 2, &["x"])]);
    append.conflict_bytes = 64 << 10;
    let (entries, answer) = connection.append_or_learn(&append).await?;
    let heads = refused(answer, CONFLICT)?.segments;
    same!(heads, [(world.space.clone(), "a".to_owned(), 4)], "the heads");
    same!(
        places(&entries),
        [("a", 3), ("a", 4)],
        "the entries behind the expected head"
    );
    // A producer decides again, and needs no further call.
    append.sections[0].first = 5;
    let (entries, answer) = connection.append_or_learn(&append).await?;
    same!(
        answer?.sections,
        [(5, 5), (2, 2)],
        "the sequences of the second attempt"
    );
    must!(entries.is_empty(), "entries came without a conflict");
    let mut append = world.append("c", 0, &["x"]);
    append.conditions = vec![condition(world, 0, 1, "b")];
    append.conflict_bytes = 64 << 10;
    let (entries, answer) = connection.append_or_learn(&append).await?;
    refused(answer, CONFLICT)?;
    same!(
        places(&entries),
        [("b", 2)],
        "the entries behind the head of a condition"
    );
    Ok(())
}

async fn bounded(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    for _ in 0..24 {
        connection.append(&world.bulk("a", 32, 4096)).await??;
    }
    for (asked, most) in [(64 << 10, 64 << 10), (u32::MAX, 1 << 20)] {
        let mut append = world.append("a", 1, &["x"]);
        append.conflict_bytes = asked;
        let (entries, answer) = connection.append_or_learn(&append).await?;
        refused(answer, CONFLICT)?;
        let bytes: usize = entries.iter().map(|entry| entry.record.payload.len()).sum();
        // One entry more than the bytes is what a server may need to see that it is enough.
        must!(
            bytes <= most + 4096,
            "{bytes} bytes of entries came where {asked} were asked for"
        );
        must!(
            bytes >= most / 2,
            "{bytes} bytes of entries came where {asked} were asked for, and 3 MiB are there"
        );
        let promised: Vec<(&str, u64)> = (1..=entries.len() as u64).map(|sequence| ("a", sequence)).collect();
        same!(places(&entries), promised, "the entries behind the expected head");
    }
    Ok(())
}

async fn none(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    connection.append(&world.append("a", 1, &["1", "2", "3"])).await??;
    let (entries, answer) = connection.append_or_learn(&world.append("a", 1, &["x"])).await?;
    refused(answer, CONFLICT)?;
    must!(entries.is_empty(), "{} entries came", entries.len());
    Ok(())
}
