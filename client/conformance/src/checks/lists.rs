//! Status, spaces, segments, trim, delete.

use crate::check::checks;
use crate::connection::refused;
use crate::fault::{Step, must, same};
use crate::wire::answers::Totals;
use crate::wire::calls::{Append, ReadCall};
use crate::wire::refused::{REMOVED, Refused};
use crate::world::World;

checks! {
    "Verbs › 4 to 12":
    status "status/counts" "A status counts the segments and entries of a store, a space or a segment, and tells a segment's range.",
    absent "status/absent" "The status of what is not there counts nothing, and has no range.",
    spaces "list/spaces" "The list of spaces has each space with a segment, once, in the order of its bytes.",
    segments "list/segments" "The list of segments has each segment of the space, in the order of its bytes, behind a name and up to a limit.",
    statuses "list/statuses" "The list with statuses tells the range of each segment.",
    long "list/long" "A list of thousands of segments is whole, however many messages it takes.",
    trim "trim/first" "A trim makes its sequence the first that can be read, and tells the segment's status.",
    trim_back "trim/back" "A trim never brings back what was trimmed, and appends go on behind the head.",
    delete "delete/gone" "A deleted segment is gone from lists, statuses and reads, and begins anew with sequence 1.",
    delete_absent "delete/absent" "To delete what is not there changes nothing: it is done, or refused with removed.",
}

async fn status(world: &World) -> Step<()> {
    let mut connection = world.fresh().await?;
    let first = connection.append(&world.append("a", 1, &["1", "2"])).await??;
    let last = connection
        .append(&Append::new(vec![
            world.section("a", 3, &["3"]),
            world.section("b", 1, &["1"]),
        ]))
        .await??;
    let mut section = world.section("c", 1, &["1"]);
    section.space.push_str("-other");
    let newest = connection.append(&Append::new(vec![section])).await??;
    let counts = |totals: &Totals| (totals.spaces, totals.segments, totals.entries);
    let store = connection.status(&[]).await??;
    same!(counts(&store), (2, 3, 5), "spaces, segments and entries of the store");
    same!(store.time, newest.time, "the time of the newest transaction");
    must!(
        store.segment.is_none(),
        "the status of a store has the range of a segment"
    );
    let space = connection.status(&[&world.space]).await??;
    same!(counts(&space), (1, 2, 4), "spaces, segments and entries of the space");
    let segment = connection.status(&[&world.space, "a"]).await??;
    same!(
        counts(&segment),
        (1, 1, 3),
        "spaces, segments and entries of the segment"
    );
    let range = segment
        .segment
        .ok_or_else(|| "the status of a segment has no range".to_owned())?;
    same!(
        (&*range.space, &*range.segment),
        (&*world.space, "a"),
        "the names in the range"
    );
    same!(
        (range.first, range.last),
        ((1, first.time), (3, last.time)),
        "the range of the segment"
    );
    for space in [world.space.clone(), format!("{}-other", world.space)] {
        for segment in connection.segments(&space, "", u32::MAX).await?? {
            connection.delete(&space, &segment).await??;
        }
    }
    Ok(())
}

async fn absent(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    for of in [&[&*world.space][..], &[&*world.space, "absent"]] {
        let totals = connection.status(of).await??;
        same!(
            (totals.spaces, totals.segments, totals.entries),
            (0, 0, 0),
            "counts of {of:?}"
        );
        must!(
            totals.segment.is_none(),
            "a segment that is not there has the range {:?}",
            totals.segment
        );
    }
    Ok(())
}

async fn spaces(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let mut names: Vec<String> = ["", "-2", "-10", "-Z", "-\u{e9}"]
        .map(|end| format!("{}{end}", world.space))
        .into();
    for space in &names {
        let mut section = world.section("a", 1, &["x"]);
        section.space.clone_from(space);
        connection.append(&Append::new(vec![section])).await??;
    }
    names.sort();
    let all = connection.spaces().await??;
    must!(
        all.is_sorted_by(|one, next| one < next),
        "spaces are not in order, or come twice: {all:?}"
    );
    let own: Vec<String> = all
        .into_iter()
        .filter(|space| space.starts_with(&world.space))
        .collect();
    same!(own, names, "the spaces of this check");
    connection.delete(&names[0], "a").await??;
    let left: Vec<String> = connection.spaces().await??;
    must!(!left.contains(&names[0]), "a space without a segment is listed");
    Ok(())
}

async fn segments(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let mut names = ["b", "a", "a2", "a10", "Z", "\u{e9}", "z"];
    connection
        .append(&Append::new(
            names.iter().map(|name| world.section(name, 1, &["x"])).collect(),
        ))
        .await??;
    names.sort_unstable();
    let space = &world.space;
    same!(connection.segments(space, "", u32::MAX).await??, names, "all segments");
    for (after, limit) in [("", 3), ("a", 2), ("a1", 1), ("a2", 100), ("z", 1), ("\u{e9}", 5)] {
        let behind = names.iter().filter(|name| **name > after).take(limit as usize);
        let promised: Vec<&str> = behind.copied().collect();
        same!(
            connection.segments(space, after, limit).await??,
            promised,
            "{limit} segments behind {after:?}"
        );
    }
    same!(
        connection.segments(&format!("{space}-absent"), "", 10).await??,
        [""; 0],
        "segments of no space"
    );
    Ok(())
}

