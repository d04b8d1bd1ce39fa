//! `streamkit-conformance URL`: tries a server of protocol v2, and says of each check whether it is true.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde_json::json;
use streamkit_client::Tls;
use streamkit_wire_conformance::check::Check;
use streamkit_wire_conformance::dial::Server;
use streamkit_wire_conformance::fault::Fault;
use streamkit_wire_conformance::run::{Plan, Verdict, chosen};
use streamkit_wire_conformance::world::Restricted;
use uuid::Uuid;

/// Tries any server of Streamkit's protocol v2 from outside, by what docs/PROTOCOL-V2.md promises.
///
/// It writes only to spaces of its own (conformance-…) in one store, and removes their segments at its end. Stores cannot be removed over the
/// wire: checks that need an empty store, or two, leave stores without entries behind if the token opens any store.
///
/// Exit codes: 0 every check is true, 1 at least one is not, 2 nothing could be tried.
#[derive(Parser, Debug)]
#[command(name = "streamkit-conformance", version)]
struct Arguments {
    /// The server: ws://host:port or wss://host:port; its path is /streamz if it has none.
    #[arg(required_unless_present = "list")]
    url: Option<String>,
    /// A token that opens the store for reading and writing.
    #[arg(long, env = "STREAMKIT_TOKEN", hide_env_values = true, default_value = "")]
    token: String,
    /// A command of the shell that prints the token; it goes before --token.
    #[arg(long, value_name = "COMMAND")]
    token_command: Option<String>,
    /// A token that opens the store for reading alone, for the checks of rights.
    #[arg(long, value_name = "TOKEN")]
    reader_token: Option<String>,
    /// A token that opens the store for writing alone, for the checks of rights.
    #[arg(long, value_name = "TOKEN")]
    writer_token: Option<String>,
    /// The store to write into; without it, a new one, if the token opens any.
    #[arg(long, env = "STREAMKIT_STORE")]
    store: Option<Uuid>,
    /// A file of certificates (PEM) whose servers are trusted.
    #[arg(long, value_name = "FILE")]
    ca: Option<std::path::PathBuf>,
    /// Only checks whose names contain this.
    #[arg(long, value_name = "PATTERN", default_value = "")]
    only: String,
    /// Lists the checks and what they promise, and tries none.
    #[arg(long)]
    list: bool,
    /// One line of JSON for each check.
    #[arg(long)]
    json: bool,
    /// Tells only checks that are not true, and no summary.
    #[arg(long)]
    quiet: bool,
    /// Seconds that a frame may take which has to come.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    patience: u64,
    /// Seconds that a check may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    deadline: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        for check in chosen(&arguments.only) {
            list(check, arguments.json);
        }
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Runtime::new().expect("threads of this process");
    match runtime.block_on(tried(&arguments)) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("streamkit-conformance: {why}");
            ExitCode::from(2)
        }
    }
}

async fn tried(arguments: &Arguments) -> Result<ExitCode, String> {
    let plan = plan(arguments).await?;
    if chosen(&plan.only).next().is_none() {
        return Err(format!("no check has {:?} in its name; --list tells all", plan.only));
    }
    let prefix = Plan::prefix();
    let says = !arguments.json && !arguments.quiet;
    if says {
        println!("{}, store {}, spaces {prefix}/…", plan.server.url, plan.store);
    }
    let verdicts = plan
        .run(&prefix, |check, verdict| tell(check, verdict, arguments))
        .await;
    // Also what an interrupted check left.
    let removed = plan.remove(&prefix).await;
    let verdicts = verdicts?;
    let count = |is: fn(&Verdict) -> bool| verdicts.iter().filter(|verdict| is(verdict)).count();
    let broken = count(|verdict| matches!(verdict.result, Err(Fault::Broken(_))));
    if says {
        let (all, untried) = (
            verdicts.len(),
            count(|verdict| matches!(verdict.result, Err(Fault::Untried(_)))),
        );
        println!(
            "{} of {all} checks are true, {broken} are not, {untried} could not be tried",
            all - broken - untried
        );
    }
    if let Err(why) = removed {
        eprintln!("streamkit-conformance: {why}");
    }
    Ok(ExitCode::from(u8::from(broken > 0)))
}

async fn plan(arguments: &Arguments) -> Result<Plan, String> {
    let tls = match &arguments.ca {
        None => Tls::default(),
        Some(file) => Tls::default().trust_file(file).map_err(|error| error.to_string())?,
    };
    let token = match &arguments.token_command {
        None => arguments.token.clone(),
        Some(command) => printed(command).await?,
    };
    Ok(Plan {
        server: Server::at(arguments.url.as_deref().unwrap_or_default(), tls),
        token,
        restricted: Restricted {
            reader: arguments.reader_token.clone(),
            writer: arguments.writer_token.clone(),
        },
        store: arguments.store.unwrap_or_else(Uuid::new_v4),
        only: arguments.only.clone(),
        patience: Duration::from_secs(arguments.patience),
        deadline: Duration::from_secs(arguments.deadline),
    })
}

async fn printed(command: &str) -> Result<String, String> {
    let output = tokio::process::Command::new("sh").args(["-c", command]).output().await;
    let output = output.map_err(|error| format!("{command}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => Err(format!("{command}: {}", output.status)),
    }
}

fn list(check: &Check, is_json: bool) {
    match is_json {
        true => println!(
            "{}",
            json!({"check": check.name, "section": check.section, "promise": check.promise})
        ),
        false => println!("{:30} {}: {}", check.name, check.section, check.promise),
    }
}

fn tell(check: &Check, verdict: &Verdict, arguments: &Arguments) {
    let (word, seen) = match &verdict.result {
        Ok(()) => ("true", None),
        Err(Fault::Broken(seen)) => ("false", Some(seen)),
        Err(Fault::Untried(why)) => ("untried", Some(why)),
    };
    if arguments.quiet && word != "false" {
        return;
    }
    let milliseconds = u64::try_from(verdict.took.as_millis()).unwrap_or(u64::MAX);
    if arguments.json {
        let line = json!({
            "check": check.name, "section": check.section, "promise": check.promise,
            "verdict": word, "seen": seen, "ms": milliseconds,
        });
        return println!("{line}");
    }
    println!("{word:8} {:30} {milliseconds} ms", check.name);
    if let Some(seen) = seen {
        println!("         {}: {}", check.section, check.promise);
        println!("         saw: {seen}");
    }
}
