//! `inspect`: show what stands in a data directory, damaged or not.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use streamkit_engine::{
    HexLine, InspectQuery, InspectedExtent, InspectedTransaction, Inspection, StoreId, inspect_hex_on, inspect_on,
    stores_on,
};

use super::{damage, progress};
use crate::failure::Failure;
use crate::output::{Out, counted, json_lines, path_text, time};
use crate::serving::folder;

/// Groups that `--hex` shows.
const HEX_GROUPS: usize = 4;

/// Bytes in a line of hex.
const LINE_BYTES: usize = 16;

#[derive(clap::Args)]
pub(crate) struct Inspect {
    /// The data directory, which is only read
    dir: PathBuf,
    /// Only this store
    #[arg(long, value_name = "UUID", value_parser = crate::arguments::store)]
    store: Option<uuid::Uuid>,
    /// Only this extent
    #[arg(long, value_name = "NUMBER")]
    extent: Option<u64>,
    /// The extent's first bytes, each with what it says
    #[arg(long, requires = "extent")]
    hex: bool,
    /// Print JSON: one object a line
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        folder::refuse_host(&self.dir)?;
        let store = self.store.map(StoreId);
        if let (true, Some(extent)) = (self.hex, self.extent) {
            let (dir, json) = (self.dir, self.json);
            let work = tokio::task::spawn_blocking(move || hex(&dir, store, extent, json));
            return work.await.map_err(|error| Failure::new(error.to_string()))?;
        }
        let extent = self.extent;
        let (dir, json) = (self.dir, json_lines(self.json));
        let work = move |progress: &mut dyn FnMut(_)| {
            let mut out = Out::new();
            let (mut shown, mut damaged, mut failed) = (0, 0, None);
            let mut show = |inspection: Inspection| {
                shown += 1;
                damaged += u64::from(matches!(inspection, Inspection::Damage(_)));
                let printed = match json {
                    true => out.json(&inspection_json(&inspection)),
                    false => inspection_text(&mut out, &inspection),
                };
                failed = printed.err();
                failed.is_none() && !out.is_gone()
            };
            inspect_on(
                &progress::disk(),
                &dir,
                InspectQuery { store, extent },
                progress,
                &mut show,
            )?;
            let printed = failed.map_or_else(|| out.flush(), Err);
            Ok((shown, damaged, printed))
        };
        // A bar would stand among the lines, which show how far it is themselves.
        let bar = match std::io::stdout().is_terminal() {
            true => indicatif::ProgressBar::hidden(),
            false => progress::bar(),
        };
        let (shown, damaged, printed) = progress::with_progress(bar, work).await?;
        printed?;
        match (shown, damaged) {
            (0, _) => Err(Failure::new("there is no such store or extent, or nothing in it")),
            (_, 0) => Ok(()),
            _ => Err(Failure::damage(format!("damage at {}", counted(damaged, "place")))),
        }
    }
}

fn hex(dir: &Path, store: Option<StoreId>, extent: u64, json: bool) -> Result<(), Failure> {
    let disk = progress::disk();
    let store = match (store, stores_on(&disk, dir)?.as_slice()) {
        (Some(store), _) => store,
        (None, &[store]) => store,
        (None, stores) => {
            let ids: Vec<String> = stores.iter().map(ToString::to_string).collect();
            return Err(Failure::arguments(format!(
                "choose one with --store: {}",
                ids.join(", ")
            )));
        }
    };
    let mut out = Out::new();
    let mut printed = Ok(());
    let mut show = |line: HexLine| {
        printed = hex_line(&mut out, &line, json);
        printed.is_ok() && !out.is_gone()
    };
    if !inspect_hex_on(&disk, dir, store, extent, HEX_GROUPS, &mut show)? {
        return Err(Failure::new(format!("store {store} has no extent {extent}")));
    }
    printed.and_then(|()| out.flush())
}

fn hex_line(out: &mut Out, line: &HexLine, json: bool) -> Result<(), Failure> {
    let digits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x} ")).collect::<String>();
    if json {
        return out.json(&serde_json::json!({
            "at": line.at,
            "bytes": digits(&line.bytes).trim_end(),
            "length": line.length,
            "meaning": line.meaning,
        }));
    }
    let more = match line.length > line.bytes.len() as u64 {
        true => format!(" … {} bytes", line.length),
        false => String::new(),
    };
    let (first, rest) = line.bytes.split_at(line.bytes.len().min(LINE_BYTES));
    out.text(format_args!(
        "{:08x}  {:<48}  {}{more}",
        line.at,
        digits(first),
        line.meaning
    ))?;
    for (number, bytes) in rest.chunks(LINE_BYTES).enumerate() {
        let at = line.at + ((number + 1) * LINE_BYTES) as u64;
        out.text(format_args!("{at:08x}  {}", digits(bytes).trim_end()))?;
    }
    Ok(())
}

