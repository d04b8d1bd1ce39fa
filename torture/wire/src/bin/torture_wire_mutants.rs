//! Shows that the torture of protocol v2 can fail: plants one fault after the other into a copy of the sources, and counts the
//! seeds until it is caught.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use streamkit_torture::planted::{Mutant, Search, Way, mutant};

/// Plants faults into a copy of server and engine and shows that each is caught.
#[derive(Parser)]
struct Options {
    /// Seeds after which a fault counts as not caught.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// Only faults whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Where the copy is made and built.
    #[arg(long, default_value = "target/wire-mutants")]
    dir: PathBuf,
}

const MUTANTS: &[Mutant] = &[
    mutant(
        "credit of a channel is not taken off",
        "server/src/v2/credit.rs",
        "if !self.own.try_take(frames) {",
        "if !self.own.try_take(&frames[..0]) {",
    ),
    mutant(
        "credit of a connection is not taken off",
        "server/src/v2/credit.rs",
        "if !self.of_connection.try_take(frames) {",
        "if !self.of_connection.try_take(&frames[..0]) {",
    ),
    mutant(
        "credit of a channel is given twice",
        "server/src/v2/conversation.rs",
        "call.credit.add(grant.bytes);",
        "call.credit.add(grant.bytes);\n                    call.credit.add(grant.bytes);",
    ),
    mutant(
        "credit of a connection is given twice",
        "server/src/v2/conversation.rs",
        "0 => self.credit.add(grant.bytes),",
        "0 => self.credit.add(grant.bytes.saturating_mul(2)),",
    ),
    mutant(
        "who goes on behind a place sees its transaction again",
        "engine/src/read/spaces/section.rs",
        "let seen = behind.records.saturating_sub(before.records);",
        "let seen = before.records.saturating_sub(before.records);",
    ),
    mutant(
        "the place that a reader tells is ahead of what it has read",
        "engine/src/read/spaces.rs",
        "let newest = self.newest.filter(|_| self.starts.is_some() && self.is_at_end());",
        "let newest = self.log.shown.end().newest;",
    ),
    mutant(
        "a follow goes on from where it began",
        "server/src/verbs/follow.rs",
        "        self.asked.cursor = open.reader.cursor();\n",
        "",
    ),
    mutant(
        "a follow is caught up before it has told what is there",
        "server/src/verbs/follow.rs",
        "    let mut is_caught_up = false;\n    loop {\n        following.tell(out).await?;",
        "    say(Portion::CaughtUp(&following.asked.cursor), out).await?;\n    let mut is_caught_up = true;\n    loop {\n        following.tell(out).await?;",
    ),
    mutant(
        "a follow is caught up twice",
        "server/src/verbs/follow.rs",
        "if !std::mem::replace(&mut is_caught_up, true) {",
        "if !std::mem::replace(&mut is_caught_up, false) {",
    ),
    mutant(
        "who goes on in common is told the same again",
        "server/src/verbs/follow.rs",
        "        member.took();\n",
        "",
    ),
    mutant(
        "what takes any sequence is stored again when it is sent again",
        "engine/src/commit/select.rs",
        "if let Some(at) = known.flatten() {",
        "if let Some(at) = known.flatten().filter(|_| false) {",
    ),
    mutant(
        "other records under a known id are told as success",
        "engine/src/commit/retry.rs",
        "    Ok(Some(match is_same {",
        "    Ok(Some(match is_same || true {",
    ),
    mutant(
        "a retry is told to be new",
        "engine/src/commit/retry.rs",
        "was_there: true,",
        "was_there: false,",
    ),
    mutant(
        "a condition always holds",
        "engine/src/commit/order.rs",
        "if !expected.holds(head) {",
        "if head > Sequence(1 << 40) {",
    ),
    mutant(
        "a conflict tells a head of before",
        "server/src/verbs/commit.rs",
        "AppendError::Rejected(Rejection::Conflict { path, head, .. }) => Failure::Conflicts(vec![(path, head)]),",
        "AppendError::Rejected(Rejection::Conflict { path, head, .. }) => Failure::Conflicts(vec![(path, Sequence(head.0.saturating_sub(1)))]),",
    ),
    mutant(
        "a conflict brings what its producer knows",
        "server/src/verbs/commit.rs",
        "ReadSource::Segment(path.clone(), known.next(), *head)",
        "ReadSource::Segment(path.clone(), *known, *head)",
    ),
    mutant(
        "an unfit append is told as stored",
        "engine/src/commit/select.rs",
        "Ruling::Conflict(failed) => answer_refused(log, append, conflict(failed)),",
        "Ruling::Conflict(_) => {
                        let trx = streamkit_record::Trx { id: append.transaction.id, node: uuid::Uuid::nil(), number: 1 };
                        let told = super::retry::committed(log, trx, streamkit_record::Timestamp(0), &append.claims);
                        append.answer(Ok(told));
                    }",
    ),
    mutant(
        "a leaving server names a call that it has not begun",
        "server/src/v2/conversation.rs",
        "GoAway { last: self.last, why }.put(&mut out);",
        "GoAway { last: self.last + 1, why }.put(&mut out);",
    ),
    mutant(
        "a leaving server forgets the last call that it has begun",
        "server/src/v2/conversation.rs",
        "GoAway { last: self.last, why }.put(&mut out);",
        "GoAway { last: self.last.saturating_sub(1), why }.put(&mut out);",
    ),
    mutant(
        "a read of the log ends a little early, as if it were whole",
        "server/src/verbs/pieces.rs",
        "        let Some(pieces) = reader.next_batch().await? else {\n            break;\n        };\n",
        "        let Some(pieces) = reader.next_batch().await?.filter(|_| done.entries < 30) else {\n            break;\n        };\n",
    ),
    mutant(
        "an append is told with a wrong position",
        "server/src/v2/outcomes.rs",
        "position: committed.trx.number,",
        "position: committed.trx.number + 1,",
    ),
    mutant(
        "a client's follow goes on from where it began",
        "client/src/verbs/follow.rs",
        "        self.follow.behind = cursor.clone();\n",
        "",
    ),
    mutant(
        "a client's read goes on from where it began",
        "client/src/verbs/read.rs",
        "                    self.came.cursor = cursor;\n",
        "                    drop(cursor);\n",
    ),
    mutant(
        "a token counts though its lease is over",
        "engine/src/commit/select.rs",
        "(!log.catalog().leases.is_current(fence)).then(|| fence.clone())",
        "(!log.catalog().leases.is_current(fence) && fence.token.0 == 0).then(|| fence.clone())",
    ),
    mutant(
        "a lease is granted while another holds it",
        "engine/src/index/leases.rs",
        "Some(held) if !held.has_run_out(uptime) => Claim::IsHeld,",
        "Some(held) if held.token.0 == 0 => Claim::IsHeld,",
    ),
    mutant(
        "a lease runs out early",
        "engine/src/commit/leases.rs",
        "catalog.leases.counts_from(&lease.key, log.clock.uptime());",
        "catalog.leases.counts_from(&lease.key, log.clock.uptime().saturating_sub(Duration::from_millis(40)));",
    ),
    mutant(
        "who stored a transaction is fenced off from its answer",
        "engine/src/commit/select.rs",
        "answer_refused(log, append, Rejection::FencedOff(fence));",
        "append.answer(Err(Rejection::FencedOff(fence).into()));",
    ),
    mutant(
        "a fence is lost on its way",
        "server/src/v2/asked.rs",
        "fence: append.fence,",
        "fence: append.fence.filter(|_| false),",
    ),
    mutant(
        "a server that starts again knows no ids",
        "engine/src/log/recall.rs",
        "if header.kind == Kind::Data {",
        "if header.kind == Kind::Data && header.length == 0 {",
    )
    .only_by("kill"),
    mutant(
        "a server that starts again leaves out a transaction",
        "engine/src/log/replay.rs",
        "let taken = if here < self.from {",
        "let taken = if here < self.from || numbers.trx_number % 16 == 15 {",
    )
    .only_by("kill"),
    mutant(
        "a call waits for its answer for ever",
        "client/src/v2/connection.rs",
        "(!is_sent && self.progress.stalled_for() < longest).then(Instant::now)",
        "(!is_sent || self.progress.stalled_for() < longest || longest > Duration::ZERO).then(Instant::now)",
    )
    .only_by("silence"),
    mutant(
        "a read of which nothing more comes is told as whole",
        "client/src/verbs/read.rs",
        "Some(Rest::Read(_)) => self.resuming.go_on(&self.call, missed).await?,",
        "Some(Rest::Read(_)) => if self.resuming.go_on(&self.call, missed).await.is_err() {
                            return Ok(None);
                        },",
    )
    .only_by("silence"),
    mutant(
        "an append that nobody answers is told as not begun",
        "client/src/verbs/append.rs",
        "return Next::Failed(Error::Unknown(why.unwrap_or_else(|| error.to_string())));",
        "return Next::Failed(Error::NotBegun(why.unwrap_or_else(|| error.to_string())));",
    )
    .only_by("silence"),
    mutant(
        "a follow of which nothing more comes is over",
        "client/src/follows/stream.rs",
        "match told {",
        "match told {
        Err(Error::Timeout(_)) => None,",
    )
    .only_by("silence"),
    mutant(
        "nobody gives way",
        "server/src/websocket/patience.rs",
        "if little < PACE_BYTES && is_in_the_way {",
        "if little < PACE_BYTES && is_in_the_way && now < self.little.0 {",
    )
    .only_by("starving"),
];

fn main() -> ExitCode {
    let options = Options::parse();
    let search = Search {
        root: root(),
        dir: &options.dir,
        // Not optimised: it is built more often than it runs.
        program: ("streamkit-torture-wire", "torture_wire", "dev"),
        ways: vec![
            Way::new("seed", &format!("--seeds {}", options.seeds)),
            Way::new("byte", "--every-byte"),
            Way::new("silence", "--of silence --seeds 5"),
            Way::new("starving", "--of starving --seeds 8"),
            Way::new("kill", &format!("--of kills --seeds {}", options.seeds)).beside("streamkit-server", "streamkit"),
        ],
    };
    search.run(MUTANTS, &options.only)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_its_one_place_in_the_source() {
        for mutant in MUTANTS {
            assert_eq!(mutant.places(&root()), 1, "{}", mutant.name);
        }
    }
}
