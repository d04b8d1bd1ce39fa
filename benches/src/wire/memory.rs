//! Memory of connections that do nothing: before their first call, and after it.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use streamkit_client::{Client, ConsumeSegment, NewRecord, Protocol};
use tokio::runtime::Runtime;

use super::child;
use crate::figures::number;
use crate::payload::{self, SPACE};
use crate::rows::remove;
use crate::servers::process::Process;
use crate::servers::streamkit::{dial, token};
use crate::side_by_side::Plan;
use crate::{Outcome, Usage};

/// How many connections.
#[derive(Clone, Debug)]
pub struct Idle {
    /// Measured at each of these, the smallest first.
    pub connections: Vec<usize>,
}

/// Connections that are made, or called, at a time.
const AT_ONCE: usize = 32;

/// How long memory may settle before it is counted.
const SETTLING: Duration = Duration::from_secs(3);

/// KiB of the server for each connection: over each version, at each number of them.
pub(super) fn measure(runtime: &Runtime, plan: &Plan, idle: &Idle) -> Outcome<Value> {
    let mut found = Vec::new();
    for (name, protocol) in [("over v1", Protocol::V1), ("over v2", Protocol::V2)] {
        let process = child::start(plan, "idle")?;
        eprintln!("memory of connections {name} …");
        let of_version = runtime.block_on(count(&process, protocol, idle));
        let dir = process.place.dir.clone();
        drop(process);
        remove(&dir)?;
        for (connections, fresh, called) in of_version? {
            found.push(json!({
                "name": name,
                "connections": connections,
                "fresh_kib": number(fresh),
                "called_kib": number(called),
            }));
        }
    }
    Ok(found.into())
}

async fn count(process: &Process, protocol: Protocol, idle: &Idle) -> Outcome<Vec<(usize, f64, f64)>> {
    let (token, address) = (token()?, process.place.address());
    let mut counted = Vec::new();
    let (mut clients, mut grown_by_calls) = (Vec::new(), 0.0);
    // The first one pays for what all share.
    let first = dial(&address, &token, protocol).await?;
    call(&first, usize::MAX >> 1).await?;
    let nothing = settled(process).await?;
    for connections in &idle.connections {
        let more = connections.saturating_sub(clients.len());
        let dialled = stream::iter(0..more).map(|_| dial(&address, &token, protocol));
        clients.extend(dialled.buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?);
        let fresh = settled(process).await?;
        let calls = clients
            .iter()
            .enumerate()
            .skip(clients.len() - more)
            .map(|(number, client)| call(client, number));
        stream::iter(calls)
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<_>>()
            .await?;
        let called = settled(process).await?;
        let each = clients.len() as f64 * 1024.0;
        // What calls of the connections before left is theirs.
        counted.push((
            *connections,
            (fresh - nothing - grown_by_calls) / each,
            (called - nothing) / each,
        ));
        grown_by_calls += called - fresh;
    }
    Ok(counted)
}

/// Appends and reads one record.
async fn call(client: &Client, number: usize) -> Outcome {
    let store = client.store(payload::store_id(0).0);
    let segment = format!("order-{number}");
    let record = payload::record(number, 1, 256);
    store
        .produce_all(SPACE, &segment, 1, [NewRecord::new(record.clone())])
        .await?;
    let read: Vec<_> = store
        .consume_segment(ConsumeSegment::all(SPACE, &segment))
        .try_collect()
        .await?;
    match &read[..] {
        [entry] if entry.payload == record => Ok(()),
        _ => Err(format!("{segment}: something else was read than appended").into()),
    }
}

/// Bytes of the server's memory once it settled.
async fn settled(process: &Process) -> Outcome<f64> {
    tokio::time::sleep(SETTLING).await;
    Ok(Usage::of(process.id())?.resident_bytes as f64)
}
