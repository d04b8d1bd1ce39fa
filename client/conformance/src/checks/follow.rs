//! Follows: what is there, then what is committed, each entry once.

use crate::check::checks;
use crate::connection::{Connection, refused};
use crate::fault::{Fault, Step, broken, must, same};
use crate::wire::answers::Told;
use crate::wire::calls::{Append, FollowCall, Part};
use crate::wire::pieces::{Entry, Record};
use crate::wire::refused::INVALID;
use crate::world::World;

checks! {
    "Verbs › 3 follow":
    history "follow/history" "A follow tells what is there, in the order of the log, then that it has caught up, once.",
    live "follow/live" "Behind that it tells what is committed, each entry once, also of other connections.",
    mixed "follow/mixed" "Whatever the mix of parts, entries come in the order of the log, and those of no other part.",
    resume "follow/resume" "From the cursor of any message a follow goes on without gap or repeat, on any connection.",
    crossing "follow/crossing" "Entries that are committed while a follow tells what is there come once each, in their order.",
    from_now "follow/from-now" "From now on, a follow tells nothing of what was there, and all that is committed from then on.",
    filter "follow/filter" "A follow tells entries that pass its filter, and no others.",
    heartbeat "follow/heartbeat" "An idle follow tells its cursor as often as it was asked to, and a follow goes on from that.",
    silent "follow/silent" "A follow that asks for no heartbeats and has nothing new tells nothing.",
    empty "follow/empty-store" "A follow of a store without entries catches up with a cursor, from which a follow misses nothing.",
    too_many_parts "follow/too-many-parts" "A follow of more than 65 536 parts is refused with invalid.",
}

/// A follow, as it is told.
struct Following {
    connection: Connection,
    channel: u32,
    is_caught_up: bool,
    /// Each cursor, and how many entries stand before it.
    cursors: Vec<(Vec<u8>, usize)>,
    entries: Vec<Entry>,
}

fn places(entries: &[Entry]) -> Vec<(String, u64)> {
    entries
        .iter()
        .map(|entry| (entry.segment.clone(), entry.sequence))
        .collect()
}

impl Following {
    async fn begin(mut connection: Connection, follow: &FollowCall) -> Step<Self> {
        let channel = connection.begin(follow.body(connection.store), follow.credit).await?;
        Ok(Self {
            connection,
            channel,
            is_caught_up: false,
            cursors: Vec::new(),
            entries: Vec::new(),
        })
    }

    /// Takes a message.
    async fn step(&mut self) -> Step<()> {
        let told = Told::decode(&self.connection.message(self.channel).await?)?;
        let cursor = match told {
            Told::Batch(batch) => {
                must!(!batch.entries.is_empty(), "a batch of a follow without entries");
                self.entries.extend(batch.entries);
                batch.cursor
            }
            Told::CaughtUp(cursor) => {
                must!(!self.is_caught_up, "a follow has caught up twice");
                self.is_caught_up = true;
                cursor
            }
            Told::At(cursor) => {
                must!(
                    self.is_caught_up,
                    "a follow tells that nothing is new before it has caught up"
                );
                cursor
            }
        };
        // Before the first entry of a log, the empty one is its beginning.
        must!(
            !cursor.is_empty() || self.entries.is_empty(),
            "a message behind entries has an empty cursor"
        );
        self.cursors.push((cursor, self.entries.len()));
        Ok(())
    }

    async fn caught_up(&mut self) -> Step<()> {
        while !self.is_caught_up {
            self.step().await?;
        }
        Ok(())
    }

    async fn has(&mut self, entries: usize) -> Step<()> {
        while self.entries.len() < entries {
            self.step().await?;
        }
        same!(self.entries.len(), entries, "the entries of a follow");
        Ok(())
    }

    /// Nothing comes behind that.
    async fn rests(&mut self, world: &World) -> Step<()> {
        match self.connection.waiting(self.channel, world.quiet()).await? {
            0 => Ok(()),
            more => broken!("{more} further messages came"),
        }
    }
}

fn space(world: &World) -> Vec<Part> {
    vec![Part::Space(world.space.clone())]
}

