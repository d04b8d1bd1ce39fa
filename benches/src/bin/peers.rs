//! `peers`: our server beside others, in one table. docs/PERFORMANCE.md says what is measured and how.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use streamkit_benches::servers::kinds::KINDS;
use streamkit_benches::servers::{install, programs::Programs};
use streamkit_benches::side_by_side::floors::OtherSide;
use streamkit_benches::side_by_side::run::{ENGINE, measure};
use streamkit_benches::side_by_side::{Plan, Work, record, table};
use streamkit_benches::{Outcome, history, machine, report};

/// Measures our server beside others, each as a process of its own
#[derive(Parser)]
struct Peers {
    /// Scale everything down: to see that it works, not for results
    #[arg(long)]
    quick: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Only these, by the beginnings of their names
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<String>,
    /// How long each load is measured, in seconds
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How often each has its turn
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Write everything in a new folder of this one; it says which disk is measured
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// The folder the servers were installed to
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/peers"))]
    programs: PathBuf,
    /// Install the servers in this folder with apt-get, cargo, go and pip, and measure nothing
    #[arg(long, value_name = "FOLDER")]
    install: Option<PathBuf>,
    /// Append the result to benches/results/peers.jsonl
    #[arg(long)]
    record: bool,
    /// Put the newest recorded result into docs/PERFORMANCE.md, and measure nothing
    #[arg(long)]
    render: bool,
    #[command(flatten)]
    other_side: OtherSide,
}

fn main() -> Outcome {
    let peers = Peers::parse();
    if peers.other_side.is_it() {
        return peers.other_side.run();
    }
    if let Some(folder) = &peers.install {
        return install::install(folder);
    }
    if peers.render {
        return Ok(std::fs::write(history::document(), record::rendered()?)?);
    }
    peers.measure()
}

impl Peers {
    fn measure(&self) -> Outcome {
        let parent = self.dir.clone().unwrap_or_else(std::env::temp_dir);
        let dir = tempfile::Builder::new().prefix("streamkit-peers-").tempdir_in(parent)?;
        let plan = self.plan(dir.path())?;
        if !self.json {
            println!(
                "{}\ncommit       {}\n",
                machine::Machine::of(dir.path())?,
                machine::commit()
            );
        }
        let run = measure(&plan, KINDS, &Programs::of(&self.programs))?;
        if self.record {
            record::RUNS.append(&run)?;
        }
        if self.json {
            println!("{run}");
            return Ok(());
        }
        print!("{}", report::table(&table::cells(&run)));
        println!("\neverything that was acknowledged was read back, compared and found whole");
        for sentence in table::sentences(&run) {
            println!("{sentence}");
        }
        Ok(())
    }

    fn plan(&self, dir: &Path) -> Outcome<Plan> {
        let plan = Plan {
            dir: dir.to_owned(),
            slice: if self.quick {
                Duration::from_millis(300)
            } else {
                Duration::from_secs_f64(self.seconds)
            },
            rounds: if self.quick { 1 } else { self.rounds.max(1) },
            fill: if self.quick { 20_000 } else { 1_000_000 },
            quick: self.quick,
            only: self.only.clone(),
            works: Work::ALL.to_vec(),
            shows_sync: true,
        };
        let names = KINDS.iter().map(|kind| kind.name).chain([ENGINE]);
        match names.into_iter().any(|name| plan.wants(name)) {
            true => Ok(plan),
            false => Err(format!("nobody is called {}", self.only.join(" or ")).into()),
        }
    }
}
