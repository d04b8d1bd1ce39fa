//! One round of a server: started with nothing stored, loaded, read, compared and stopped.

use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::{Builder, Runtime};

use super::taken::Taken;
use super::{BULK, Plan, READS, Round, WRITERS, Work};
use crate::Outcome;
use crate::figures::{self, Figures};
use crate::load::{self, Done, Heads, Load};
use crate::rows::remove;
use crate::servers::kinds::Kind;
use crate::servers::process::Process;
use crate::servers::programs::Programs;
use crate::servers::{Connect, RECORD_BYTES, Server, Way, Writer};
use crate::verify::Found;

/// Measures one round.
pub(super) fn round(plan: &Plan, kind: &Kind, connect: Connect, programs: &Programs) -> Outcome<Round> {
    let dir = plan.fresh(kind.name)?;
    let process = Process::start(kind, programs, &dir, None)?;
    let mut heads = vec![0; WRITERS];
    let mut round = Round::new();
    if plan.does(Work::One) {
        round.push((Work::One, None, one(plan, kind, connect, &process, &mut heads)?));
    }
    let runtime = Runtime::new()?;
    let rest = runtime.block_on(async {
        let server = connect(process.place.clone()).await?;
        all_but_one(plan, kind, server, Some(process.id()), &mut heads).await
    });
    round.extend(rest?);
    drop(process);
    remove(&dir)?;
    Ok(round)
}

/// One writer, all of whose client is on one thread: no thread waits for another.
fn one(plan: &Plan, kind: &Kind, connect: Connect, process: &Process, heads: &mut Heads) -> Outcome<Figures> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = connect(process.place.clone()).await?;
        let mut writers = vec![server.writer(0, kind.ways[0]).await?];
        let load = plan.load(1, 1);
        write(&mut writers, heads, plan.warming(load)).await?;
        write(&mut writers, heads, load).await
    })
}

async fn all_but_one(
    plan: &Plan,
    kind: &Kind,
    server: Arc<dyn Server>,
    process: Option<u32>,
    heads: &mut Heads,
) -> Outcome<Round> {
    let mut round = Round::new();
    for way in kind.ways.iter().filter(|_| plan.does(Work::Many)) {
        let figures = loaded(plan, server.as_ref(), process, *way, plan.load(WRITERS, 1), heads).await?;
        round.push((Work::Many, Some(*way), figures));
    }
    if plan.does(Work::Read) {
        let mut writers = writers(server.as_ref(), kind.ways[0]).await?;
        write(&mut writers, heads, plan.filling()).await?;
        drop(writers);
        let mut reads = Vec::new();
        for _ in 0..READS {
            let taken = Taken::begin(process)?;
            let figures = read(server.as_ref(), heads).await?;
            let entries = figures.get("entries");
            reads.push(taken.of(figures, entries)?);
        }
        round.push((Work::Read, None, Figures::median(&reads)));
    }
    for way in kind.ways.iter().filter(|_| plan.does(Work::Bulk)) {
        let figures = loaded(plan, server.as_ref(), process, *way, plan.load(WRITERS, BULK), heads).await?;
        round.push((Work::Bulk, Some(*way), figures));
    }
    let mut found = Found::new(WRITERS, RECORD_BYTES);
    server.read(WRITERS, &mut |record| found.record(record)).await?;
    found.compare(heads)?;
    Ok(round)
}

async fn loaded(
    plan: &Plan,
    server: &dyn Server,
    process: Option<u32>,
    way: Way,
    load: Load,
    heads: &mut Heads,
) -> Outcome<Figures> {
    let mut writers = writers(server, way).await?;
    write(&mut writers, heads, plan.warming(load)).await?;
    let (taken, before) = (Taken::begin(process)?, heads.iter().sum::<u64>());
    let figures = write(&mut writers, heads, load).await?;
    let records = heads.iter().sum::<u64>() - before;
    Ok(taken.of(figures, records as f64)?.led_by(Work::Many.leader()))
}

async fn writers(server: &dyn Server, way: Way) -> Outcome<Vec<Box<dyn Writer>>> {
    let mut writers = Vec::with_capacity(WRITERS);
    for writer in 0..WRITERS {
        writers.push(server.writer(writer, way).await?);
    }
    Ok(writers)
}