async fn history(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    for first in 1..=20 {
        connection.append(&world.append("a", first, &["x"])).await??;
    }
    let mut follow = Following::begin(connection, &FollowCall::all(space(world))).await?;
    follow.caught_up().await?;
    same!(follow.entries.len(), 20, "the entries before it has caught up");
    let sequences: Vec<u64> = follow.entries.iter().map(|entry| entry.sequence).collect();
    same!(sequences, (1..=20).collect::<Vec<_>>(), "the sequences");
    follow.rests(world).await
}

async fn live(world: &World) -> Step<()> {
    let mut writer = world.dial().await?;
    writer.append(&world.append("a", 1, &["there"])).await??;
    let mut follow = Following::begin(world.dial().await?, &FollowCall::all(space(world))).await?;
    follow.caught_up().await?;
    let mut promised = vec![("a".to_owned(), 1)];
    for round in 1..=10 {
        let append = Append::new(vec![
            world.section("a", round + 1, &["x"]),
            world.section("b", round, &["y"]),
        ]);
        writer.append(&append).await??;
        follow.connection.append(&world.append("c", round, &["own"])).await??;
        promised.extend([("a", round + 1), ("b", round), ("c", round)].map(|(name, number)| (name.to_owned(), number)));
        follow.has(promised.len()).await?;
    }
    same!(places(&follow.entries), promised, "what a follow told");
    // The later ones, too, are told once.
    follow.rests(world).await
}

async fn mixed(world: &World) -> Step<()> {
    let mut writer = world.dial().await?;
    let other = format!("{}-other", world.space);
    let parts = vec![
        Part::Segment(world.space.clone(), "order-1".into()),
        Part::Prefix(world.space.clone(), "a".into()),
        Part::Segment(world.space.clone(), "apple".into()),
        Part::Space(other.clone()),
    ];
    let mut follow = None;
    let mut promised = Vec::new();
    for round in 1..=12 {
        let mut sections = Vec::new();
        for segment in ["order-12", "apple", "order-1", "berry"] {
            sections.push(world.section(segment, round, &["x"]));
        }
        sections[3].space.clone_from(&other);
        writer.append(&Append::new(sections)).await??;
        promised
            .extend([("apple", round), ("order-1", round), ("berry", round)].map(|(name, at)| (name.to_owned(), at)));
        if round == 6 {
            let mut begun = Following::begin(world.dial().await?, &FollowCall::all(parts.clone())).await?;
            begun.caught_up().await?;
            follow = Some(begun);
        }
    }
    let mut follow = follow.ok_or_else(|| Fault::Broken("no follow".into()))?;
    follow.has(promised.len()).await?;
    same!(places(&follow.entries), promised, "what a follow of {parts:?} told");
    follow.rests(world).await
}

async fn resume(world: &World) -> Step<()> {
    let mut writer = world.dial().await?;
    for round in 1..=6 {
        writer
            .append(&Append::new(vec![
                world.section("a", round, &["x"]),
                world.section("b", round, &["y"]),
            ]))
            .await??;
    }
    let mut follow = Following::begin(world.dial().await?, &FollowCall::all(space(world))).await?;
    follow.caught_up().await?;
    for round in 7..=9 {
        writer
            .append(&Append::new(vec![
                world.section("a", round, &["x"]),
                world.section("b", round, &["y"]),
            ]))
            .await??;
        follow.has(2 * round as usize).await?;
    }
    let promised = places(&follow.entries);
    for (cursor, before) in &follow.cursors {
        let mut call = FollowCall::all(space(world));
        call.cursor.clone_from(cursor);
        let mut resumed = Following::begin(world.dial().await?, &call).await?;
        resumed.caught_up().await?;
        same!(
            places(&resumed.entries),
            promised[*before..],
            "resumed behind {before} entries"
        );
    }
    Ok(())
}

async fn crossing(world: &World) -> Step<()> {
    let mut writer = world.dial().await?;
    let append = |first: u64| world.append("a", first, &["x"]);
    for first in 1..=50 {
        writer.append(&append(first)).await??;
    }
    let mut follow = Following::begin(world.dial().await?, &FollowCall::all(space(world))).await?;
    for first in 51..=150 {
        writer.append(&append(first)).await??;
    }
    follow.has(150).await?;
    let sequences: Vec<u64> = follow.entries.iter().map(|entry| entry.sequence).collect();
    same!(sequences, (1..=150).collect::<Vec<_>>(), "the sequences");
    follow.caught_up().await?;
    Ok(())
}

