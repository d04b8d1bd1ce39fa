//! What a host of stores tells that several hosts share. A server whose stores are its own shows none of it.

use std::fmt;

use prometheus_client::registry::Unit;
use streamkit_engine::boundary::figures::{ArchiveFigures, CallFigures, ForwardingFigures, LogFigures, SharedFigures};

use super::told::{About, ToldFigures, Writer};

impl ToldFigures for SharedFigures {
    fn write(&self, writer: &mut Writer<'_>) -> fmt::Result {
        calls(writer, &self.calls)?;
        logs(writer, &self.logs)?;
        if let Some(archive) = &self.archive {
            archives(writer, archive)?;
        }
        match &self.forwarding {
            Some(forwarding) => forwards(writer, forwarding),
            None => Ok(()),
        }
    }
}

/// The calls of the medium.
fn calls(writer: &mut Writer<'_>, calls: &[CallFigures]) -> fmt::Result {
    let help = "Time of calls of what keeps the shared logs, however they ended, by kind";
    let times = calls.iter().map(|call| ([("call", call.call)], &call.nanos));
    writer.times(About("medium_call", help), times)?;
    let help = "Calls of what keeps the shared logs, by kind and by what came of them";
    let ends = calls.iter().flat_map(|call| {
        let ends = [
            ("done", call.done),
            ("conflict", call.conflicts),
            ("unknown", call.unknown),
            ("throttled", call.throttled),
            ("denied", call.denied),
            ("refused", call.refused),
        ];
        ends.map(|(end, count)| ([("call", call.call), ("end", end)], count))
    });
    writer.counters(About("medium_calls", help), None, ends)?;
    let help = "Bytes of slots, roots and blobs that calls took along, by kind";
    let sent = calls.iter().map(|call| ([("call", call.call)], call.sent_bytes));
    writer.counters(About("medium_sent", help), Some(Unit::Bytes), sent)?;
    let help = "Bytes of slots, roots and blobs that their answers brought, by kind";
    let received = calls.iter().map(|call| ([("call", call.call)], call.received_bytes));
    writer.counters(About("medium_received", help), Some(Unit::Bytes), received)
}

/// The logs of all stores at this host.
fn logs(writer: &mut Writer<'_>, logs: &LogFigures) -> fmt::Result {
    let help = "Groups of the shared logs: own ones that landed, those of others that were read, void ones that were read, own ones that lost their slot";
    let groups = [
        ("own", logs.own_groups),
        ("other", logs.other_groups),
        ("void", logs.void_groups),
        ("lost", logs.lost_groups),
    ];
    writer.counters(About("shared_groups", help), None, labelled("group", groups))?;
    let help = "Inserts of groups that were sent once more, by reason";
    let again = [("late", logs.hedges), ("failed", logs.repeats)];
    writer.counters(About("shared_inserts_repeated", help), None, labelled("reason", again))?;
    let help = "Those who waited for a look at the tail of a shared log";
    writer.counter(About("shared_looks", help), logs.looks)?;
    let help = "Reads of the tail of a shared log, each for all who asked before it began";
    writer.counter(About("shared_tail_reads", help), logs.tail_reads)?;
    let help = "Times that a shared log could not go on at this host and had to begin anew, by reason";
    let failures = [
        ("refused", logs.failures.refused),
        ("damaged", logs.failures.damaged),
        ("went_back", logs.failures.went_back),
        ("host", logs.failures.host),
    ];
    writer.counters(About("shared_logs_failed", help), None, labelled("reason", failures))
}

/// What becomes history.
fn archives(writer: &mut Writer<'_>, archive: &ArchiveFigures) -> fmt::Result {
    let help = "Rounds in which this host looked for what to archive of a store, by how they ended";
    let rounds = [
        ("archived", archive.archived),
        ("idle", archive.idle),
        ("failed", archive.failed),
    ];
    writer.counters(About("archive_rounds", help), None, labelled("end", rounds))?;
    let help = "Sealed files that this host put into the archive";
    writer.counter(About("archived_files", help), archive.files)?;
    let help = "Bytes of sealed files that this host put into the archive";
    writer.counters(About("archived", help), Some(Unit::Bytes), [([], archive.file_bytes)])?;
    let help = "Changes of roots by this host: extents that became history, extents that were retired, checkpoints";
    let changes = [
        ("history", archive.root.history),
        ("retired", archive.root.retired),
        ("checkpoint", archive.root.checkpoints),
    ];
    writer.counters(About("root_changes", help), None, labelled("change", changes))?;
    let help = "Time since a round of archiving ended well, of the open store where that is longest";
    let behind = archive.behind.as_secs_f64();
    writer.gauge(About("archive_behind", help), Some(Unit::Seconds), behind)
}

/// What other hosts are to write.
fn forwards(writer: &mut Writer<'_>, forwarding: &ForwardingFigures) -> fmt::Result {
    let help = "Appends and leases that another host was to write, by what came of that; but for those it answered, they were done here";
    let told = forwarding.refused + forwarding.unanswered;
    let ends = [
        ("answered", forwarding.forwarded),
        ("not_taken", forwarding.fell_back.saturating_sub(told)),
        ("refused", forwarding.refused),
        ("unanswered", forwarding.unanswered),
    ];
    writer.counters(About("forwards", help), None, labelled("end", ends))?;
    let help = "Other hosts that are there";
    writer.gauge(About("other_hosts", help), None, forwarding.peers)
}

/// Values with a label.
fn labelled<const N: usize>(
    label: &'static str,
    values: [(&'static str, u64); N],
) -> impl Iterator<Item = ([(&'static str, &'static str); 1], u64)> {
    values.into_iter().map(move |(value, count)| ([(label, value)], count))
}