/// Runs a closed loop of each of the writers on behind the heads, and raises them.
async fn write(writers: &mut Vec<Box<dyn Writer>>, heads: &mut Heads, load: Load) -> Outcome<Figures> {
    let started = Instant::now();
    let tasks: Vec<_> = writers
        .drain(..)
        .enumerate()
        .map(|(number, writer)| tokio::spawn(append(writer, number, heads[number], load, started)))
        .collect();
    let mut done = Vec::with_capacity(tasks.len());
    for task in tasks {
        let (writer, of_writer) = task.await??;
        writers.push(writer);
        done.push(of_writer);
    }
    load::sum(done, load, started, heads)
}

async fn append(
    mut writer: Box<dyn Writer>,
    number: usize,
    mut head: u64,
    load: Load,
    started: Instant,
) -> Outcome<(Box<dyn Writer>, Done)> {
    let mut latency = figures::nanoseconds()?;
    let mut calls = 0;
    while load.goes_on(calls, started) {
        let records = load.payloads(number, head + 1).collect();
        let began = Instant::now();
        writer.append(head + 1, records).await?;
        figures::record(&mut latency, began.elapsed());
        head += load.records as u64;
        calls += 1;
    }
    Ok((writer, (latency, head)))
}

/// Reads all there is, and counts it.
async fn read(server: &dyn Server, heads: &Heads) -> Outcome<Figures> {
    let (mut entries, mut bytes) = (0_u64, 0);
    let started = Instant::now();
    let visit = &mut |record: &[u8]| {
        entries += 1;
        bytes += record.len();
        Ok(())
    };
    server.read(WRITERS, visit).await?;
    let seconds = started.elapsed().as_secs_f64();
    let written: u64 = heads.iter().sum();
    if entries != written || bytes as u64 != written * RECORD_BYTES as u64 {
        return Err(format!("{written} records were acknowledged, {entries} read, of {bytes} bytes").into());
    }
    Ok(Figures(vec![
        ("entries_per_s", entries as f64 / seconds),
        ("entries", entries as f64),
    ]))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use async_trait::async_trait;
    use bytes::Bytes;

    use super::*;
    use crate::servers::Visit;
    use crate::servers::kinds::KINDS;

    /// A server in memory. It spoils the records that it is told to.
    struct Fake {
        stored: Arc<Mutex<Vec<Bytes>>>,
        spoil: fn(number: usize, record: Bytes) -> Vec<Bytes>,
    }

    #[async_trait]
    impl Server for Fake {
        async fn writer(&self, _: usize, _: Way) -> Outcome<Box<dyn Writer>> {
            let stored = Arc::clone(&self.stored);
            Ok(Box::new(FakeWriter {
                stored,
                spoil: self.spoil,
            }))
        }

        async fn read(&self, _: usize, visit: &mut Visit<'_>) -> Outcome {
            let stored = self.stored.lock().unwrap().clone();
            stored.iter().try_for_each(|record| visit(record))
        }
    }

    struct FakeWriter {
        stored: Arc<Mutex<Vec<Bytes>>>,
        spoil: fn(usize, Bytes) -> Vec<Bytes>,
    }

    #[async_trait]
    impl Writer for FakeWriter {
        async fn append(&mut self, _: u64, records: Vec<Bytes>) -> Outcome {
            let mut stored = self.stored.lock().unwrap();
            for record in records {
                let number = stored.len();
                stored.extend((self.spoil)(number, record));
            }
            Ok(())
        }
    }

    async fn measured(spoil: fn(usize, Bytes) -> Vec<Bytes>) -> Outcome<Round> {
        let plan = Plan {
            dir: std::env::temp_dir(),
            slice: Duration::from_millis(1),
            rounds: 1,
            fill: 1,
            quick: true,
            only: Vec::new(),
            works: Work::ALL.to_vec(),
            shows_sync: false,
        };
        let server = Fake {
            stored: Arc::default(),
            spoil,
        };
        all_but_one(&plan, &KINDS[0], Arc::new(server), None, &mut vec![0; WRITERS]).await
    }

    #[tokio::test]
    async fn a_server_that_lost_doubled_or_changed_a_record_has_no_figures() {
        let round = measured(|_, record| vec![record]).await.unwrap();
        assert!(
            Work::ALL[1..]
                .iter()
                .all(|work| round.iter().any(|(of, _, _)| of == work))
        );
        let lost = measured(|number, record| if number == 7 { vec![Bytes::new()] } else { vec![record] });
        let doubled = measured(|number, record| vec![record; 1 + usize::from(number == 7)]);
        let changed = measured(|number, record| {
            let mut bytes = record.to_vec();
            bytes[255] ^= u8::from(number == 7);
            vec![bytes.into()]
        });
        assert!(lost.await.is_err());
        assert!(doubled.await.is_err());
        assert!(changed.await.is_err());
    }
}
