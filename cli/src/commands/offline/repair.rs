//! `repair`: copy what is whole of a damaged data directory into a new one.

use std::path::{Component, Path, PathBuf};

use streamkit_engine::{Keep, RepairOptions, StoreRepair, repair_on};

use super::{damage, progress};
use crate::failure::Failure;
use crate::output::{Out, counted, json_lines};
use crate::serving::folder;

#[derive(clap::Args)]
pub(crate) struct Repair {
    /// The data directory, which is only read
    dir: PathBuf,
    /// The new data directory: empty, not there yet, or unfinished
    target: PathBuf,
    /// What to keep of a segment with a hole in its sequences
    #[arg(long, value_enum, default_value_t = KeepArgument::Newest)]
    keep: KeepArgument,
    /// Also take whole transactions that stand in damaged groups
    #[arg(long)]
    take_unproven: bool,
    /// Print JSON: one line a store
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum KeepArgument {
    /// What stands behind the last hole: the head stays
    Newest,
    /// What stands before the first hole
    Oldest,
}

impl Repair {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        folder::refuse_host(&self.dir)?;
        let json = json_lines(self.json);
        let keep = match self.keep {
            KeepArgument::Newest => Keep::Newest,
            KeepArgument::Oldest => Keep::Oldest,
        };
        let options = RepairOptions {
            keep,
            take_unproven: self.take_unproven,
        };
        let (dir, target) = (resolved(&self.dir), resolved(&self.target));
        // Behind a folder that is not there yet, nobody can say where `..` leads.
        if target.components().any(|part| part == Component::ParentDir) {
            let what = format!("{} goes through a folder that does not exist", self.target.display());
            return Err(Failure::arguments(what));
        }
        let copy = move |progress: &mut dyn FnMut(_)| repair_on(&progress::disk(), &dir, &target, options, progress);
        let report = progress::with_progress(progress::bar(), copy).await?;
        let mut out = Out::new();
        damage::print_format(&mut out, json, report.format.as_ref())?;
        for store in &report.stores {
            print(&mut out, json, store)?;
        }
        if !json {
            out.text(format_args!(
                "{} in {}",
                counted(report.stores.len() as u64, "store"),
                self.target.display()
            ))?;
        }
        for missing in &report.missing {
            damage::print_missing(&mut out, json, missing)?;
        }
        out.flush()?;
        let incomplete = report.stores.iter().filter(|store| !store.is_complete()).count();
        if incomplete > 0 {
            let lists = |store: &StoreRepair| {
                !store.left_out.is_empty() || store.damage.iter().any(|damage| !damage.affected.is_empty())
            };
            let (lost, next) = match report.stores.iter().any(lists) {
                true => ("lost", "they are listed above"),
                false => (
                    "may have lost",
                    "what is damaged is listed above, and nothing tells what stood there",
                ),
            };
            let what = format!(
                "what is whole is copied, but {incomplete} of {} {lost} entries",
                counted(report.stores.len() as u64, "store")
            );
            return Err(Failure::damage(what).hint(next));
        }
        if !report.is_complete() {
            let what = "what is whole is copied, but not all that was there is; see above what is missing";
            return Err(Failure::damage(what));
        }
        Ok(())
    }
}

/// A folder by the one name that it has however it was written, so that two can be told apart; of one that is not there yet,
/// as far as it goes.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let known = |above: &Path| Some((std::fs::canonicalize(above).ok()?, above.to_owned()));
    match path.ancestors().find_map(known) {
        // By its parts: joined with nothing, it would end with a slash.
        Some((there, above)) => (there.components())
            .chain(path.strip_prefix(&above).unwrap_or(Path::new("")).components())
            .collect(),
        None => path,
    }
}

fn print(out: &mut Out, json: bool, store: &StoreRepair) -> Result<(), Failure> {
    if json {
        let damage: Vec<serde_json::Value> = store.damage.iter().map(damage::as_json).collect();
        return out.json(&serde_json::json!({
            "store": store.store.0,
            "entries": store.entries,
            "transactions": store.transactions,
            "complete": store.is_complete(),
            "torn_tail": store.torn_tail.is_some(),
            "damage": damage,
            "left_out": damage::ranges_json(&store.left_out),
        }));
    }
    out.text(format_args!(
        "store {}: {} in {} copied",
        store.store,
        counted(store.entries, "entry"),
        counted(store.transactions, "transaction")
    ))?;
    store.damage.iter().try_for_each(|damage| damage::print(out, damage))?;
    store.left_out.iter().try_for_each(|range| {
        out.text(format_args!(
            "  left out, whole but apart from what is kept of its segment: {range}"
        ))
    })
}
