//! `limits`: P1 to P12 in one table, against the floors of the same run. docs/PERFORMANCE.md says what each row measures.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use streamkit_benches::child::{self, Work};
use streamkit_benches::rows::{Bench, GROUPS, curve};
use streamkit_benches::{Outcome, history, machine, plot, report};
use tokio::runtime::Runtime;

/// Measures the engine against the bare disk, its bars and other stores
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Limits {
    /// Scale everything down: to see that it works, not for results
    #[arg(long)]
    quick: bool,
    /// Print one JSON object a row
    #[arg(long)]
    json: bool,
    /// Only these rows, with those they are measured together with left out
    #[arg(long, value_delimiter = ',', value_name = "P1,P5")]
    only: Vec<String>,
    /// Append the results to benches/results/history.jsonl
    #[arg(long)]
    record: bool,
    /// Measure the points of the plot instead of the rows
    #[arg(long)]
    load: bool,
    /// Write everything in a new folder of this one; it says which disk is measured
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Put the newest results of the history into docs/PERFORMANCE.md, and measure nothing
    #[arg(long)]
    render: bool,
    /// Draw the newest recorded points as an SVG file, and measure nothing
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    #[command(subcommand)]
    child: Option<Child>,
}

#[derive(Subcommand)]
enum Child {
    #[command(hide = true)]
    Child {
        work: String,
        dir: PathBuf,
        numbers: Vec<u64>,
    },
}

fn main() -> Outcome {
    let limits = Limits::parse();
    if let Some(Child::Child { work, dir, numbers }) = &limits.child {
        let work = Work::parse(work).ok_or("there is no such work for a child")?;
        return child::run(work, dir, numbers);
    }
    if limits.render {
        let document = std::fs::read_to_string(history::document())?;
        let made = history::put(&document, &history::render(&history::read()?))?;
        return Ok(std::fs::write(history::document(), made)?);
    }
    if let Some(file) = &limits.plot {
        let svg = plot::draw(&history::read()?).ok_or("the history has no points: record some with --load --record")?;
        return Ok(std::fs::write(file, svg)?);
    }
    limits.measure()
}

impl Limits {
    fn measure(&self) -> Outcome {
        for id in &self.only {
            if !GROUPS.iter().any(|group| group.ids.contains(&id.as_str())) {
                return Err(format!("there is no row {id}").into());
            }
        }
        let parent = self.dir.clone().unwrap_or_else(std::env::temp_dir);
        let dir = tempfile::Builder::new()
            .prefix("streamkit-limits-")
            .tempdir_in(parent)?;
        let machine = machine::Machine::of(dir.path())?;
        if !self.json {
            println!("{machine}\ncommit       {}\n", machine::commit());
        }
        let bench = Bench {
            dir: dir.path().to_owned(),
            quick: self.quick,
            runtime: Runtime::new()?,
        };
        let rows = if self.load {
            curve::points(&bench)?
        } else {
            self.rows(&bench)?
        };
        if self.record {
            history::append(&rows, &machine)?;
        }
        if self.json || self.load {
            rows.iter().for_each(|row| println!("{row}"));
        } else {
            let cells: Vec<_> = std::iter::once(report::heads())
                .chain(rows.iter().map(report::cells))
                .collect();
            print!("{}", report::table(&cells));
            println!("\nlatencies are p50/p99/p99.9/max; everything that was measured was read back and found whole");
        }
        Ok(())
    }

    fn rows(&self, bench: &Bench) -> Outcome<Vec<serde_json::Value>> {
        let wanted = |id: &&str| self.only.is_empty() || self.only.iter().any(|only| only == id);
        let mut rows = Vec::new();
        for group in GROUPS.iter().filter(|group| group.ids.iter().any(wanted)) {
            eprintln!("measuring {} …", group.ids.join(", "));
            let measured = (group.measure)(bench)?;
            rows.extend(measured.iter().filter(|row| wanted(&row.id)).map(report::Row::to_json));
        }
        rows.sort_by_key(|row| row["id"].as_str().and_then(|id| id[1..].parse::<u32>().ok()));
        Ok(rows)
    }
}
