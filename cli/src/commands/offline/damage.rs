//! What is damaged, missing or lost, as JSON and for people.

use streamkit_engine::{Damage, Missing, SequenceRange};

use crate::failure::Failure;
use crate::output::{Out, counted, path_text};

/// A damaged place as JSON.
pub(super) fn as_json(damage: &Damage) -> serde_json::Value {
    serde_json::json!({
        "file": path_text(&damage.path),
        "extent": damage.extent,
        "byte": damage.byte,
        "end": damage.end,
        "found": damage.found,
        "whole_transactions": damage.whole_transactions,
        "lost_transactions": damage.lost_transactions,
        "lost": ranges_json(&damage.affected),
        "lost_is_all": damage.affected_is_all,
    })
}

/// The damage of a directory as a whole, which is of no store.
pub(super) fn print_format(out: &mut Out, json: bool, damage: Option<&Damage>) -> Result<(), Failure> {
    let Some(damage) = damage else { return Ok(()) };
    if json {
        return out.json(&serde_json::json!({ "store": null, "damage": [as_json(damage)] }));
    }
    print(out, damage)
}

/// What a directory should hold and does not.
pub(super) fn print_missing(out: &mut Out, json: bool, missing: &Missing) -> Result<(), Failure> {
    let (store, what) = (missing.store, &missing.what);
    match json {
        true => out.json(&serde_json::json!({ "store": store.0, "missing": what })),
        false => out.text(format_args!("store {store}: MISSING: {what}")),
    }
}

/// Entries as JSON.
pub(super) fn ranges_json(ranges: &[SequenceRange]) -> Vec<serde_json::Value> {
    let json = |range: &SequenceRange| {
        serde_json::json!({
            "space": range.path.space.as_str(),
            "segment": range.path.segment.as_str(),
            "first_sequence": range.first.0,
            "last_sequence": range.last.0,
        })
    };
    ranges.iter().map(json).collect()
}

/// A damaged place for people.
pub(super) fn print(out: &mut Out, damage: &Damage) -> Result<(), Failure> {
    let Damage { byte, end, found, .. } = damage;
    let path = damage.path.display();
    match end > byte {
        true => out.text(format_args!("  DAMAGE {path} bytes {byte} to {end}: {found}"))?,
        false => out.text(format_args!("  DAMAGE {path} byte {byte}: {found}"))?,
    }
    if let Some(lost) = damage.lost_transactions {
        out.text(format_args!("    lost here: {}", counted(lost, "transaction")))?;
    }
    if damage.whole_transactions > 0 {
        out.text(format_args!(
            "    whole, but nothing proves of which store: {}; `repair --take-unproven` takes what is this one's",
            counted(damage.whole_transactions, "transaction")
        ))?;
    }
    for range in &damage.affected {
        out.text(format_args!("    lost: {range}"))?;
    }
    match (damage.affected_is_all, damage.affected.is_empty()) {
        (true, true) => out.text("    no entry is lost"),
        (true, false) => Ok(()),
        (false, true) => out.text(format_args!(
            "    lost: unknown, bytes {byte} to {end} of extent {}",
            damage.extent
        )),
        (false, false) => out.text("    lost: maybe others, too"),
    }
}
