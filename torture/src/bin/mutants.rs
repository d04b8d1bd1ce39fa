//! Shows that the torture can fail: plants one fault after the other into a copy of the engine, and counts the seeds until
//! it is caught.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use streamkit_torture::planted::{Mutant, Search, Way, mutant};

/// Plants faults into a copy of the engine and shows that each is caught.
#[derive(Parser)]
struct Options {
    /// Seeds after which a fault counts as not caught.
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,
    /// Only faults whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Where the copy is made and built.
    #[arg(long, default_value = "target/mutants")]
    dir: PathBuf,
}

const MUTANTS: &[Mutant] = &[
    mutant(
        "a lease is granted while another holds it",
        "engine/src/index/leases.rs",
        "Some(held) if !held.has_run_out(uptime) => Claim::IsHeld,",
        "Some(held) if !held.has_run_out(uptime) => Claim::Grants(FencingToken(self.last_token.0 + 1)),",
    ),
    mutant(
        "a lease ends with its store's open",
        "engine/src/engine/mod.rs",
        ".count_from(log.clock.uptime());",
        ".count_from(std::time::Duration::ZERO);",
    ),
    mutant(
        "a lease that was released is held",
        "engine/src/index/leases.rs",
        "self.held.remove(key);",
        "let _ = key;",
    ),
    mutant(
        "a renewal makes a lease no longer",
        "engine/src/index/leases.rs",
        "since: None,\n        };\n        self.held.insert(lease.key, held);",
        "since: self.held.get(&lease.key).and_then(|held| held.since),\n        };\n        self.held.insert(lease.key, held);",
    ),
    mutant(
        "a fencing token goes back with the clock",
        "engine/src/index/leases.rs",
        "FencingToken(by_time.max(self.last_token.0.saturating_add(1)))",
        "FencingToken(by_time)",
    ),
    mutant(
        "a checkpoint forgets the leases",
        "engine/src/index/checkpoint.rs",
        "catalog.leases.grant(reader.lease()?, true)?;",
        "reader.lease()?;",
    ),
    mutant(
        "what is appended under a lease of before is stored",
        "engine/src/commit/select.rs",
        "(!log.catalog().leases.is_current(fence)).then(|| fence.clone())",
        "None::<Fence>.filter(|_| !log.catalog().leases.is_current(fence))",
    ),
    mutant(
        "a fence holds after its lease was granted to another",
        "engine/src/index/leases.rs",
        "self.held.get(&fence.key).is_some_and(|held| held.token == fence.token)",
        "self.held.get(&fence.key).is_some_and(|held| held.token >= fence.token)",
    ),
    mutant(
        "the log is not searched for the entry of a cursor",
        "engine/src/read/resolve.rs",
        "return self.read_log(log);",
        "return Ok(Resolved::NotThere);",
    ),
    mutant(
        "the search for the entry of a cursor ends with its first group",
        "engine/src/read/resolve.rs",
        "if walk.at() >= self.end || self",
        "if walk.at() >= self.first || self",
    ),
    mutant(
        "a segment begins anew in the millisecond of its deletion",
        "engine/src/index/deleted_now.rs",
        "Timestamp(last.0.saturating_add(1))",
        "last",
    ),
    mutant(
        "a checkpoint forgets where segments began behind a deletion",
        "engine/src/index/checkpoint.rs",
        "rows.filter(|row| row.begun != Begun::BEFORE_ALL)",
        "rows.filter(|_| false)",
    ),
    mutant(
        "a checkpoint without living segments forgets that there was a deletion",
        "engine/src/index/checkpoint.rs",
        "if let (0, Deletions::Last(path, at)) =",
        "if let (u64::MAX, Deletions::Last(path, at)) =",
    ),
    mutant(
        "the runs of a deleted segment are those of the next one with its number",
        "engine/src/index/runs.rs",
        "self.runs[own.first_run].segment = NONE;",
        "",
    ),
    mutant(
        "commit threads acknowledge what is written but not synced",
        "engine/src/commit/group.rs",
        "let written = pending.file.write(pending.offset, &group.blocks);",
        "let written = pending.file.grow(pending.offset, &group.blocks);",
    ),
    mutant(
        "the I/O thread acknowledges a lone group that is written but not synced",
        "engine/src/commit/drive/pipeline.rs",
        "let written = write.file.write(write.offset, &pending.group.blocks);",
        "let written = write.file.grow(write.offset, &pending.group.blocks);",
    ),
    mutant(
        "groups land in the order in which their writes end",
        "engine/src/commit/drive/pipeline.rs",
        "self.under_way.pop_front_if(|pending| pending.written.is_some())",
        "{ let at = self.under_way.iter().position(|pending| pending.written.is_some())?; self.under_way.remove(at) }",
    ),
    mutant(
        "a group is acknowledged when it departs",
        "engine/src/commit/drive/pipeline.rs",
        "(file, offset, std::mem::take(&mut self.group.blocks))",
        "self.written = Some(WriteOutcome::Made(Ok(()))); (file, offset, Blocks::from(&*self.group.blocks))",
    ),
    mutant(
        "two groups under way share a block",
        "engine/src/log/writer.rs",
        "if self.made == self.durable {\n            self.made\n        } else {",
        "if true {\n            self.made\n        } else {",
    ),
    mutant(
        "a prepared extent's name is not synced",
        "engine/src/log/prepared/filling.rs",
        "let synced = folder.disk.sync_dir(&folder.dir);",
        "let synced = io::Result::Ok(());",
    ),
    mutant(
        "a prepared extent's zeros are not synced",
        "engine/src/log/prepared/filling.rs",
        "self.file.settle(self.capacity).map_err(io(\"prepare\"))?;",
        "",
    ),
    mutant(
        "names are not synced when a store is opened",
        "engine/src/log/recovery.rs",
        "let synced = disk.create_dir(dir).and_then(|()| disk.sync_dir(dir));",
        "let synced = disk.create_dir(dir);",
    ),
    mutant(
        "groups that nobody knows to be durable are not written again when a store is opened",
        "engine/src/log/recovery.rs",
        "while at < end {",
        "while false && at < end {",
    ),
    mutant(
        "a file is replaced before its content is durable",
        "engine/src/disk/whole.rs",
        "file.settle(bytes.len() as u64)?;",
        "",
    ),
    mutant(
        "damage before a durable mark is cut",
        "engine/src/log/verdict.rs",
        "(WalkEnd::InsideSealed | WalkEnd::BeforeDurable, Found::Nothing | Found::Broken) => Verdict::Refuse,",
        "(WalkEnd::InsideSealed | WalkEnd::BeforeDurable, Found::Nothing | Found::Broken) => Verdict::Cut,",
    ),
    mutant(
        "the log before the checkpoint is not looked at when a store is opened",
        "engine/src/log/replay.rs",
        "walk: Walk::new(file, header.salt, start_of(extent), state)?,",
        "walk: match marker.filter(|marker| marker.position == from && from.extent == extent) { Some(marker) => Walk::new(file, header.salt, from, marker.state)?, None => Walk::new(file, header.salt, start_of(extent), state)? },",
    ),
    mutant(
        "an extent's file may have any size",
        "engine/src/log/headers.rs",
        "if size != header.capacity || size > EXTENT_BYTES_MAX {",
        "if false {",
    ),
    mutant(
        "a header of before the log came to an extent is believed",
        "engine/src/log/headers.rs",
        "if !header.begun && has_groups(&*file)? {",
        "if false && has_groups(&*file)? {",
    ),
    mutant(
        "a group that was moved proves nothing",
        "engine/src/log/walk.rs",
        "                if let Ok(header) = GroupHeader::decode(salt, &bytes[offset..])\n                    && header.extent == extent as u32\n                    && header.number > number\n                    && header.durable > end\n                {",
        "                if let Ok(header) = GroupHeader::decode(salt, &bytes[offset..])\n                    && offset % 8 == 0 && header.extent == extent as u32\n                    && header.number > number\n                    && header.durable > end\n                {",
    ),
    mutant(
        "a torn tail is refused",
        "engine/src/log/verdict.rs",
        "(WalkEnd::AfterDurable, Found::Broken) => Verdict::Cut,",
        "(WalkEnd::AfterDurable, Found::Broken) => Verdict::Refuse,",
    ),
    mutant(
        "what stands in a block before a group is forgotten when a store is opened",
        "engine/src/log/recovery.rs",
        "begun,\n                    from: tail,",
        "begun: vec![0; tail as usize % BLOCK_BYTES],\n                    from: tail,",
    ),
    mutant(
        "a store goes on after a write that failed",
        "engine/src/log/latch.rs",
        "self.failure.get().map_or(",
        "None::<&StorageError>.map_or(",
    ),
    mutant(
        "commit times follow the clock",
        "engine/src/commit/group.rs",
        "let timestamp = now.max(earliest);",
        "let timestamp = now;",
    ),
    mutant(
        "a retry is told of a conflict",
        "engine/src/commit/select.rs",
        "Ok(committed_before(log, append.proposed())?.unwrap_or(Err(why)))",
        "committed_before(log, append.proposed()).map(|_| Err(why))",
    ),
    mutant(
        "a loser is told that it won, as if it retried what is committed",
        "engine/src/commit/retry.rs",
        "    if header.id != proposed.transaction.id {\n        return Ok(None);\n    }\n    let is_same = is_same(proposed, &located)",
        "    let is_same = is_same(proposed, &located).map(|_| true)",
    ),
    mutant(
        "a loser is told a head that is not durable",
        "engine/src/commit/order.rs",
        "Some(ahead) => later |= ahead.keeps_waiting(ahead.head.next() == claim.first),",
        "Some(ahead) if ahead.head.next() != claim.first => failed.push(Conflict { path: claim.path.clone(), head: ahead.head, got: Some(claim.first) }),\n                Some(_) => {}",
    ),
    mutant(
        "two producers may write the same sequence",
        "engine/src/commit/order.rs",
        "if head.next() != claim.first {",
        "if head.next() < claim.first {",
    ),
    mutant(
        "a condition is not checked against groups under way",
        "engine/src/commit/order.rs",
        "Some(ahead) => later |= ahead.keeps_waiting(expected.holds(ahead.head)),",
        "Some(_) => {}",
    ),
    mutant(
        "a condition is not checked against the durable heads",
        "engine/src/commit/order.rs",
        "if !expected.holds(head) {",
        "if head > Sequence(1 << 40) {",
    ),
    mutant(
        "a condition that does not hold is told with a head that is not durable",
        "engine/src/commit/order.rs",
        "Some(ahead) => later |= ahead.keeps_waiting(expected.holds(ahead.head)),",
        "Some(ahead) if !expected.holds(ahead.head) => failed.push(Conflict { path: path.clone(), head: ahead.head, got: None }),\n                Some(_) => {}",
    ),
    mutant(
        "what takes any sequence is stored again when it is sent again",
        "engine/src/commit/select.rs",
        "if let Some(at) = known.flatten() {",
        "if let Some(at) = known.flatten().filter(|_| false) {",
    ),
    mutant(
        "ids of the time before a start are not known",
        "engine/src/log/recall.rs",
        "ids.add_before(found);",
        "drop(found);",
    ),
    mutant(
        "ids of sealed extents are not known after a start",
        "engine/src/log/recall.rs",
        "(extent > first && bytes < RECALLED_BYTES_MIN)",
        "(extent > first && bytes < 1)",
    ),
    mutant(
        "an id that is under way is stored twice",
        "engine/src/commit/order.rs",
        "let mut later = claims.id.is_some_and(|id| self.ids.contains_key(&id));",
        "let mut later = false;",
    ),
    mutant(
        "a retry is told to be new",
        "engine/src/commit/retry.rs",
        "was_there: true,",
        "was_there: false,",
    ),
    mutant(
        "another transaction stands at a place, and nobody looks",
        "engine/src/read/find.rs",
        "Ok(found) => Ok(self.is_in(&found.header) && crc32fast::hash(&found.bytes()[8..]) == self.crc),",
        "Ok(_) => Ok(true),",
    ),
    mutant(
        "the transaction of a place is looked for by its number alone",
        "engine/src/read/find.rs",
        "return match self.is_in(&header) {",
        "return match header.number == self.number {",
    ),
    mutant(
        "who goes on behind a place sees its transaction again",
        "engine/src/read/spaces/section.rs",
        "let seen = behind.records.saturating_sub(before.records);",
        "let seen = before.records.saturating_sub(before.records);",
    ),
    mutant(
        "who goes on at a place within a transaction misses the rest of it",
        "engine/src/read/spaces/section.rs",
        "Some(Start::Behind(behind)) => self.window.position(found.place.0) < behind.at,",
        "Some(Start::Behind(behind)) => self.window.position(found.place.0) <= behind.at,",
    ),
    mutant(
        "the place that a reader tells is ahead of what it has read",
        "engine/src/read/spaces.rs",
        "let newest = self.newest.filter(|_| self.starts.is_some() && self.is_at_end());",
        "let newest = self.log.shown.end().newest;",
    ),
    mutant(
        "a place at the tail stands before the last transactions of an open",
        "engine/src/log/replay.rs",
        "self.newest = Some(Newest { at, header });",
        "self.newest.get_or_insert(Newest { at, header });",
    ),
    mutant(
        "who goes on at its place reads bytes of before the commit",
        "engine/src/read/spaces/start.rs",
        "self.window = Window::new(self.log.id, tail.extent);",
        "",
    ),
    mutant(
        "the index of an extent begins one run late",
        "engine/src/log/recovery.rs",
        "            runs,\n        })",
        "            runs: if runs.len() > 1 { runs[1..].to_vec() } else { runs },\n        })",
    ),
    mutant(
        "an index file that was never written is not made up for",
        "engine/src/log/recovery.rs",
        "if !index_is_whole(",
        "if false && !index_is_whole(",
    ),
    mutant(
        "a checkpoint tells of what came after it",
        "engine/src/log/checkpointing.rs",
        "let bytes = checkpoint::encode(log.id, position, &state, &segments, &leases, &ExtentRuns::new(open));",
        "let segments = log.catalog().segments().clone(); let bytes = checkpoint::encode(log.id, position, &state, &segments, &leases, &ExtentRuns::new(open));",
    ),
    mutant(
        "a consumer goes on at its last entry",
        "engine/src/read/spaces/section.rs",
        "std::cmp::Ordering::Equal => Some(sequence.next()),",
        "std::cmp::Ordering::Equal => Some(*sequence),",
    ),
    mutant(
        "a consumer goes on by time alone",
        "engine/src/read/spaces/start.rs",
        "Some((extent, run)) if run.timestamp == cursor.timestamp => Start::After {",
        "Some((extent, run)) if run.timestamp != cursor.timestamp => Start::After {",
    ),
    mutant(
        "a backup names a copy that is not durable",
        "engine/src/backup/copy.rs",
        "file.sync_all().map_err(|e| StorageError::io(\"sync\", &temporary, e))?;",
        "",
    ),
    mutant(
        "a backup does not sync the names of its copies",
        "engine/src/backup/copy.rs",
        "disk.sync_dir(dir).map_err(|e| StorageError::io(\"sync\", dir, e))?;",
        "",
    ),
    mutant(
        "a restore does not sync where its stores came from",
        "engine/src/backup/restore.rs",
        "disk.sync_dir(&staging)\n        .map_err(|e| StorageError::io(\"sync\", &staging, e))?;",
        "",
    ),
    mutant(
        "an offline header of another store is believed",
        "engine/src/offline/files.rs",
        "Ok(header) if header.store == self.store && header.extent == number => Some(header),",
        "Ok(header) if header.extent == number => Some(header),",
    ),
    mutant(
        "an offline salt needs no proof but a whole first group",
        "engine/src/offline/files.rs",
        "Ok((found.said_salt == Some(salt) && header.check_body(&body).is_ok()).then_some(salt))",
        "Ok((is_first && header.check_body(&body).is_ok()).then_some(salt))",
    ),
    mutant(
        "an offline transaction needs no index file that tells of it",
        "engine/src/offline/salvage.rs",
        "&& evidence.proves(start, &header, transaction)",
        "&& evidence.starts(start, u64::from(start) + 1).len() == 1",
    ),
    mutant(
        "offline, what is missing is not compared with the index file",
        "engine/src/offline/evidence.rs",
        "let unseen = (from..end).filter(|&at| !self.seen[at]);",
        "let unseen = (from..end).filter(|&at| !self.seen[at] && false);",
    ),
    mutant(
        "offline, a hole is said to be told of whether or not an index file covers it",
        "engine/src/offline/pass/holes.rs",
        "let mut is_all = false;",
        "let mut is_all = true;",
    ),
];

fn main() -> ExitCode {
    let options = Options::parse();
    // One thread, so that the number of seeds is the same each time.
    let search = Search {
        root: root(),
        dir: &options.dir,
        program: ("streamkit-torture", "torture", "quick"),
        ways: vec![
            Way::new("seed", &format!("--threads 1 --seeds {}", options.seeds)),
            Way::new("history", "--threads 1 --exhaustive --seeds 60"),
        ],
    };
    search.run(MUTANTS, &options.only)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
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
