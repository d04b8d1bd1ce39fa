//! Shows that a server waits for its sync: its system calls that make records durable are held up, and no append may
//! return sooner.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::runtime::Builder;

use super::{Plan, Work};
use crate::figures::{Figures, number};
use crate::rows::remove;
use crate::servers::kinds::Kind;
use crate::servers::process::Process;
use crate::servers::programs::Programs;
use crate::servers::{Connect, RECORD_BYTES};
use crate::{Outcome, payload};

/// How long the system calls are held up.
const DELAY: Duration = Duration::from_millis(20);

/// Appends that are measured.
const APPENDS: u64 = 25;

/// Whether appends take at least as long as the calls are held up, and how much longer than they did before.
pub(super) fn shown(plan: &Plan, kind: &Kind, connect: Connect, programs: &Programs, one: &Figures) -> Value {
    if !can_delay() {
        return json!({"unknown": "strace is not installed, or may not trace"});
    }
    match delayed(plan, kind, connect, programs) {
        Ok(taken) => verdict(one.get(Work::One.leader()), &taken),
        Err(error) => json!({"unknown": format!("with its sync held up: {error}")}),
    }
}

fn can_delay() -> bool {
    let traced = Command::new("strace")
        .args([
            "-qqq",
            "-o",
            "/dev/null",
            "--seccomp-bpf",
            "-f",
            "-e",
            "trace=fsync",
            "true",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    traced.is_ok_and(|status| status.success())
}

/// What appends take one after the other while calls are held up, the shortest first.
fn delayed(plan: &Plan, kind: &Kind, connect: Connect, programs: &Programs) -> Outcome<Vec<Duration>> {
    let dir = plan.fresh(&format!("{} delayed", kind.name))?;
    let process = Process::start(kind, programs, &dir, Some(DELAY))?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let taken: Outcome<Vec<Duration>> = runtime.block_on(async {
        let server = connect(process.place.clone()).await?;
        let mut writer = server.writer(0, kind.ways[0]).await?;
        let mut taken = Vec::new();
        for sequence in 1..=APPENDS {
            let record = payload::record(0, sequence, RECORD_BYTES);
            let began = Instant::now();
            writer.append(sequence, vec![record]).await?;
            taken.push(began.elapsed());
        }
        Ok(taken)
    });
    drop(process);
    remove(&dir)?;
    let mut taken = taken?;
    taken.sort_unstable();
    Ok(taken)
}

/// A server waits if no append returned before a held up call could. Where appends take as long without, nothing is
/// shown.
fn verdict(p50_before_us: f64, taken: &[Duration]) -> Value {
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    let (Some(shortest), Some(middle)) = (taken.first(), taken.get(taken.len() / 2)) else {
        return json!({"unknown": "nothing was appended"});
    };
    if p50_before_us.is_nan() || p50_before_us > us(DELAY) / 2.0 {
        return json!({"unknown": "its appends take as long without"});
    }
    json!({
        "delay_us": number(us(DELAY)),
        "p50_us": number(us(*middle)),
        "grown_us": number(us(*middle) - p50_before_us),
        "shortest_us": number(us(*shortest)),
        "waits": *shortest >= DELAY,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_once_before_the_delay_does_not_wait() {
        let taken = |ms: &[u64]| ms.iter().copied().map(Duration::from_millis).collect::<Vec<_>>();
        let waits = |ms: &[u64]| verdict(2_000.0, &taken(ms))["waits"].as_bool();
        assert_eq!(waits(&[20, 21, 21]), Some(true));
        assert_eq!(waits(&[1, 21, 21]), Some(false));
        assert_eq!(verdict(2_000.0, &taken(&[20, 21, 40]))["grown_us"], 19_000.0);
    }

    #[test]
    fn nothing_is_shown_where_the_delay_is_not_seen() {
        let taken = [Duration::from_millis(30)];
        assert!(verdict(11_000.0, &taken)["waits"].is_null());
        assert!(verdict(f64::NAN, &taken)["waits"].is_null());
        assert!(verdict(100.0, &[])["waits"].is_null());
    }
}
