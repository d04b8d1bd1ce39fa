//! `verify`: check a data directory that no server is using.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use super::failure::Failure;
use super::output::{Out, json_lines};

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
        let dir = self.dir.clone();
        let checked = tokio::task::spawn_blocking(move || {
            let bar = match std::io::stderr().is_terminal() {
                true => indicatif::ProgressBar::new(0),
                false => indicatif::ProgressBar::hidden(),
            };
            let report = streamkit_engine::verify(&dir, &mut |progress| {
                bar.set_length(progress.bytes_total);
                bar.set_position(progress.bytes_done);
            });
            bar.finish_and_clear();
            report
        });
        let report = checked.await.map_err(|error| Failure::new(error.to_string()))??;
        let mut out = Out::new();
        let mut damaged = 0;
        for store in &report.stores {
            damaged += usize::from(!store.damage.is_empty());
            if json_lines(self.json) {
                let damage: Vec<serde_json::Value> = store
                    .damage
                    .iter()
                    .map(|d| serde_json::json!({"file": d.path, "extent": d.extent, "byte": d.byte, "found": d.found}))
                    .collect();
                out.json(&serde_json::json!({
                    "store": store.store.0,
                    "extents": store.extents,
                    "groups": store.groups,
                    "segments": store.segments,
                    "entries": store.entries,
                    "log_bytes": store.log_bytes,
                    "torn_tail": store.torn_tail.is_some(),
                    "damage": damage,
                }))?;
                continue;
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
            for damage in &store.damage {
                out.text(format_args!(
                    "  DAMAGE {} byte {}: {}",
                    damage.path.display(),
                    damage.byte,
                    damage.found
                ))?;
            }
        }
        if damaged == 0 && !json_lines(self.json) {
            out.text(format_args!("{} stores, no damage", report.stores.len()))?;
        }
        out.flush()?;
        if damaged > 0 {
            let what = format!("{damaged} of {} stores are damaged", report.stores.len());
            return Err(Failure::damage(what).hint("restore them from a backup"));
        }
        Ok(())
    }
}
