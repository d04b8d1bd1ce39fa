//! `azure probe`: what an account refuses, and how long it takes.

use std::io::IsTerminal as _;

use indicatif::ProgressBar;
use serde_json::json;
use streamkit_azure::tools::{LatencyRow, Trial, measure};

use crate::arguments::account::AccountOptions;
use crate::connect::reached::account;
use crate::failure::Failure;
use crate::output::{Out, json_lines};

#[derive(clap::Args)]
pub(crate) struct Probe {
    /// Calls of each kind and size
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = crate::arguments::count)]
    calls: usize,
    /// Largest size that is tried
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20, value_parser = crate::arguments::at_least(1024))]
    bytes: usize,
    #[command(flatten)]
    account: AccountOptions,
    /// Print JSON: one line a kind and size
    #[arg(long)]
    json: bool,
}

impl Probe {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let account = account(&self.account.settings()?)?;
        let json = json_lines(self.json);
        account.probe().await?;
        let trial = Trial {
            calls: u32::try_from(self.calls).unwrap_or(u32::MAX),
            bytes_max: self.bytes,
        };
        let bar = match std::io::stderr().is_terminal() {
            true => ProgressBar::new_spinner(),
            false => ProgressBar::hidden(),
        };
        let measured = measure(&account, &trial, &mut |row| {
            bar.set_message(format!("{}, {} bytes", row.operation, row.bytes));
            bar.tick();
        })
        .await;
        bar.finish_and_clear();
        let rows = measured?;
        let mut out = Out::new();
        match json {
            true => rows.iter().try_for_each(|row| out.json(&as_json(row)))?,
            false => {
                out.text("the account refuses what it has to: inserts of what is there, changes of other versions, parts of transactions")?;
                print(&mut out, &rows)?;
            }
        }
        out.flush()?;
        match rows.iter().find_map(|row| row.why.as_ref()) {
            None => Ok(()),
            Some(why) => {
                let failed: u64 = rows.iter().map(|row| row.failed).sum();
                Err(Failure::no_answer(format!("{failed} calls failed, one of them: {why}"))
                    .hint("try again when the account has less to do, or with a longer --azure-table-deadline"))
            }
        }
    }
}

fn as_json(row: &LatencyRow) -> serde_json::Value {
    let millis = |time: std::time::Duration| time.as_secs_f64() * 1000.0;
    json!({
        "operation": row.operation,
        "bytes": row.bytes,
        "calls": row.calls,
        "failed": row.failed,
        "p50_ms": millis(row.p50),
        "p99_ms": millis(row.p99),
        "max_ms": millis(row.max),
    })
}

fn print(out: &mut Out, rows: &[LatencyRow]) -> Result<(), Failure> {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let millis = |time: std::time::Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
            vec![
                row.operation.to_owned(),
                row.bytes.to_string(),
                row.calls.to_string(),
                row.failed.to_string(),
                millis(row.p50),
                millis(row.p99),
                millis(row.max),
            ]
        })
        .collect();
    out.table(&["operation", "bytes", "calls", "failed", "p50", "p99", "max"], &rows)
}
