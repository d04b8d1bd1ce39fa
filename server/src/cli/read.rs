//! `consume` and `peek`: entries as JSON lines.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use streamkit_client::{ConsumeSegment, ConsumeSpace, Entries, LexKey, StoreClient};
use tokio_util::sync::CancellationToken;

use super::connect::{Connect, moment, path, space_or_path};
use super::failure::Failure;
use super::files::replace;
use super::output::{EntryLine, Out, note};

#[derive(clap::Args)]
pub(crate) struct Consume {
    /// One segment, or all of a space in the order of commits
    #[arg(value_name = "SPACE[/SEGMENT]", value_parser = space_or_path)]
    target: (String, Option<String>),
    /// First sequence, of a segment
    #[arg(long, value_name = "SEQUENCE", conflicts_with_all = ["after", "offset_file"])]
    from: Option<u64>,
    /// Go on after this offset, of a space
    #[arg(long, value_name = "OFFSET", value_parser = LexKey::from_hex, conflicts_with = "offset_file")]
    after: Option<LexKey>,
    /// Go on after the offset in this file, and keep it up to date
    #[arg(long, value_name = "FILE")]
    offset_file: Option<PathBuf>,
    /// Only what was committed after this time, or this long ago (15m)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Most entries; 0 for all
    #[arg(long, value_name = "COUNT", default_value_t = 0, hide_default_value = true)]
    limit: u64,
    /// Print JSON lines (always done here)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Consume {
    /// `stop` ends it early, with what was printed so far accounted for.
    pub(crate) async fn run(self, stop: CancellationToken) -> Result<(), Failure> {
        // Entries last no longer than their client.
        let store = self.connect.open();
        let mut entries = self.open(&store)?;
        let mut out = Out::new();
        let mut last = None;
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
                    out.json(&EntryLine(&entry))?;
                    last = Some(entry);
                }
                Some(Err(error)) => {
                    break Err(Failure::from(error).during("the stream broke off, there may be more entries"));
                }
            }
        };
        out.flush()?;
        // Only now: what an offset says was read has been handed over.
        if let (Some(last), (space, None)) = (last, &self.target) {
            let offset = last.offset();
            if let Some(file) = &self.offset_file {
                let kept = replace(file, format!("{offset}\n").as_bytes());
                kept.map_err(|error| Failure::from(error).during(file.display()))?;
            } else if std::io::stderr().is_terminal() {
                note(format_args!(
                    "streamkit: go on with `streamkit consume {space} --after {offset}`"
                ));
            }
        }
        end
    }

    fn open(&self, store: &StoreClient) -> Result<Entries, Failure> {
        let after_time = self.since.as_deref().map_or(Ok(0), moment)?;
        let (space, segment) = self.target.clone();
        let Some(segment) = segment else {
            if self.from.is_some() {
                return Err(Failure::arguments(
                    "--from is for a segment; a space is read --after an offset",
                ));
            }
            let after = match (&self.after, &self.offset_file) {
                (Some(offset), _) => offset.clone(),
                (None, Some(file)) => kept_offset(file)?,
                (None, None) => LexKey::default(),
            };
            return Ok(store.consume_space(ConsumeSpace {
                space,
                after,
                after_time,
                limit: self.limit,
                ..ConsumeSpace::default()
            }));
        };
        if self.after.is_some() || self.offset_file.is_some() {
            return Err(Failure::arguments(
                "--after and --offset-file are for a space; a segment is read --from a sequence",
            ));
        }
        Ok(store.consume_segment(ConsumeSegment {
            space,
            segment,
            from: self.from.unwrap_or(0),
            after_time,
            limit: self.limit,
            ..ConsumeSegment::default()
        }))
    }
}

/// The offset in a file; from the start if there is no file yet.
fn kept_offset(file: &Path) -> Result<LexKey, Failure> {
    let text = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(LexKey::default()),
        read => read.map_err(|error| Failure::from(error).during(file.display()))?,
    };
    match LexKey::from_hex(text.trim()) {
        Ok(offset) if offset != LexKey::default() => Ok(offset),
        _ => Err(Failure::new(format!(
            "{} holds no offset; remove it to start from the first entry",
            file.display()
        ))),
    }
}

#[derive(clap::Args)]
pub(crate) struct Peek {
    /// The segment
    #[arg(value_name = "SPACE/SEGMENT", value_parser = path)]
    target: (String, String),
    /// Print a JSON line (always done here)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Peek {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (space, segment) = &self.target;
        match self.connect.open().peek(space, segment).await? {
            Some(entry) => {
                let mut out = Out::new();
                out.json(&EntryLine(&entry))?;
                out.flush()
            }
            None => Err(Failure::new(format!("{space}/{segment} holds no entries"))),
        }
    }
}
