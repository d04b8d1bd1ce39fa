//! `consume` and `peek`: entries, a line each.

mod offset_file;

use std::collections::VecDeque;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use futures_util::StreamExt as _;
use streamkit_client::{ConsumeSegment, ConsumeSpace, Entries, Entry, Error, LexKey, StoreClient};
use tokio_util::sync::CancellationToken;

use crate::arguments::moment::moment;
use crate::arguments::{path, space_or_path};
use crate::called::called;
use crate::connect::Connect;
use crate::connect::unknown;
use crate::failure::Failure;
use crate::output::format::{Format, format};
use crate::output::{Out, is_closed, note};

/// Most entries of a space that --last gives: they are held in memory while the space is read.
const LAST_MAX: u64 = 100_000;

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
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<i64>,
    /// Most entries; 0 for all
    #[arg(long, value_name = "COUNT", default_value_t = 0, hide_default_value = true)]
    limit: u64,
    /// json, payload, or a template such as '{sequence} {payload}'
    #[arg(long, value_name = "FORMAT", value_parser = format, conflicts_with = "json")]
    format: Option<Format>,
    /// Print JSON lines (as without --format)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Consume {
    /// `stop` ends it early, with what was printed so far accounted for.
    pub(crate) async fn run(self, stop: CancellationToken) -> Result<(), Failure> {
        // Entries last no longer than their client.
        let store = self.connect.open()?;
        let mut entries = self.open(&store).await?;
        let mut printer = self.printer();
        let mut stopped = std::pin::pin!(stop.cancelled());
        let end = loop {
            let entry = tokio::select! {
                biased;
                () = &mut stopped => break Err(Failure::interrupted()),
                entry = entries.next() => entry,
            };
            match entry {
                None => break Ok(()),
                Some(Ok(entry)) => {
                    printer.take(entry)?;
                    if printer.out.is_gone() {
                        return Ok(());
                    }
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
            (Some(last), None) => {
                let offset = last.offset();
                if let Some(file) = &self.offset_file {
                    offset_file::write(file, store.id(), &offset)?;
                } else if std::io::stderr().is_terminal() {
                    let called = called();
                    note(format_args!(
                        "streamkit: go on with `{called} consume {space} --after {offset}`"
                    ));
                }
            }
            (None, _) if end.is_ok() => unknown::tell(&store, space, segment.as_deref()).await?,
            _ => {}
        }
        end
    }

    fn printer(&self) -> Printer {
        let hold = match (&self.target, self.last) {
            ((_, None), Some(last)) => Some((usize::try_from(last).unwrap_or(usize::MAX), VecDeque::new())),
            _ => None,
        };
        Printer {
            out: Out::new(),
            format: self.format.clone().unwrap_or(Format::Json),
            last: None,
            hold,
        }
    }

    async fn open(&self, store: &StoreClient) -> Result<Entries, Failure> {
        let (after_time, until_time) = (self.since.unwrap_or(0), self.until.unwrap_or(0));
        if until_time != 0 && until_time <= after_time {
            return Err(Failure::arguments(
                "nothing was committed after --since and up to --until: --until must be the later one",
            ));
        }
        let (space, segment) = self.target.clone();
        let Some(segment) = segment else {
            if self.from.is_some() {
                return Err(Failure::arguments(
                    "--from is for a segment; a space is read --after an offset",
                ));
            }
            if self.last.is_some_and(|last| last > LAST_MAX) {
                return Err(Failure::arguments(format!(
                    "--last {LAST_MAX} at most, of a space; read it --since a time"
                )));
            }
            let after = match (&self.after, &self.offset_file) {
                (Some(offset), _) => offset.clone().of(store.id(), &space)?,
                (None, Some(_)) if is_closed() => {
                    return Err(Failure::new(
                        "standard output is closed: what is read would be lost, and passed over next time",
                    )
                    .hint("open it; >/dev/null throws entries away on purpose"));
                }
                (None, Some(file)) => offset_file::read(file, store.id(), &space)?.unwrap_or_default(),
                (None, None) => LexKey::default(),
            };
            return Ok(store.consume_space(ConsumeSpace {
                space,
                after,
                after_time,
                until_time,
                limit: self.limit,
            }));
        };
        if self.after.is_some() || self.offset_file.is_some() {
            return Err(Failure::arguments(
                "--after and --offset-file are for a space; a segment is read --from a sequence",
            ));
        }
        let from = match self.last {
            Some(last) => {
                let head = store.peek(&space, &segment).await?.map_or(0, |entry| entry.sequence);
                head.saturating_sub(last - 1).max(1)
            }
            None => self.from.unwrap_or(0),
        };
        Ok(store.consume_segment(ConsumeSegment {
            from,
            after_time,
            until_time,
            limit: self.limit,
            ..ConsumeSegment::all(space, segment)
        }))
    }
}

/// Prints entries as they come, or holds back the last ones.
struct Printer {
    out: Out,
    format: Format,
    last: Option<Entry>,
    /// Entries to print at the end, at most so many.
    hold: Option<(usize, VecDeque<Entry>)>,
}

impl Printer {
    fn take(&mut self, entry: Entry) -> Result<(), Failure> {
        match &mut self.hold {
            None => self.format.print(&entry, &mut self.out)?,
            Some((most, held)) => {
                if held.len() == *most {
                    held.pop_front();
                }
                held.push_back(entry.clone());
            }
        }
        self.last = Some(entry);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Failure> {
        for entry in self.hold.take().into_iter().flat_map(|(_, held)| held) {
            self.format.print(&entry, &mut self.out)?;
        }
        self.out.flush()
    }
}

/// Why a read ended. One that was refused never began, so nothing broke off.
fn broken_off(error: Error, began: bool) -> Failure {
    let refused = matches!(
        error,
        Error::Unauthorized
            | Error::TokenExpired { .. }
            | Error::AccessDenied
            | Error::Connect { .. }
            | Error::Tls { .. }
            | Error::Invalid(_)
    );
    match refused && !began {
        true => Failure::from(error),
        false => Failure::from(error).during("the stream broke off, there may be more entries"),
    }
}

#[derive(clap::Args)]
pub(crate) struct Peek {
    /// The segment
    #[arg(value_name = "SPACE/SEGMENT", value_parser = path)]
    target: (String, String),
    /// json, payload, or a template such as '{sequence} {payload}'
    #[arg(long, value_name = "FORMAT", value_parser = format, conflicts_with = "json")]
    format: Option<Format>,
    /// Print a JSON line (as without --format)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Peek {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (space, segment) = &self.target;
        match self.connect.open()?.peek(space, segment).await? {
            Some(entry) => {
                let mut out = Out::new();
                self.format.unwrap_or(Format::Json).print(&entry, &mut out)?;
                out.flush()
            }
            None => Err(Failure::new(format!("{space}/{segment} holds no entries"))),
        }
    }
}
