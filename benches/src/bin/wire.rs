//! `wire`: what going over the network costs, against the floors, the engine and the bars. docs/PERFORMANCE.md says what is measured and
//! how.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use streamkit_benches::side_by_side::floors::OtherSide;
use streamkit_benches::side_by_side::{Plan, Work};
use streamkit_benches::wire::{Asked, Followers, Idle, cells, measure, record, rows, serve};
use streamkit_benches::{Outcome, history, machine, raise_open_files, report};

/// The allocator of the server's own program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measures our server and client over loopback: over v1, over v2, and the engine alone
#[derive(Parser)]
struct Wire {
    /// What to measure
    #[arg(value_enum, default_value = "all")]
    what: What,
    /// Scale everything down: to see that it works, not for results
    #[arg(long)]
    quick: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// How long each load is measured, in seconds
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How often each has its turn
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only these, by the beginnings of their names: engine, over v1, over v2
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<String>,
    /// Entries that are read
    #[arg(long, default_value_t = 2_000_000)]
    entries: u64,
    /// How many follow
    #[arg(long, default_value_t = 1000)]
    followers: usize,
    /// Connections that the followers are spread over
    #[arg(long, default_value_t = 1000)]
    connections: usize,
    /// Entries a second that the followers get
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
    /// Entries of one transaction that the followers get
    #[arg(long, default_value_t = 10)]
    batch: u64,
    /// Bytes of an entry that the followers get
    #[arg(long, default_value_t = 256)]
    bytes: usize,
    /// Segments that one follows by name
    #[arg(long, default_value_t = 10_000)]
    segments: usize,
    /// Idle connections, counted at each of these numbers
    #[arg(long, value_delimiter = ',', default_values_t = [1000, 10_000])]
    idle: Vec<usize>,
    /// Write everything in a new folder of this one; it says which disk is measured
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Append the result to benches/results/wire.jsonl
    #[arg(long)]
    record: bool,
    /// Put the newest recorded results into docs/PERFORMANCE.md, and measure nothing
    #[arg(long)]
    render: bool,
    #[command(flatten)]
    other_side: OtherSide,
    #[arg(long, hide = true, value_name = "FOLDER", requires = "port")]
    serve: Option<PathBuf>,
    #[arg(long, hide = true)]
    port: Option<u16>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Everything
    All,
    /// Appends: 1 writer × 1, 64 writers × 1, 64 writers × 100 records of 256 B
    Append,
    /// One reader of all there is
    Read,
    /// Followers of one space
    Follow,
    /// One follower of many segments
    Scattered,
    /// Memory of idle connections
    Memory,
}

fn main() -> Outcome {
    raise_open_files();
    let wire = Wire::parse();
    if wire.other_side.is_it() {
        return wire.other_side.run();
    }
    if let (Some(data), Some(port)) = (&wire.serve, wire.port) {
        return serve(data, port);
    }
    if wire.render {
        return Ok(std::fs::write(history::document(), record::rendered()?)?);
    }
    wire.measure()
}

impl Wire {
    fn measure(&self) -> Outcome {
        let parent = self.dir.clone().unwrap_or_else(std::env::temp_dir);
        let dir = tempfile::Builder::new().prefix("streamkit-wire-").tempdir_in(parent)?;
        let asked = self.asked(dir.path());
        if !self.json {
            println!(
                "{}\ncommit       {}\n",
                machine::Machine::of(dir.path())?,
                machine::commit()
            );
        }
        let run = measure(&asked)?;
        if self.record {
            record::RUNS.append(&run)?;
        }
        if self.json {
            println!("{run}");
            return Ok(());
        }
        print!("{}", report::table(&cells(&rows(&run))));
        println!(
            "\nwith a rate: processor time of server + client for each; everything that was acknowledged was read back, compared and found whole"
        );
        Ok(())
    }

    fn does(&self, what: What) -> bool {
        self.what == What::All || self.what == what
    }

    fn asked(&self, dir: &Path) -> Asked {
        let mut works = Vec::new();
        if self.does(What::Append) {
            works.extend([Work::One, Work::Many, Work::Bulk]);
        }
        if self.does(What::Read) {
            works.push(Work::Read);
        }
        let slice = match self.quick {
            true => Duration::from_millis(300),
            false => Duration::from_secs_f64(self.seconds),
        };
        let scaled = |count: usize| if self.quick { (count / 20).max(1) } else { count };
        let plan = Plan {
            dir: dir.to_owned(),
            slice,
            rounds: if self.quick { 1 } else { self.rounds.max(1) },
            fill: if self.quick { 20_000 } else { self.entries },
            quick: self.quick,
            only: self.only.clone(),
            works,
            shows_sync: false,
        };
        let followers = Followers {
            followers: scaled(self.followers.max(1)),
            connections: scaled(self.connections.clamp(1, self.followers.max(1))),
            rate: scaled(usize::try_from(self.rate.max(1)).unwrap_or(usize::MAX)) as u64,
            batch: self.batch.max(1),
            bytes: self.bytes,
            time: slice,
        };
        let idle = Idle {
            connections: self.idle.iter().map(|count| scaled(*count)).collect(),
        };
        Asked {
            plan,
            followers: self.does(What::Follow).then_some(followers),
            scattered: self.does(What::Scattered).then(|| scaled(self.segments.max(1))),
            idle: self.does(What::Memory).then_some(idle),
        }
    }
}
