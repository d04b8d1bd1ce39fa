//! `azure cost`: what a store costs a month.

use serde_json::json;
use streamkit_azure::tools::{CostEstimate, Prices, Workload, estimate, sample};
use streamkit_engine::StoreId;
use uuid::Uuid;

use crate::arguments::account::AccountOptions;
use crate::connect::reached::account;
use crate::failure::Failure;
use crate::output::{Out, json_lines};

#[derive(clap::Args)]
pub(crate) struct Cost {
    /// The store
    #[arg(value_name = "STORE", value_parser = crate::arguments::store)]
    store: Uuid,
    /// Groups at the end of the log that tell the rate
    #[arg(long, value_name = "COUNT", default_value_t = 10_000, value_parser = crate::arguments::count)]
    groups: usize,
    /// Hosts that read the tail
    #[arg(long, value_name = "COUNT", default_value_t = Workload::default().hosts)]
    hosts: u32,
    /// Checkpoints an hour, while there are new groups
    #[arg(long, value_name = "COUNT", default_value_t = Workload::default().checkpoints, value_parser = amount)]
    checkpoints: f64,
    /// Price of a GB of rows a month
    #[arg(long, value_name = "PRICE", default_value_t = Prices::default().table_gb, value_parser = amount)]
    price_table_gb: f64,
    /// Price of 10 000 calls on the table
    #[arg(long, value_name = "PRICE", default_value_t = Prices::default().table_calls, value_parser = amount)]
    price_table_calls: f64,
    /// Price of a GB of blobs a month
    #[arg(long, value_name = "PRICE", default_value_t = Prices::default().blob_gb, value_parser = amount)]
    price_blob_gb: f64,
    /// Price of 10 000 writes of blobs
    #[arg(long, value_name = "PRICE", default_value_t = Prices::default().blob_writes, value_parser = amount)]
    price_blob_writes: f64,
    /// Price of 10 000 reads of blobs
    #[arg(long, value_name = "PRICE", default_value_t = Prices::default().blob_reads, value_parser = amount)]
    price_blob_reads: f64,
    #[command(flatten)]
    account: AccountOptions,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A price, or how often something happens: neither is less than nothing.
fn amount(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if (0.0..=1e9).contains(&number) => Ok(number),
        _ => Err("it must be a number from 0 on, such as 0.045".to_owned()),
    }
}

/// What an estimate leaves out and takes for granted.
const ASSUMED: [&str; 5] = [
    "list prices of 2025 in US dollars, general purpose v2, LRS, hot, East US, unless --price-… says otherwise",
    "each other host reads the tail once for each group, which many groups at a time make fewer",
    "hosts archive the sealed files of their copies, so that blobs hold everything twice",
    "reads of the history by clients and traffic out of the region are not in it",
    "extents are sealed after 50 000 groups or 64 MiB; a month has 730 hours",
];

impl Cost {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let account = account(&self.account.settings()?)?;
        let json = json_lines(self.json);
        let prices = Prices {
            table_gb: self.price_table_gb,
            table_calls: self.price_table_calls,
            blob_gb: self.price_blob_gb,
            blob_writes: self.price_blob_writes,
            blob_reads: self.price_blob_reads,
        };
        let workload = Workload {
            hosts: self.hosts,
            checkpoints: self.checkpoints,
            ..Workload::default()
        };
        let sampled = sample(&account, StoreId(self.store), self.groups).await?;
        let found = estimate(&sampled, &workload, &prices);
        let mut out = Out::new();
        if json {
            let items: Vec<_> = found
                .items
                .iter()
                .map(|item| json!({ "what": item.what, "quantity": item.quantity, "unit": item.unit, "cost": item.cost }))
                .collect();
            out.json(&json!({
                "store": self.store,
                "sampled_groups": sampled.groups,
                "sampled_seconds": (sampled.to.0 - sampled.from.0) as f64 / 1000.0,
                "groups_per_second": found.groups,
                "bytes_per_second": found.bytes,
                "items": items,
                "monthly_cost": found.total,
                "monthly_growth": found.growth,
                "assumed": ASSUMED,
            }))?;
        } else {
            out.text(format_args!(
                "{:.2} groups a second, {:.0} bytes a second, by the last {} groups",
                found.groups, found.bytes, sampled.groups
            ))?;
            table(&mut out, &found)?;
            for assumed in ASSUMED {
                out.text(format_args!("  assumed: {assumed}"))?;
            }
        }
        out.flush()
    }
}

fn table(out: &mut Out, found: &CostEstimate) -> Result<(), Failure> {
    let mut rows: Vec<_> = found
        .items
        .iter()
        .map(|item| {
            let quantity = match item.unit {
                "GB" => format!("{:.3} GB", item.quantity),
                unit => format!("{:.0} {unit}", item.quantity),
            };
            vec![item.what.to_owned(), quantity, format!("{:.4}", item.cost)]
        })
        .collect();
    rows.push(vec![
        "all of it, a month".to_owned(),
        String::new(),
        format!("{:.4}", found.total),
    ]);
    rows.push(vec![
        "more of it each further month".to_owned(),
        String::new(),
        format!("{:.4}", found.growth),
    ]);
    out.table(&["what", "a month", "cost"], &rows)
}
