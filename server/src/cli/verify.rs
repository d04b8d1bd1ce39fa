//! `verify`: check a data directory that no server is using.

use std::path::PathBuf;

use streamkit_engine::{StoreReport, verify_on};

use super::failure::Failure;
use super::offline;
use super::output::{Out, counted, json_lines};

#[derive(clap::Args)]
pub(crate) struct Verify {
    /// The data directory
    dir: PathBuf,
    /// Print JSON: one line a store
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let json = json_lines(self.json);
        let dir = self.dir;
        let report = offline::with_progress(move |progress| verify_on(&offline::disk(), &dir, progress)).await?;
        let mut out = Out::new();
        offline::print_format(&mut out, json, report.format.as_ref())?;
        for store in &report.stores {
            print(&mut out, json, store)?;
        }
        let damaged = report.stores.iter().filter(|store| !store.damage.is_empty()).count();
        if report.is_clean() && !json {
            let stores = counted(report.stores.len() as u64, "store");
            out.text(format_args!("{stores}, no damage"))?;
        }
        out.flush()?;
        if !report.is_clean() {
            let what = match damaged {
                0 => "the directory's file `format` is damaged, no store is".to_owned(),
                _ => format!("{damaged} of {} stores are damaged", report.stores.len()),
            };
            let called = super::called::called();
            let next = format!("restore them from a backup, or copy what is whole with `{called} repair`");
            return Err(Failure::damage(what).hint(next));
        }
        Ok(())
    }
}

fn print(out: &mut Out, json: bool, store: &StoreReport) -> Result<(), Failure> {
    if json {
        let damage: Vec<serde_json::Value> = store.damage.iter().map(offline::damage_json).collect();
        return out.json(&serde_json::json!({
            "store": store.store.0,
            "extents": store.extents,
            "groups": store.groups,
            "segments": store.segments,
            "entries": store.entries,
            "log_bytes": store.log_bytes,
            "torn_tail": store.torn_tail.is_some(),
            "damage": damage,
            "refused": store.refused,
        }));
    }
    out.text(format_args!(
        "store {}: {} extents, {} groups, {} entries in {} segments",
        store.store, store.extents, store.groups, store.entries, store.segments
    ))?;
    if let Some(torn) = &store.torn_tail {
        out.text(format_args!(
            "  torn tail at {torn}: a write that was never acknowledged; the next start removes it. No damage."
        ))?;
    }
    if let Some(refused) = &store.refused {
        out.text(format_args!("  does not open: {refused}"))?;
    }
    store
        .damage
        .iter()
        .try_for_each(|damage| offline::damage_text(out, damage))
}
