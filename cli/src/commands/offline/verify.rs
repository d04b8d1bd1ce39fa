//! `verify`: check a data directory that no server is using.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use streamkit_engine::backup::Manifest;
use streamkit_engine::{AtLeast, SegmentPath, Sequence, StoreId, StoreReport, stores_on, verify_at_least_on};
use uuid::Uuid;

use super::{damage, progress};
use crate::failure::Failure;
use crate::output::{Out, counted, json_lines};
use crate::serving::folder;

#[derive(clap::Args)]
pub(crate) struct Verify {
    /// The data directory
    dir: PathBuf,
    /// It must hold this backup (folder, backup.json), or up to this sequence
    #[arg(long, value_name = "SPACE/SEGMENT=SEQUENCE|BACKUP")]
    at_least: Vec<OsString>,
    /// The store of those segments, if there are several
    #[arg(long, value_name = "UUID", value_parser = crate::arguments::store)]
    store: Option<Uuid>,
    /// Print JSON: one line a store
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        folder::refuse_host(&self.dir)?;
        let json = json_lines(self.json);
        let dir = self.dir;
        let (wanted, store, place) = (self.at_least, self.store, dir.clone());
        let at_least = tokio::task::spawn_blocking(move || at_least(&place, &wanted, store));
        let at_least = at_least.await.map_err(|error| Failure::new(error.to_string()))??;
        let verify =
            move |progress: &mut dyn FnMut(_)| verify_at_least_on(&progress::disk(), &dir, &at_least, progress);
        let report = progress::with_progress(progress::bar(), verify).await?;
        let mut out = Out::new();
        damage::print_format(&mut out, json, report.format.as_ref())?;
        damage::print_format(&mut out, json, report.manifest.as_ref())?;
        for store in &report.stores {
            print(&mut out, json, store)?;
        }
        for missing in &report.missing {
            damage::print_missing(&mut out, json, missing)?;
        }
        let damaged = report.stores.iter().filter(|store| !store.damage.is_empty()).count();
        if report.is_clean() && !json {
            let stores = counted(report.stores.len() as u64, "store");
            out.text(format_args!("{stores}, no damage"))?;
        }
        out.flush()?;
        if !report.is_clean() {
            let what = match damaged {
                0 if report.manifest.is_some() => "the backup's manifest is damaged, no store is".to_owned(),
                0 if report.format.as_ref().is_some_and(|damage| !damage.affected_is_all) => {
                    "what the directory held is not known".to_owned()
                }
                0 if report.format.is_some() => "the directory's file `format` is damaged, no store is".to_owned(),
                0 => "what was there at least is missing".to_owned(),
                _ => format!(
                    "damage in {damaged} of {}",
                    counted(report.stores.len() as u64, "store")
                ),
            };
            let called = crate::called::called();
            let next = format!("restore them from a backup, or copy what is whole with `{called} repair`");
            return Err(Failure::damage(what).hint(next));
        }
        Ok(())
    }
}

/// What the directory must hold, as it was given.
fn at_least(dir: &Path, wanted: &[OsString], store: Option<Uuid>) -> Result<AtLeast, Failure> {
    let mut at_least = AtLeast::default();
    let wrong = |given: &OsString, why: String| Failure::arguments(format!("--at-least {}: {why}", given.display()));
    for text in wanted {
        // Names are texts, paths need not be.
        if let Some((path, sequence)) = text.to_str().and_then(segment) {
            let (space, segment) = crate::arguments::path(path).map_err(|why| wrong(text, why))?;
            let path = SegmentPath::new(&space, &segment).map_err(|why| wrong(text, why.to_string()))?;
            let sequence = sequence
                .parse()
                .map_err(|_| wrong(text, "no sequence is as high".to_owned()))?;
            let store = match store {
                Some(store) => StoreId(store),
                None => only_store(dir)?,
            };
            at_least.segments.push((store, path, Sequence(sequence)));
        } else {
            let place = Path::new(text);
            let is_manifest = place
                .file_name()
                .is_some_and(|name| name == streamkit_engine::backup::MANIFEST);
            let folder = match place.parent().filter(|_| is_manifest) {
                Some(parent) => parent,
                None => place,
            };
            let manifest = Manifest::read(&*progress::disk(), folder).map_err(|why| wrong(text, why.to_string()))?;
            let none = || {
                wrong(
                    text,
                    "no backup is there; a segment is written SPACE/SEGMENT=SEQUENCE".to_owned(),
                )
            };
            at_least.backups.push(manifest.ok_or_else(none)?);
        }
    }
    Ok(at_least)
}

/// A segment and a sequence: names may hold any sign, so the last `=` separates them.
fn segment(text: &str) -> Option<(&str, &str)> {
    let (path, sequence) = text.rsplit_once('=')?;
    let is_number = !sequence.is_empty() && sequence.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some((path, sequence))
}

fn only_store(dir: &Path) -> Result<StoreId, Failure> {
    match stores_on(&progress::disk(), dir)?[..] {
        [store] => Ok(store),
        ref stores => {
            let what = format!("{} stores are there: say which one with --store", stores.len());
            Err(Failure::arguments(what))
        }
    }
}

fn print(out: &mut Out, json: bool, store: &StoreReport) -> Result<(), Failure> {
    if json {
        let damage: Vec<serde_json::Value> = store.damage.iter().map(damage::as_json).collect();
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
        "store {}: {}, {}, {} in {}",
        store.store,
        counted(store.extents, "extent"),
        counted(store.groups, "group"),
        counted(store.entries, "entry"),
        counted(store.segments, "segment")
    ))?;
    if let Some(torn) = &store.torn_tail {
        out.text(format_args!(
            "  torn tail at {torn}: a write that was never acknowledged; the next start removes it. No damage."
        ))?;
    }
    if let Some(refused) = &store.refused {
        out.text(format_args!("  does not open: {refused}"))?;
    }
    store.damage.iter().try_for_each(|damage| damage::print(out, damage))
}