fn inspection_json(inspection: &Inspection) -> serde_json::Value {
    use serde_json::json;
    match inspection {
        Inspection::Extent(InspectedExtent {
            store,
            extent,
            path,
            bytes,
            header,
            sealed_end,
        }) => json!({
            "what": "extent",
            "store": store.0,
            "extent": extent,
            "file": path_text(path),
            "bytes": bytes,
            "header_is_whole": header.is_some(),
            "epoch": header.map(|header| header.state.epoch),
            "group": header.map(|header| header.state.group_number + 1),
            "durable_mark": header.map(|header| header.durable),
            "end": sealed_end,
        }),
        Inspection::Group(group) => json!({
            "what": "group",
            "store": group.store.0,
            "extent": group.at.extent,
            "byte": group.at.byte,
            "group": group.header.number,
            "epoch": group.header.epoch,
            "bytes": group.header.body_bytes,
            "transactions": group.header.transaction_count,
            "durable_extent": group.header.durable.extent,
            "durable_byte": group.header.durable.byte,
        }),
        Inspection::Transaction(transaction) => transaction_json(transaction),
        Inspection::Segment(segment) => json!({
            "what": "segment",
            "store": segment.store.0,
            "space": segment.path.space.as_str(),
            "segment": segment.path.segment.as_str(),
            "first_sequence": segment.first.0,
            "last_sequence": segment.last.0,
            "last_timestamp": segment.last_timestamp.0,
        }),
        Inspection::Damage(damage) => {
            let mut line = json!({"what": "damage"});
            if let (Some(line), serde_json::Value::Object(rest)) = (line.as_object_mut(), damage::as_json(damage)) {
                line.extend(rest);
            }
            line
        }
        Inspection::TornTail(store, at) => json!({
            "what": "torn_tail",
            "store": store.0,
            "extent": at.extent,
            "byte": at.byte,
        }),
    }
}

fn transaction_json(transaction: &InspectedTransaction) -> serde_json::Value {
    let sections: Vec<serde_json::Value> = transaction
        .sections
        .iter()
        .map(|section| {
            serde_json::json!({
                "space": section.path.space.as_str(),
                "segment": section.path.segment.as_str(),
                "first_sequence": section.first.0,
                "records": section.records,
                "bytes": section.bytes,
            })
        })
        .collect();
    serde_json::json!({
        "what": "transaction",
        "store": transaction.store.0,
        "extent": transaction.at.extent,
        "byte": transaction.at.byte,
        "number": transaction.header.number,
        "kind": format!("{:?}", transaction.header.kind).to_lowercase(),
        "timestamp": transaction.header.timestamp.0,
        "id": transaction.header.id,
        "bytes": transaction.header.length,
        "sections": sections,
    })
}

fn inspection_text(out: &mut Out, inspection: &Inspection) -> Result<(), Failure> {
    match inspection {
        Inspection::Extent(extent) => {
            let end = extent
                .sealed_end
                .map_or("open".to_owned(), |end| format!("groups up to byte {end}"));
            let header = match extent.header {
                Some(header) => format!(
                    "from group {} on, epoch {}",
                    header.state.group_number + 1,
                    header.state.epoch
                ),
                None => "DAMAGED header".to_owned(),
            };
            let InspectedExtent {
                store, extent, bytes, ..
            } = extent;
            out.text(format_args!(
                "store {store} extent {extent}: {bytes} bytes, {end}, {header}"
            ))
        }
        Inspection::Group(group) => out.text(format_args!(
            "{}: group {}, {} in {} bytes, epoch {}, durable before {}",
            group.at,
            group.header.number,
            counted(group.header.transaction_count.into(), "transaction"),
            group.header.body_bytes,
            group.header.epoch,
            group.header.durable
        )),
        Inspection::Transaction(transaction) => {
            let header = &transaction.header;
            let kind = format!("{:?}", header.kind).to_lowercase();
            let (at, time) = (transaction.at.byte, time(header.timestamp.0));
            out.text(format_args!(
                "  byte {at}: transaction {} {kind} at {time}, id {}",
                header.number, header.id
            ))?;
            transaction.sections.iter().try_for_each(|section| {
                out.text(format_args!(
                    "    {} from {}: {}",
                    section.path,
                    section.first,
                    counted(section.records.into(), "record")
                ))
            })
        }
        Inspection::Segment(segment) => out.text(format_args!(
            "segment {} {} to {}",
            segment.path, segment.first, segment.last
        )),
        Inspection::Damage(damage) => damage::print(out, damage),
        Inspection::TornTail(store, at) => out.text(format_args!(
            "store {store}: a write that was never acknowledged at {at}; no damage"
        )),
    }
}
