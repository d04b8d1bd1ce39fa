//! `consume` and `peek`: entries, a line each.

mod offset_file;
mod peek;
mod printer;
mod source;

use std::io::IsTerminal as _;
use std::path::PathBuf;

use futures_util::TryStreamExt as _;
pub(crate) use peek::Peek;
use printer::Printer;
use source::{FromLog, Part, Source, Told};
use streamkit_client::{ConsumeSegment, ConsumeSpace, Error, SpaceOffset, StoreClient};
use tokio_util::sync::CancellationToken;

use crate::arguments::moment::moment;
use crate::arguments::{key_value, space_or_path};
use crate::called::called;
use crate::connect::Connect;
use crate::connect::unknown;
use crate::failure::Failure;
use crate::output::format::{Format, format};
use crate::output::{is_closed, note};

/// Most entries that --last gives where they are held in memory while all is read.
const LAST_MAX: usize = 100_000;

#[derive(clap::Args)]
pub(crate) struct Consume {
    /// One segment, or all of a space in the order of commits
    #[arg(value_name = "SPACE[/SEGMENT]", value_parser = space_or_path)]
    target: (String, Option<String>),
    /// First sequence, of a segment
    #[arg(long, value_name = "SEQUENCE", conflicts_with_all = ["after", "offset_file", "last"])]
    from: Option<u64>,
    /// Go on after this offset, of a space
    #[arg(long, value_name = "OFFSET", value_parser = offset_file::after, conflicts_with_all = ["offset_file", "last"])]
    after: Option<offset_file::Kept>,
    /// Go on after the offset in this file, and keep it up to date
    #[arg(long, value_name = "FILE", conflicts_with = "last")]
    offset_file: Option<PathBuf>,
    /// Only the last so many entries
    #[arg(long, value_name = "COUNT", conflicts_with = "limit", value_parser = clap::value_parser!(u64).range(1..))]
    last: Option<u64>,
    /// Only what was committed after this date, time, or this long ago (15m)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<i64>,
    /// Only what was committed up to this date, time, or this long ago
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "follow")]
    until: Option<i64>,
    /// Only entries with this metadata; of several, with all
    #[arg(long = "where", value_name = "KEY=VALUE", value_parser = key_value)]
    wanted: Vec<(String, String)>,
    /// Go on with what is committed from now on, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Most entries; 0 for all
    #[arg(long, value_name = "COUNT", default_value_t = 0, hide_default_value = true)]
    limit: u64,
    /// json, table, raw, or a template such as '{sequence} {payload}'
    #[arg(long = "output", alias = "format", value_name = "FORMAT", value_parser = format, conflicts_with = "json")]
    format: Option<Format>,
    /// Print JSON lines (as without --output)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Consume {
    /// `stop` ends it early, with what was printed so far accounted for.
    pub(crate) async fn run(self, stop: CancellationToken) -> Result<(), Failure> {
        // Entries last no longer than their client.
        let store = self.connect.open().await?;
        let mut entries = self.open(&store).await?;
        let file = self.offset_file.as_deref().map(|file| (file, store.id()));
        let mut printer = Printer::new(self.format.clone().unwrap_or(Format::Json), self.hold(), file);
        let mut stopped = std::pin::pin!(stop.cancelled());
        let mut left = if self.limit == 0 { u64::MAX } else { self.limit };
        let end = loop {
            if left == 0 {
                break Ok(());
            }
            if self.follow && entries.waits() {
                printer.hand_over(!entries.is_live())?;
            }
            if printer.out.is_gone() {
                return Ok(());
            }
            let entry = tokio::select! {
                biased;
                () = &mut stopped => break Err(Failure::interrupted()),
                entry = entries.next() => entry,
            };
            match entry {
                None => break Ok(()),
                Some(Ok(Told::CaughtUp)) => {}
                Some(Ok(Told::Entry(entry))) => {
                    left -= 1;
                    printer.take(entry)?;
                }
                Some(Err(error)) => break Err(broken_off(error, printer.last.is_some())),
            }
        };
        match printer.finish() {
            // What went wrong first counts, and an offset says that what was read has been handed over.
            Err(failure) => return end.and(Err(failure)),
            Ok(()) if printer.out.is_gone() => return end,
            Ok(()) => {}
        }
        let (space, segment) = &self.target;
        match (&printer.last, segment) {
            (Some(last), None) if self.offset_file.is_none() && std::io::stderr().is_terminal() => {
                let (called, offset) = (called(), last.offset());
                note(format_args!(
                    "streamkit: go on with `{called} consume {space} --after {offset}`"
                ));
            }
            (None, _) if end.is_ok() => unknown::tell(&store, space, segment.as_deref()).await?,
            _ => {}
        }
        end
    }

    /// How many of the last entries are held back until the end is known, if any.
    fn hold(&self) -> Option<usize> {
        let is_counted = self.target.1.is_some() && self.wanted.is_empty();
        let last = self.last.filter(|_| !is_counted)?;
        Some(usize::try_from(last).unwrap_or(usize::MAX))
    }

    /// What excludes each other, beyond what clap knows.
    fn check(&self) -> Result<(), Failure> {
        if let (Some(since), Some(until)) = (self.since, self.until)
            && until <= since
        {
            return Err(Failure::arguments(
                "nothing was committed after --since and up to --until: --until must be the later one",
            ));
        }
        // To a server, no time and that of 1970 are the same.
        if self.until.is_some_and(|until| until <= 0) {
            return Err(Failure::arguments(
                "nothing was committed up to --until: it lies before 1970-01-01T00:00:00.001",
            ));
        }
        if self.target.1.is_some() && self.after.is_some() {
            return Err(Failure::arguments(
                "--after is for a space; a segment is read --from a sequence",
            ));
        }
        if self.target.1.is_none() && self.from.is_some() {
            return Err(Failure::arguments(
                "--from is for a segment; a space is read --after an offset",
            ));
        }
        if self.hold().is_some_and(|last| last > LAST_MAX) {
            return Err(Failure::arguments(format!(
                "--last {LAST_MAX} at most, of a space or --where; read it --since a time"
            )));
        }
        if self.follow && self.hold().is_some() {
            return Err(Failure::arguments(
                "--last of a space, or --where, knows only at the end what is last: --follow it --since a time",
            ));
        }
        if self.offset_file.is_some() && is_closed() {
            return Err(Failure::new(
                "standard output is closed: what is read would be lost, and passed over next time",
            )
            .hint("open it; >/dev/null throws entries away on purpose"));
        }
        Ok(())
    }

    async fn open(&self, store: &StoreClient) -> Result<Source, Failure> {
        self.check()?;
        let (space, segment) = self.target.clone();
        let after = match (&self.after, &self.offset_file) {
            (Some(offset), _) => Some(offset.clone().of(store.id(), &space)?),
            (None, Some(file)) => offset_file::read(file, store.id(), &space)?,
            (None, None) => None,
        };
        let behind = after.as_ref().map(SpaceOffset::decode).transpose();
        let behind = behind.map_err(|error| Failure::new(error.to_string()))?;
        let from = match (&segment, self.last, &behind) {
            (Some(segment), _, Some(behind)) if behind.segment != *segment => {
                return Err(Failure::new(format!(
                    "the offset is one of {space}/{}, not of {space}/{segment}",
                    behind.segment
                )));
            }
            (Some(_), _, Some(behind)) => {
                self.is_still_there(store, behind).await?;
                behind.sequence.saturating_add(1)
            }
            (Some(segment), Some(last), None) if self.hold().is_none() => {
                let head = store.peek(&space, segment).await?.map_or(0, |entry| entry.sequence);
                head.saturating_sub(last - 1).max(1)
            }
            _ => self.from.unwrap_or(0),
        };
        let is_filtered = !self.wanted.is_empty();
        let log = || {
            let part = Part {
                space: space.clone(),
                segment: segment.clone(),
                from,
                behind: behind.clone().filter(|_| segment.is_none()),
                after_time: self.since,
                until_time: self.until,
                wanted: self.wanted.clone(),
            };
            FromLog::new(store, part, self.follow).map(Box::new)
        };
        if self.follow {
            return Ok(Source::Log(log()?, None));
        }
        // What is left out does not count.
        let limit = if is_filtered { 0 } else { self.limit };
        let (after_time, until_time) = (self.since.unwrap_or(0), self.until.unwrap_or(0));
        let entries = match &segment {
            None => store.consume_space(ConsumeSpace {
                space: space.clone(),
                after: after.unwrap_or_default(),
                after_time,
                until_time,
                limit,
            }),
            Some(segment) => store.consume_segment(ConsumeSegment {
                from,
                after_time,
                until_time,
                limit,
                ..ConsumeSegment::all(space.clone(), segment)
            }),
        };
        Ok(match is_filtered {
            true => Source::Log(log()?, Some(entries)),
            false => Source::Call(entries, Vec::new()),
        })
    }

    /// Refuses to go on in a segment that was deleted since: its sequences began anew, and entries would be passed over.
    async fn is_still_there(&self, store: &StoreClient, behind: &SpaceOffset) -> Result<(), Failure> {
        let SpaceOffset { space, segment, .. } = behind;
        let last_read = ConsumeSegment {
            from: behind.sequence,
            limit: 1,
            ..ConsumeSegment::all(space, segment)
        };
        let found = store.consume_segment(last_read).try_next().await;
        let is_still_there = match found.map_err(|error| broken_off(error, false))? {
            Some(entry) if entry.sequence == behind.sequence => entry.timestamp == behind.timestamp,
            // What was read is trimmed.
            Some(entry) => entry.timestamp >= behind.timestamp,
            None => store.status(space, segment).await?.last_sequence >= behind.sequence,
        };
        if is_still_there {
            return Ok(());
        }
        let file = self
            .offset_file
            .as_deref()
            .map_or_else(String::new, |file| file.display().to_string());
        Err(Failure::new(format!(
            "{space}/{segment} was deleted since {} was read of it",
            behind.sequence
        ))
        .hint(format!("remove {file} to read what is there now from its first entry")))
    }
}

/// Why a read ended. One that was refused never began, so nothing broke off.
pub(super) fn broken_off(error: Error, began: bool) -> Failure {
    let refused = matches!(
        error,
        Error::Unauthorized
            | Error::TokenExpired { .. }
            | Error::AccessDenied
            | Error::Connect { .. }
            | Error::Tls { .. }
            | Error::Invalid(_)
            | Error::Refused(_)
    );
    match refused && !began {
        true => Failure::from(error),
        false => Failure::from(error).during("the stream broke off, there may be more entries"),
    }
}