async fn statuses(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let one = connection.append(&world.append("a", 1, &["1", "2", "3"])).await??;
    let two = connection.append(&world.append("b", 1, &["1"])).await??;
    let three = connection.append(&world.append("b", 2, &["2"])).await??;
    let came = connection.statuses(&world.space, "", u32::MAX).await??;
    let came: Vec<_> = came
        .into_iter()
        .map(|status| (status.segment, status.first, status.last))
        .collect();
    let promised = [
        ("a".to_owned(), (1, one.time), (3, one.time)),
        ("b".to_owned(), (1, two.time), (2, three.time)),
    ];
    same!(came, promised, "the ranges");
    same!(
        connection.statuses(&world.space, "a", 1).await??.len(),
        1,
        "the statuses behind a"
    );
    Ok(())
}

async fn long(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let names: Vec<String> = (0..6000)
        .map(|number| format!("segment-{number:06}-{}", "x".repeat(100)))
        .collect();
    for part in names.chunks(3000) {
        let sections = part.iter().map(|name| world.section(name, 1, &["x"]));
        connection.append(&Append::new(sections.collect())).await??;
    }
    let came = connection.segments(&world.space, "", u32::MAX).await??;
    must!(
        came == names,
        "of {} segments {} came, or in another order",
        names.len(),
        came.len()
    );
    let came = connection.statuses(&world.space, "", u32::MAX).await??;
    same!(came.len(), names.len(), "the number of statuses");
    Ok(())
}

async fn trim(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let mut times = Vec::new();
    for first in 1..=5 {
        times.push(connection.append(&world.append("a", first, &["x"])).await??.time);
    }
    let status = connection.trim(&world.space, "a", 3).await??;
    let status = status.ok_or_else(|| "the result of a trim has no status".to_owned())?;
    same!(
        (status.first, status.last),
        ((3, times[2]), (5, times[4])),
        "the range in the result"
    );
    let told = connection.status(&[&world.space, "a"]).await??;
    same!(told.segment, Some(status), "the range in a status");
    same!(told.entries, 3, "the number of entries");
    same!(
        connection.read(&world.read("a")).await??.sequences(),
        [3, 4, 5],
        "a read of the segment"
    );
    let from_trimmed = ReadCall::all(world.range("a", 2, 4));
    same!(
        connection.read(&from_trimmed).await??.sequences(),
        [3, 4],
        "a read from what is trimmed"
    );
    Ok(())
}

async fn trim_back(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    connection.append(&world.append("a", 1, &["1", "2", "3"])).await??;
    for first in [3, 1, 3] {
        let status = connection.trim(&world.space, "a", first).await??;
        same!(
            status.map(|status| status.first.0),
            Some(3),
            "the first sequence after a trim to {first}"
        );
    }
    let came = connection.append(&world.append("a", 4, &["4"])).await??;
    same!(came.sections, [(4, 4)], "the sequence of an append behind a trim");
    same!(
        connection.read(&world.read("a")).await??.sequences(),
        [3, 4],
        "a read of the segment"
    );
    Ok(())
}

async fn delete(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    connection.append(&world.append("a", 1, &["1", "2"])).await??;
    connection.append(&world.append("b", 1, &["1"])).await??;
    connection.delete(&world.space, "a").await??;
    same!(
        connection.segments(&world.space, "", u32::MAX).await??,
        ["b"],
        "the segments"
    );
    must!(
        connection.status(&[&world.space, "a"]).await??.segment.is_none(),
        "a deleted segment has a range"
    );
    must!(
        connection.read(&world.read("a")).await??.entries().is_empty(),
        "a deleted segment has entries"
    );
    let came = connection.append(&world.append("a", 1, &["anew"])).await??;
    same!(came.sections, [(1, 1)], "the sequence of its new beginning");
    let entries = connection.read(&world.read("a")).await??.entries();
    same!(
        entries.iter().map(|entry| &*entry.record.payload).collect::<Vec<_>>(),
        [b"anew"],
        "its entries"
    );
    Ok(())
}

async fn delete_absent(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    connection.append(&world.append("a", 1, &["1"])).await??;
    let gone = |answer: Result<(), Refused>| match answer {
        Ok(()) => Ok(()),
        answer => refused(answer, REMOVED).map(|_| ()),
    };
    gone(connection.delete(&world.space, "absent").await?)?;
    connection.delete(&world.space, "a").await??;
    gone(connection.delete(&world.space, "a").await?)?;
    connection.append(&world.append("a", 1, &["anew"])).await??;
    gone(connection.delete(&world.space, "b").await?)?;
    same!(
        connection.read(&world.read("a")).await??.sequences(),
        [1],
        "what is there"
    );
    Ok(())
}
