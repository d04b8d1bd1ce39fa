//! `azure verify`: the whole log of a store is checked.

use std::io::IsTerminal as _;

use indicatif::{HumanBytes, ProgressBar};
use serde_json::json;
use streamkit_azure::log::Settings;
use streamkit_azure::medium::azure::AzureMedium;
use streamkit_azure::tools::{LogReport, Transactions, verify};
use streamkit_engine::StoreId;
use uuid::Uuid;

use crate::arguments::account::AccountOptions;
use crate::connect::reached::account;
use crate::failure::Failure;
use crate::output::{Out, counted, json_lines, time};

#[derive(clap::Args)]
pub(crate) struct Verify {
    /// The store
    #[arg(value_name = "STORE", value_parser = crate::arguments::store)]
    store: Uuid,
    #[command(flatten)]
    account: AccountOptions,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let account = account(&self.account.settings()?)?;
        let json = json_lines(self.json);
        let medium = AzureMedium::new(account, StoreId(self.store));
        let bar = match std::io::stderr().is_terminal() {
            true => ProgressBar::new(0),
            false => ProgressBar::hidden(),
        };
        let checked = verify(
            &medium,
            Settings::DEPTH,
            &mut Transactions::default(),
            &mut |progress| {
                bar.set_length(progress.of);
                bar.set_position(progress.checked);
                bar.set_message(HumanBytes(progress.bytes).to_string());
            },
        )
        .await;
        bar.finish_and_clear();
        let report = checked?;
        let mut out = Out::new();
        match json {
            true => out.json(&as_json(self.store, &report))?,
            false => print(&mut out, self.store, &report)?,
        }
        out.flush()?;
        match report.damaged {
            0 => Ok(()),
            damaged => Err(Failure::damage(format!("damage in {}", counted(damaged, "place"))).hint(
                "let no collector run, keep a copy of the container and the table, and restore the store from a copy of before",
            )),
        }
    }
}

fn as_json(store: Uuid, report: &LogReport) -> serde_json::Value {
    let damage: Vec<_> = report
        .damage
        .iter()
        .map(|damage| json!({ "place": damage.place.to_string(), "what": damage.what }))
        .collect();
    json!({
        "store": store,
        "extents": report.extents,
        "history_extents": report.history_extents,
        "slots": report.slots,
        "groups": report.groups,
        "void_groups": report.void_groups,
        "unproven_groups": report.unproven_groups,
        "transactions": report.count.transactions,
        "entries": report.count.entries,
        "archived_files": report.archived_files,
        "bytes": report.bytes,
        "first_time": report.first_time.map(|time| time.0),
        "last_time": report.last_time.map(|time| time.0),
        "has_checkpoint": report.has_checkpoint,
        "damaged": report.damaged,
        "damage": damage,
    })
}

fn print(out: &mut Out, store: Uuid, report: &LogReport) -> Result<(), Failure> {
    out.text(format_args!(
        "store {store}: {}, {}, {}, {}, {} void, {}",
        counted(report.extents, "extent"),
        counted(report.groups, "group"),
        counted(report.count.transactions, "transaction"),
        counted(report.count.entries, "entry"),
        report.void_groups,
        counted(report.archived_files, "archived file")
    ))?;
    if let (Some(first), Some(last)) = (report.first_time, report.last_time) {
        out.text(format_args!("  committed from {} to {}", time(first.0), time(last.0)))?;
    }
    if report.unproven_groups > 0 {
        out.text(format_args!(
            "  {} behind damage, of which nobody knows whether they count",
            counted(report.unproven_groups, "group")
        ))?;
    }
    for damage in &report.damage {
        out.text(format_args!("  damage: {damage}"))?;
    }
    match report.damaged {
        0 => out.text("  no damage"),
        damaged if damaged > report.damage.len() as u64 => {
            out.text(format_args!("  and {} more", damaged - report.damage.len() as u64))
        }
        _ => Ok(()),
    }
}
