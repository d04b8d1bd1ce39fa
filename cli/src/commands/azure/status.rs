//! `azure status`: which stores an account has, and how one stands.

use serde_json::json;
use streamkit_azure::tools::{StoreStanding, standing, stores};
use streamkit_engine::StoreId;
use uuid::Uuid;

use crate::arguments::account::AccountOptions;
use crate::connect::reached::account;
use crate::failure::Failure;
use crate::output::{Out, counted, json_lines, note, time};

#[derive(clap::Args)]
pub(crate) struct Status {
    /// The store; without it, the stores of the account are listed
    #[arg(value_name = "STORE", value_parser = crate::arguments::store)]
    store: Option<Uuid>,
    /// Stores that are listed at most, with a request for each
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = crate::arguments::count)]
    most: usize,
    #[command(flatten)]
    account: AccountOptions,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let account = account(&self.account.settings()?)?;
        let json = json_lines(self.json);
        let mut out = Out::new();
        if let Some(store) = self.store {
            let found = standing(&account, StoreId(store)).await?;
            match json {
                true => out.json(&as_json(store, &found))?,
                false => print(&mut out, store, &found)?,
            }
            return out.flush();
        }
        let found = stores(&account, self.most).await?;
        if json {
            for found in &found.stores {
                out.json(&json!({ "store": found.store.0, "state": found.state.word() }))?;
            }
        } else {
            let rows: Vec<_> = found
                .stores
                .iter()
                .map(|found| vec![found.store.to_string(), found.state.word().to_owned()])
                .collect();
            out.table(&["store", "state"], &rows)?;
        }
        out.flush()?;
        if found.is_cut {
            note("there may be more: list them with a greater --most");
        }
        Ok(())
    }
}

fn as_json(store: Uuid, found: &StoreStanding) -> serde_json::Value {
    let blobs: serde_json::Map<_, _> = found
        .blobs
        .iter()
        .map(|count| {
            let value = json!({ "count": count.count, "bytes": count.bytes, "cut": count.is_cut });
            (count.kind.word().to_owned(), value)
        })
        .collect();
    let hosts: Vec<_> = found
        .hosts
        .iter()
        .map(|host| {
            json!({
                "host": host.boot.host,
                "boot": host.boot.boot,
                "groups": host.groups,
                "last_time": host.last.0,
            })
        })
        .collect();
    json!({
        "store": store,
        "history_extents": found.live_ordinal - 1,
        "live_extents": found.live_extents,
        "live_slots": found.live_slots,
        "live_bytes": found.live_bytes,
        "live_groups": found.live_groups,
        "void_groups": found.live_void,
        "whole": found.is_whole,
        "retiring": found.retiring,
        "last_time": found.last.map(|last| last.0),
        "service_time": found.now.0,
        "checkpoint": found.checkpoint.map(|at| json!({ "extent": at.place.ordinal, "slot": at.place.slot.0 })),
        "blobs": blobs,
        "hosts": hosts,
    })
}

fn print(out: &mut Out, store: Uuid, found: &StoreStanding) -> Result<(), Failure> {
    out.text(format_args!("store {store}"))?;
    out.text(format_args!(
        "  history     {}, of which {} not retired yet",
        counted(found.live_ordinal - 1, "extent"),
        match found.retiring {
            0 => "none is".to_owned(),
            count => format!("{count} are"),
        }
    ))?;
    out.text(format_args!(
        "  live        {}, {} in {}, {} void, {}{}",
        counted(found.live_extents, "extent"),
        counted(found.live_groups, "group"),
        counted(found.live_slots, "slot"),
        found.live_void,
        counted(found.live_bytes, "byte"),
        if found.is_whole {
            ""
        } else {
            ", and more: not all was read"
        },
    ))?;
    match found.checkpoint {
        Some(at) => out.text(format_args!(
            "  checkpoint  at extent {}, slot {}",
            at.place.ordinal, at.place.slot
        ))?,
        None => out.text("  checkpoint  none")?,
    }
    for count in &found.blobs {
        out.text(format_args!(
            "  blobs       {} {}, {}{}",
            count.count,
            count.kind.word(),
            counted(count.bytes, "byte"),
            if count.is_cut { ", and more" } else { "" }
        ))?;
    }
    if let Some(last) = found.last {
        out.text(format_args!(
            "  last group  {}; the service's time is {}",
            time(last.0),
            time(found.now.0)
        ))?;
    }
    for host in &found.hosts {
        out.text(format_args!(
            "  written by  host {}, {}, the last at {}",
            host.boot.host,
            counted(host.groups, "group"),
            time(host.last.0)
        ))?;
    }
    Ok(())
}
