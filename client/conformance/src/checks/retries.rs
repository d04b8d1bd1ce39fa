//! Retries: the same transaction asked for again, under its id.

use crate::check::checks;
use crate::connection::{UNNAMED, refused};
use crate::fault::{Step, same};
use crate::wire::answers::Appended;
use crate::wire::calls::{Append, Condition};
use crate::wire::pieces::Record;
use crate::wire::refused::OTHER_RECORDS;
use crate::world::World;

checks! {
    "Verbs › 1 append":
    same_answer "retry/answer" "A transaction whose id is stored with the same records is answered with the result of then, on any connection, also behind later ones.",
    any_sequence "retry/any-sequence" "The same holds of a transaction that demanded no sequences.",
    at_once "retry/at-once" "Two attempts under way at once are stored once.",
    once "retry/once" "A retry stores nothing.",
    conditions "retry/conditions" "A retry is answered with the result of then also where its conditions hold no longer.",
    other "retry/other-records" "An id that is stored with other records is refused with other_records and its position.",
}

async fn same_answer(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let append = Append::new(vec![world.section("a", 1, &["1", "2"]), world.section("b", 1, &["1"])]);
    let first = connection.append(&append).await??;
    let told = |was_there| Appended {
        was_there,
        ..first.clone()
    };
    same!(first, told(false), "the first attempt");
    same!(connection.append(&append).await??, told(true), "the second attempt");
    connection.append(&world.append("a", 3, &["3"])).await??;
    same!(
        connection.append(&append).await??,
        told(true),
        "an attempt behind a later transaction"
    );
    let mut other = world.dial().await?;
    same!(
        other.append(&append).await??,
        told(true),
        "an attempt on another connection"
    );
    Ok(())
}

async fn any_sequence(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    connection.append(&world.append("a", 0, &["before"])).await??;
    let append = Append::new(vec![world.section("a", 0, &["x", "y"]), world.section("b", 1, &["z"])]);
    let first = connection.append(&append).await??;
    same!(first.sections, [(2, 3), (1, 1)], "the sequences");
    connection.append(&world.append("a", 0, &["behind"])).await??;
    let promised = Appended {
        was_there: true,
        ..first
    };
    same!(connection.append(&append).await??, promised, "the second attempt");
    same!(
        world.dial().await?.append(&append).await??,
        promised,
        "an attempt on another connection"
    );
    Ok(())
}

async fn at_once(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    for first in [0, 2, 0, 4] {
        let append = world.append("a", first, &["once"]);
        let mut channels = Vec::new();
        for _ in 0..8 {
            channels.push(connection.begin(append.body(world.store), UNNAMED).await?);
        }
        let mut new = 0;
        let mut sections = Vec::new();
        for channel in channels {
            let came = Appended::decode(&connection.answer(channel).await??)?;
            new += u32::from(!came.was_there);
            sections.push((came.position, came.sections));
        }
        same!(new, 1, "attempts that are told as new");
        sections.dedup();
        same!(sections.len(), 1, "places of one transaction, {sections:?}");
    }
    let read = connection.read(&world.read("a")).await??;
    same!(read.sequences(), [1, 2, 3, 4], "what is stored");
    Ok(())
}

async fn once(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    for first in [1, 0] {
        let append = world.append(if first == 0 { "any" } else { "demanded" }, first, &["1", "2"]);
        for _ in 0..4 {
            connection.append(&append).await??;
        }
        let read = connection.read(&world.read(&append.sections[0].segment)).await??;
        same!(read.sequences(), [1, 2], "what four attempts stored");
    }
    Ok(())
}

async fn conditions(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let mut append = world.append("a", 1, &["1"]);
    append.conditions = vec![Condition {
        kind: 2,
        sequence: 0,
        space: world.space.clone(),
        segment: "b".to_owned(),
    }];
    let first = connection.append(&append).await??;
    connection.append(&world.append("b", 1, &["1"])).await??;
    let again = connection.append(&append).await??;
    same!(
        (again.position, again.was_there),
        (first.position, true),
        "the second attempt"
    );
    Ok(())
}

async fn other(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    for demanded in [1, 0] {
        let segment = format!("from-{demanded}");
        let first = world.append(&segment, demanded, &["1"]);
        let told = connection.append(&first).await??;
        connection.append(&world.append(&segment, 0, &["behind"])).await??;
        let mut others = vec![first.clone(), first.clone(), first.clone()];
        others[0].sections[0].records = vec![Record::from("other")];
        others[1].sections[0].records.push(Record::from("more"));
        others[2].sections[0].records[0]
            .metadata
            .insert("key".to_owned(), "value".to_owned());
        for other in others {
            let refused = refused(connection.append(&other).await?, OTHER_RECORDS)?;
            same!(refused.number, told.position, "the position in the error");
        }
    }
    Ok(())
}
