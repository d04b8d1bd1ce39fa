//! Leases, and fences of appends.

use crate::check::checks;
use crate::connection::refused;
use crate::fault::{Step, must, same};
use crate::wire::refused::{FENCED_OFF, INVALID};
use crate::world::World;

checks! {
    "Verbs › 9 lease":
    granted "lease/granted" "A lease is granted to the first holder who asks, and to nobody else while it lasts.",
    renewed "lease/renewed" "Its holder renews a lease, and the token stays; another cannot.",
    released "lease/released" "A released lease is granted to another, with a larger token.",
    runs_out "lease/runs-out" "A lease that is not renewed in its time is granted to another.",
    times "lease/times" "A lease lasts a millisecond at least and a day at most.",
    fence "fence/holds" "An append with a fence is stored while its token is the newest grant of its key.",
    fenced_off "fence/off" "An append whose lease was granted to another since, or released, is refused with fenced_off and its token; nothing is stored.",
}

const LONG: u32 = 60_000;

async fn granted(world: &World) -> Step<()> {
    let (mut one, mut other) = (world.dial().await?, world.dial().await?);
    let key = &world.space;
    let lease = one.lease(1, key, "one", LONG).await??;
    must!(lease.is_held && lease.token > 0, "the first who asks gets {lease:?}");
    must!(
        lease.ms > 0 && lease.ms <= LONG,
        "a lease of {LONG} ms lasts {} ms",
        lease.ms
    );
    let denied = other.lease(1, key, "other", LONG).await??;
    must!(!denied.is_held, "two hold one lease: {denied:?}");
    let again = one.lease(1, key, "one", LONG).await??;
    must!(again.is_held, "the holder who asks again gets {again:?}");
    let another = other.lease(1, &format!("{key}-2"), "other", LONG).await??;
    must!(another.is_held, "a lease of another key is {another:?}");
    one.lease(3, key, "one", LONG).await??;
    other.lease(3, &format!("{key}-2"), "other", LONG).await??;
    Ok(())
}

async fn renewed(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let key = &world.space;
    let none = connection.lease(2, key, "one", LONG).await??;
    must!(!none.is_held, "a lease that nobody was granted is renewed: {none:?}");
    let lease = connection.lease(1, key, "one", LONG).await??;
    let renewed = connection.lease(2, key, "one", LONG).await??;
    same!(
        (renewed.is_held, renewed.token),
        (true, lease.token),
        "the renewed lease"
    );
    let other = connection.lease(2, key, "other", LONG).await??;
    must!(!other.is_held, "another renews the lease: {other:?}");
    connection.lease(3, key, "one", LONG).await??;
    Ok(())
}

async fn released(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let key = &world.space;
    let lease = connection.lease(1, key, "one", LONG).await??;
    connection.lease(3, key, "other", LONG).await??;
    let denied = connection.lease(1, key, "other", LONG).await??;
    must!(!denied.is_held, "another released the lease of its holder");
    connection.lease(3, key, "one", LONG).await??;
    let next = connection.lease(1, key, "other", LONG).await??;
    must!(next.is_held, "a released lease is not granted: {next:?}");
    must!(
        next.token > lease.token,
        "a later grant has the token {}, the one before {}",
        next.token,
        lease.token
    );
    connection.lease(3, key, "other", LONG).await??;
    Ok(())
}

async fn runs_out(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let key = &world.space;
    let lease = connection.lease(1, key, "one", 300).await??;
    must!(lease.is_held, "the lease is not granted");
    let until = tokio::time::Instant::now() + world.patience;
    loop {
        let next = connection.lease(1, key, "other", LONG).await??;
        if next.is_held {
            must!(
                next.token > lease.token,
                "a later grant has the token {}, the one before {}",
                next.token,
                lease.token
            );
            break;
        }
        must!(
            tokio::time::Instant::now() < until,
            "a lease of 300 ms is held after {:?}",
            world.patience
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let late = connection.lease(2, key, "one", LONG).await??;
    must!(!late.is_held, "a lease that was granted to another is renewed");
    connection.lease(3, key, "other", LONG).await??;
    Ok(())
}

async fn times(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let key = &world.space;
    for ms in [0, 86_400_001] {
        refused(connection.lease(1, key, "one", ms).await?, INVALID)?;
    }
    for ms in [1, 86_400_000] {
        let lease = connection.lease(1, &format!("{key}-{ms}"), "one", ms).await??;
        must!(lease.is_held, "a lease of {ms} ms is not granted");
        connection.lease(3, &format!("{key}-{ms}"), "one", ms).await??;
    }
    Ok(())
}

async fn fence(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let key = &world.space;
    let lease = connection.lease(1, key, "one", LONG).await??;
    let mut append = world.append("a", 1, &["fenced"]);
    append.fence = Some((key.clone(), lease.token));
    connection.append(&append).await??;
    connection.lease(2, key, "one", LONG).await??;
    let mut append = world.append("a", 2, &["fenced"]);
    append.fence = Some((key.clone(), lease.token));
    world.dial().await?.append(&append).await??;
    connection.lease(3, key, "one", LONG).await??;
    Ok(())
}

async fn fenced_off(world: &World) -> Step<()> {
    let mut connection = world.dial().await?;
    let key = &world.space;
    let first = connection.lease(1, key, "one", LONG).await??;
    let mut append = world.append("a", 1, &["never"]);
    append.fence = Some((key.clone(), first.token));
    connection.lease(3, key, "one", LONG).await??;
    let off = refused(connection.append(&append).await?, FENCED_OFF)?;
    same!(off.number, first.token, "the token in the error, after a release");
    let second = connection.lease(1, key, "other", LONG).await??;
    let off = refused(connection.append(&append).await?, FENCED_OFF)?;
    same!(
        off.number,
        first.token,
        "the token in the error, after a grant to another"
    );
    append.fence = Some((key.clone(), second.token + 1));
    refused(connection.append(&append).await?, FENCED_OFF)?;
    append.fence = Some((format!("{key}-never"), second.token));
    refused(connection.append(&append).await?, FENCED_OFF)?;
    let read = connection.read(&world.read("a")).await??;
    must!(read.entries().is_empty(), "what was fenced off is stored");
    connection.lease(3, key, "other", LONG).await??;
    Ok(())
}
