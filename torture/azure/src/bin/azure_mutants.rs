//! Shows that the torture of a shared log can fail: plants one fault after the other into a copy of the sources, and counts the seeds until it
//! is caught. The storage and the ledger of the simulation stand for what others will implement: some faults are planted there.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use streamkit_torture::planted::{Mutant, Search, Way, mutant};

/// Plants faults into a copy of the shared log and shows that each is caught.
#[derive(Parser)]
struct Options {
    /// Seeds after which a fault counts as not caught.
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,
    /// Only faults whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Where the copy is made and built.
    #[arg(long, default_value = "target/azure-mutants")]
    dir: PathBuf,
}

const MUTANTS: &[Mutant] = &[
    // What a group in a slot means.
    mutant(
        "several in flight, and the slot as the only condition",
        "azure/src/log/tail.rs",
        "group.predecessor == self.last",
        "group.predecessor == self.last || true",
    ),
    mutant(
        "absent at one read means lost",
        "azure/src/log/looking.rs",
        "        self.looking.hinted = None;\n",
        "        self.looking.hinted = None;\n        self.lose_all();\n",
    ),
    mutant(
        "a taken slot means lost, and nobody reads it",
        "azure/src/log/resolving.rs",
        "pinned.standing = Standing::Taken(self.turn),",
        "self.lose_all(),",
    ),
    mutant(
        "a taken slot means stored",
        "azure/src/log/resolving.rs",
        "Ok(Said::Inserted(Inserted::Taken)) => pinned.standing = Standing::Taken(self.turn),",
        "Ok(Said::Inserted(Inserted::Taken)) => { pinned.standing = Standing::Landed; self.commit_landed(); }",
    ),
    mutant(
        "a retired extent means lost",
        "azure/src/log/resolving.rs",
        "                self.reopen();\n",
        "                self.reopen();\n                self.lose_all();\n",
    ),
    mutant(
        "no answer means stored",
        "azure/src/log/resolving.rs",
        "inserting.failed(self.now.uptime, |failures| pause(failures, &why, dice));",
        "_ = (dice, &why, inserting); pinned.standing = Standing::Landed; self.commit_landed();",
    ),
    mutant(
        "a retired extent means empty",
        "azure/src/log/looking.rs",
        "RowsEnd::Nothing => return self.reopen(),",
        "RowsEnd::Nothing => BacklogEnd::Tail(began),",
    ),
    mutant(
        "a read that ended early means the tail",
        "azure/src/log/looking.rs",
        "first <= tail.place.slot) => BacklogEnd::Early,",
        "first <= tail.place.slot) => BacklogEnd::Tail(began),",
    ),
    mutant(
        "a missing slot is stepped over",
        "azure/src/log/looking.rs",
        "Some((slot, bytes)) if *slot == tail.place.slot => (*slot, bytes),",
        "Some((slot, bytes)) if *slot >= tail.place.slot && self.flight.0.is_empty() => { tail.place.slot = *slot; (*slot, bytes) }\n                Some((slot, bytes)) if *slot == tail.place.slot => (*slot, bytes),",
    ),
    mutant(
        "a void seal is followed",
        "azure/src/log/tail.rs",
        "        self.place = self.place.behind(None);",
        "        self.place = self.place.behind(group.seal);",
    ),
    mutant(
        "the slot is taken for the identity of a group",
        "azure/src/log/looking.rs",
        "match pinned.group.id == group.id {",
        "match pinned.group.slot == group.slot {",
    ),
    mutant(
        "the content is taken for the identity of a group",
        "azure/src/log/looking.rs",
        "match pinned.group.id == group.id {",
        "match pinned.group.id == group.id || pinned.group.body == group.body {",
    ),
    // What is pinned.
    mutant(
        "a hedge has other bytes",
        "azure/src/log/planning.rs",
        "let insert = Call::InsertAt(pinned.group.extent, pinned.group.slot, pinned.bytes.clone(), before);",
        "let mut group = pinned.group.clone();
                    if hedge.is_none() {
                        group.time.0 += 1;
                    }
                    let insert = Call::InsertAt(pinned.group.extent, pinned.group.slot, group.encode(), before);",
    ),
    mutant(
        "a hedge is another group",
        "azure/src/log/planning.rs",
        "let insert = Call::InsertAt(pinned.group.extent, pinned.group.slot, pinned.bytes.clone(), before);",
        "if hedge.is_none() {
                        self.groups += 1;
                        self.flight.0[at].group.id.number = self.groups;
                        let bytes = self.flight.0[at].group.encode();
                        self.flight.0[at].bytes = bytes;
                    }
                    let (pinned, number) = (&self.flight.0[at], self.flight.0[at].group.id.number);
                    let insert = Call::InsertAt(pinned.group.extent, pinned.group.slot, pinned.bytes.clone(), before);",
    ),
    mutant(
        "a slot that is on its way is said to be there",
        "azure/src/log/planning.rs",
        "                        _ => SlotBefore::Perhaps,",
        "                        _ => SlotBefore::Known,",
    ),
    mutant(
        "a deadline frees what is pinned",
        "azure/src/log/callers.rs",
        "        for (caller, id) in told {",
        "        if !told.is_empty() {\n            self.flight.0.clear();\n        }\n        for (caller, id) in told {",
    ),
    mutant(
        "what is pinned is told as not stored at its deadline",
        "azure/src/log/callers.rs",
        "Some(why) => self.answer(caller, Outcome::Unknown(id, why.clone())),",
        "Some(why) => { _ = id; self.answer(caller, Outcome::NotStored(why.clone())) }",
    ),
    mutant(
        "a group is acknowledged before the one that it stands on",
        "azure/src/log/resolving.rs",
        "                self.commit_landed();",
        "                while self.flight.number(number).is_some() && self.commit_first() {}",
    ),
    mutant(
        "a leaving host gives up what is pinned",
        "azure/src/log/callers.rs",
        "let is_done = self.flight.0.is_empty() && ",
        "let is_done = ",
    ),
    mutant(
        "what a leaving host has lost waits for ever",
        "azure/src/log/resolving.rs",
        "        if self.is_leaving {\n            self.turn_away();\n        }\n",
        "",
    ),
    mutant(
        "a deadline is told to nobody",
        "azure/src/log/callers.rs",
        "            self.gone(|caller| caller.deadline <= now, Some(Why::Late));",
        "",
    ),
    mutant(
        "a body is stored after the slot that needs it",
        "azure/src/log/planning.rs",
        "                false => Standing::Storing(Errand::default()),",
        "                false => Standing::Inserting(Inserting::default()),",
    ),
    // How new an answer is.
    mutant(
        "a refusal from what this host knew before",
        "azure/src/log/planning.rs",
        "Ruling::Refused(refusal) if asked.caller.came <= self.looking.known => {",
        "Ruling::Refused(refusal) if self.looking.known > 0 => {",
    ),
    mutant(
        "a look shares a read that began before it",
        "azure/src/log/looking.rs",
        "self.looking.known = self.looking.known.max(began);",
        "self.looking.known = self.looking.known.max(self.turn.max(began));",
    ),
    mutant(
        "an acknowledged group makes known what came after it was sent",
        "azure/src/log/resolving.rs",
        "self.looking.known = self.looking.known.max(sent);",
        "self.looking.known = self.looking.known.max(self.turn.max(sent));",
    ),
    mutant(
        "a look is answered without a read",
        "azure/src/log/callers.rs",
        "if caller.came > self.looking.known {",
        "if caller.came > self.turn {",
    ),
    mutant(
        "a refusal from a head that is not durable",
        "azure/src/simulation/heads.rs",
        "(wanted, _) if wanted <= head => self.misfit(head),",
        "(wanted, pending) if wanted <= pending.unwrap_or(head) => self.misfit(pending.unwrap_or(head)),",
    ),
    mutant(
        "a transaction that is known is stored again",
        "azure/src/simulation/heads.rs",
        "if let Some(stored) = self.find(entry.id) {",
        "if let Some(stored) = self.find(entry.id).filter(|_| false) {",
    ),
    // Extents.
    mutant(
        "a seal comes before the extent that it names",
        "azure/src/log/planning.rs",
        "(true, Spare::Ready(extent)) => Some(*extent),",
        "(true, Spare::Ready(extent) | Spare::Making(extent, _)) => Some(*extent),",
    ),
    mutant(
        "a name is used again",
        "azure/src/log/machine.rs",
        "        self.names += 1;\n",
        "        self.names = 1;\n",
    ),
    mutant(
        "whoever loses the first root removes the extent that won",
        "azure/src/log/opening.rs",
        "match root.live.extent == extent {",
        "match root.change == extent.0 {",
    ),
    mutant(
        "a leaving host removes an extent that a pinned seal names",
        "azure/src/log/sparing.rs",
        "Spare::Ready(extent) if self.is_leaving && self.flight.0.is_empty() => {",
        "Spare::Ready(extent) if self.is_leaving => {",
    ),
    // Clocks.
    mutant(
        "a clock that is off gives commit times",
        "azure/src/log/watch.rs",
        "() if ahead > OFF_MOST_MILLIS => Some(ahead),",
        "",
    ),
    mutant(
        "a clock that was set goes on giving commit times",
        "azure/src/log/watch.rs",
        "Some(last) if self.is_older(now, GOOD_FOR) || drift(last.at, now).abs() > SET_MILLIS => {",
        "Some(_) if self.is_older(now, GOOD_FOR) => {",
    ),
    mutant(
        "a commit time is what the clock says",
        "azure/src/log/planning.rs",
        "self.now.wall.max(before).max(tail.ledger.earliest(&requests))",
        "{ _ = before; self.now.wall }",
    ),
    mutant(
        "nobody waits when the storage asks to",
        "azure/src/log/planning.rs",
        "        if self.is_throttled() {\n            return;\n        }\n",
        "",
    ),
    // The collector.
    mutant(
        "an extent is retired before the root names its copy",
        "azure/src/collector/round.rs",
        "            (Task::Put(seen, written), Said::Put(_)) => Ok(Task::Verify(seen, written)),",
        "            (Task::Put(seen, written), Said::Put(_)) if written.name.kind == crate::medium::BlobKind::History => {
                let extent = seen.root.live.extent;
                Ok(Task::Retire(seen, extent))
            }
            (Task::Put(seen, written), Said::Put(_)) => Ok(Task::Verify(seen, written)),",
    ),
    mutant(
        "the root names a copy that was not written",
        "azure/src/collector/round.rs",
        "return Ok(Task::Put(seen, history));",
        "return Ok(self.swap(seen, history.change));",
    ),
    mutant(
        "the collector follows a void seal",
        "azure/src/collector/round.rs",
        "            if group.predecessor != copied.last {\n                continue;\n            }\n",
        "",
    ),
    mutant(
        "the collector believes that a swap without an answer is lost",
        "azure/src/collector/round.rs",
        "Err(why) => self.errand.failed(now.uptime, &why, &mut self.dice),",
        "Err(why) => match std::mem::replace(&mut self.task, Task::Over) {
                    Task::Swap(seen, root, change) => self.task = Task::Lost(seen, root, change),
                    task => {
                        self.task = task;
                        self.errand.failed(now.uptime, &why, &mut self.dice);
                    }
                },",
    ),
    mutant(
        "the collector removes a blob that the root names",
        "azure/src/collector/round.rs",
        "change.blob().filter(|_| change.is_unnamed_in(&found.root))",
        "change.blob().filter(|_| found.root.change != root.change)",
    ),
    mutant(
        "the root forgets what is to be retired",
        "azure/src/collector/task.rs",
        "                root.retiring.push(extent.extent);\n",
        "",
    ),
    mutant(
        "a checkpoint goes back",
        "azure/src/collector/round.rs",
        "seen.root.checkpoint.is_none_or(|at| at.place < checkpoint.place)",
        "seen.root.checkpoint.is_none_or(|at| at.place != checkpoint.place)",
    ),
    mutant(
        "a checkpoint is of a place that it has not reached",
        "azure/src/log/tail.rs",
        "            place: self.place,\n            last: self.last,",
        "            place: self.place.behind(None),\n            last: self.last,",
    ),
    // The medium.
    mutant(
        "medium: the answer of the whole is taken for that of its parts",
        "azure/src/simulation/storage.rs",
        "            return Inserted::Taken;",
        "            return Inserted::Done;",
    ),
    mutant(
        "medium: slot 0 goes with the others, and a late create makes the extent again",
        "azure/src/simulation/storage.rs",
        ".range(SlotNumber::FIRST..)\n            .next_back()",
        ".range(SlotNumber::ZERO..).next_back()",
    ),
    mutant(
        "medium: an insert makes the header again",
        "azure/src/simulation/storage.rs",
        "            return Inserted::Retired;",
        "            table.header = true;",
    ),
    mutant(
        "medium: an insert does not look at the header",
        "azure/src/simulation/storage.rs",
        "        if !table.header {\n            return Inserted::Retired;\n        }\n",
        "",
    ),
    mutant(
        "medium: the header comes before the slots",
        "azure/src/simulation/storage.rs",
        "        let has_header = table.header;",
        "        if next == from && !table.header {
            return Step::Done(Said::Rows(Rows { rows, end: RowsEnd::Nothing }));
        }
        let has_header = true;",
    ),
    mutant(
        "medium: the slots go before the header",
        "azure/src/simulation/storage.rs",
        "        if std::mem::take(&mut table.header) {",
        "        if table.slots.len() <= 1 && std::mem::take(&mut table.header) {",
    ),
    mutant(
        "medium: the root is swapped whatever its version is",
        "azure/src/simulation/storage.rs",
        "        if self.root.as_ref().map(|root| &root.version) != expected.as_ref() {",
        "        if self.root.is_some() && expected.is_none() {",
    ),
    // What the simulation has none of.
    mutant(
        "store: damage is an end",
        "azure/src/store/reading.rs",
        "(None, Some(failure)) if self.entries > 0 =>",
        "(None, Some(failure)) if self.entries == 0 =>",
    )
    .only_by(AZURE),
    mutant(
        "store: a read of entries does not look",
        "azure/src/store/reading.rs",
        "                self.left.damage = self.log.look_until_damage().await?;
                self.reads = Reads::Runs(begin());",
        "                self.reads = Reads::Runs(begin());",
    )
    .only_by(AZURE),
    mutant(
        "store: one that somebody follows is closed to make room",
        "azure/src/store/stores.rs",
        " && !store.copy.is_followed()",
        "",
    )
    .only_by(AZURE),
    mutant(
        "store: who follows is not told that there is no more",
        "azure/src/store/stores.rs",
        "                    store.copy.wake_followers();\n",
        "",
    )
    .only_by(AZURE),
    mutant(
        "store: what nobody knows is told as not stored",
        "azure/src/store/told.rs",
        "Outcome::Unknown(_, why) => Err(AppendError::Indeterminate(StorageError::Unanswered(why.to_string()))),",
        "Outcome::Unknown(_, why) => Err(Rejection::Busy(busy(&why)).into()),",
    )
    .only_by(AZURE),
    mutant(
        "ledger: the copy of another log is gone on with",
        "azure/src/ledger/mod.rs",
        "last > copied.number || last == copied.number && time != copied.timestamp",
        "last > copied.number",
    )
    .only_by(AZURE),
    mutant(
        "ledger: a bookmark is believed that the copy does not reach",
        "azure/src/ledger/mod.rs",
        "ledger.replica.last().number >= bookmark.applied;",
        "ledger.replica.last().number >= bookmark.applied || true;",
    )
    .only_by(AZURE),
    mutant(
        "ledger: a full disk is damage of the log",
        "azure/src/ledger/mod.rs",
        "_ => NotApplied::Host(error.to_string()),",
        "_ => NotApplied::Damaged(error.to_string()),",
    )
    .only_by(AZURE),
    mutant(
        "archive: nobody reads back what was written",
        "azure/src/archive/keeping.rs",
        "Said::Blob(Some(found)) if found == bytes => Ok(bytes.len()),",
        "Said::Blob(_) => Ok(bytes.len()),",
    )
    .only_by(AZURE),
    mutant(
        "archive: the checkpoint of another place is begun with",
        "azure/src/archive/begin.rs",
        "checkpoint.place != at.place || content.snapshot.store != store",
        "content.snapshot.store != store",
    )
    .only_by(AZURE),
    mutant(
        "archive: a root of before is archived behind",
        "azure/src/archive/keeping.rs",
        "now.0 < self.root.0 || now.1 < self.root.1",
        "now.0 < self.root.0 && now.1 < self.root.1",
    )
    .only_by(AZURE),
    mutant(
        "archive: a blob that is gone may come",
        "azure/src/archive/fetching.rs",
        "Err(FetchError::Damaged(\"nothing: the blob is gone\".to_owned()))",
        "Err(FetchError::Away(\"nothing: the blob is gone\".to_owned()))",
    )
    .only_by(AZURE),
    mutant(
        "hosts: what another host may come to is stored here under another id",
        "hosts/src/forwarding/store.rs",
        "let again = self.direct.append(transaction.clone()).await;",
        "let again = self.direct.append(Transaction { id: uuid::Uuid::new_v4(), ..transaction.clone() }).await;",
    )
    .only_by(HOSTS),
    mutant(
        "hosts: what another host may come to is told as refused",
        "hosts/src/forwarding/store.rs",
        "if !is_final(&rejection, &transaction) =>",
        "if !is_final(&rejection, &transaction) && false =>",
    )
    .only_by(HOSTS),
    mutant(
        "hosts: an answer that nobody understands means not stored",
        "hosts/src/link/answer.rs",
        "Err(error) => Self::Unknown(error.to_string()),",
        "Err(error) => Self::NotTaken(error.to_string()),",
    )
    .only_by(HOSTS),
    mutant(
        "hosts: a token opens each host",
        "hosts/src/link/secret.rs",
        "        rules.audiences = vec![host.to_string()];\n",
        "        _ = host;\n",
    )
    .only_by(HOSTS),
    mutant(
        "hosts: one that does not answer is asked again at once",
        "hosts/src/link/peer.rs",
        "        let begins = self.rest().begins(self.begun.elapsed());",
        "        let begins = true;",
    )
    .only_by(HOSTS),
];

/// Tests that catch what the simulation has none of.
const AZURE: &str = "a test of the shared stores";
const HOSTS: &str = "a test of the hosts";

fn main() -> ExitCode {
    let options = Options::parse();
    // One thread, so that the number of seeds is the same each time.
    let search = Search {
        root: root(),
        dir: &options.dir,
        program: ("streamkit-torture-azure", "azure_torture", "quick"),
        ways: vec![
            Way::new("seed", &format!("--threads 1 --seeds {}", options.seeds)),
            Way::tests(AZURE, "streamkit-azure"),
            Way::tests(HOSTS, "streamkit-hosts"),
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