async fn from_now(world: &World) -> Step<()> {
    let mut writer = world.dial().await?;
    writer.append(&world.append("a", 1, &["1", "2", "3"])).await??;
    let mut call = FollowCall::all(space(world));
    call.is_from_now = true;
    let mut follow = Following::begin(world.dial().await?, &call).await?;
    follow.caught_up().await?;
    must!(
        follow.entries.is_empty(),
        "from now on, {:?} came",
        places(&follow.entries)
    );
    let (cursor, _) = follow.cursors[0].clone();
    writer.append(&world.append("a", 4, &["4"])).await??;
    follow.has(1).await?;
    same!(places(&follow.entries), [("a".to_owned(), 4)], "what came from now on");
    // With a cursor it is that which counts.
    call.cursor = cursor;
    let mut resumed = Following::begin(world.dial().await?, &call).await?;
    resumed.has(1).await?;
    same!(places(&resumed.entries), [("a".to_owned(), 4)], "resumed from there");
    Ok(())
}

async fn filter(world: &World) -> Step<()> {
    let mut writer = world.dial().await?;
    let mut call = FollowCall::all(space(world));
    call.filter.prefix = "a".to_owned();
    call.filter.metadata = vec![("kind".to_owned(), "good".to_owned())];
    let mut follow = Following::begin(world.dial().await?, &call).await?;
    for round in 0..4 {
        for segment in ["apple", "berry"] {
            let mut section = world.section(segment, 2 * round + 1, &[]);
            section.records = ["good", "bad"]
                .map(|kind| Record {
                    metadata: [("kind".to_owned(), kind.to_owned())].into(),
                    payload: Vec::new(),
                })
                .into();
            writer.append(&Append::new(vec![section])).await??;
        }
    }
    follow.has(4).await?;
    let promised = [1, 3, 5, 7].map(|sequence| ("apple".to_owned(), sequence));
    same!(places(&follow.entries), promised, "behind the filter");
    Ok(())
}

async fn heartbeat(world: &World) -> Step<()> {
    let mut writer = world.dial().await?;
    writer.append(&world.append("a", 1, &["x"])).await??;
    let mut call = FollowCall::all(space(world));
    call.heartbeat = 1000;
    let mut follow = Following::begin(world.dial().await?, &call).await?;
    follow.caught_up().await?;
    let before = follow.cursors.len();
    while follow.cursors.len() < before + 2 {
        follow.step().await?;
    }
    let (cursor, _) = follow.cursors.pop().unwrap_or_default();
    writer.append(&world.append("a", 2, &["y"])).await??;
    follow.has(2).await?;
    call.cursor = cursor;
    let mut resumed = Following::begin(world.dial().await?, &call).await?;
    resumed.has(1).await?;
    same!(
        places(&resumed.entries),
        [("a".to_owned(), 2)],
        "resumed from a heartbeat"
    );
    Ok(())
}

async fn silent(world: &World) -> Step<()> {
    let mut follow = Following::begin(world.dial().await?, &FollowCall::all(space(world))).await?;
    follow.caught_up().await?;
    follow.connection.waiting(follow.channel, 5 * world.quiet()).await?;
    follow.rests(world).await
}

async fn empty(world: &World) -> Step<()> {
    let fresh = world.fresh().await?;
    let store = fresh.store;
    let mut follow = Following::begin(fresh, &FollowCall::all(space(world))).await?;
    follow.caught_up().await?;
    must!(follow.entries.is_empty(), "an empty store has entries");
    let (cursor, _) = follow.cursors[0].clone();
    for first in 1..=3 {
        follow.connection.append(&world.append("a", first, &["x"])).await??;
    }
    follow.has(3).await?;
    let mut call = FollowCall::all(space(world));
    call.cursor = cursor;
    let mut again = world.dial().await?;
    again.store = store;
    let mut resumed = Following::begin(again, &call).await?;
    resumed.has(3).await?;
    same!(
        places(&resumed.entries),
        [1, 2, 3].map(|at| ("a".to_owned(), at)),
        "resumed from the empty store"
    );
    follow.connection.delete(&world.space, "a").await??;
    Ok(())
}

async fn too_many_parts(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let part = Part::Segment(world.space.clone(), "a".to_owned());
    let call = FollowCall::all(vec![part; 65_537]);
    let channel = connection.begin(call.body(world.store), call.credit).await?;
    let (_, answer) = connection.all(channel).await?;
    refused(answer, INVALID)?;
    Ok(())
}
