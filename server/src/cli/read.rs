//! `consume` and `peek`: entries as JSON lines.

use std::io::{BufWriter, Write as _};

use futures_util::StreamExt as _;
use streamkit_client::{ConsumeSegment, ConsumeSpace, LexKey};

use super::connect::{Connect, moment, path, space_or_path};
use super::failure::Failure;
use super::output::{EntryLine, line};

#[derive(clap::Args)]
pub(crate) struct Consume {
    /// SPACE for all its segments in the order of commits, SPACE/SEGMENT for one
    target: String,
    /// First sequence (of a segment)
    #[arg(long, conflicts_with = "after")]
    from: Option<u64>,
    /// Go on after this space offset (of a space)
    #[arg(long)]
    after: Option<String>,
    /// Only entries committed after this: a time, Unix milliseconds, or how long ago
    #[arg(long)]
    since: Option<String>,
    /// Most entries
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    limit: u64,
    /// Print JSON lines (always done here)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Consume {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let store = self.connect.open();
        let after_time = self.since.as_deref().map_or(Ok(0), moment)?;
        let mut entries = match space_or_path(&self.target) {
            (space, Some(segment)) => {
                if self.after.is_some() {
                    return Err(Failure::new(
                        "--after is for a space; a segment is read --from a sequence",
                    ));
                }
                store.consume_segment(ConsumeSegment {
                    space: space.to_owned(),
                    segment: segment.to_owned(),
                    from: self.from.unwrap_or(0),
                    after_time,
                    limit: self.limit,
                    ..ConsumeSegment::default()
                })
            }
            (space, None) => {
                if self.from.is_some() {
                    return Err(Failure::new(
                        "--from is for a segment; a space is read --after an offset",
                    ));
                }
                let after = self.after.as_deref().map_or(Ok(LexKey::default()), LexKey::from_hex);
                store.consume_space(ConsumeSpace {
                    space: space.to_owned(),
                    after: after.map_err(|error| Failure::new(format!("--after: {error}")))?,
                    after_time,
                    limit: self.limit,
                    ..ConsumeSpace::default()
                })
            }
        };
        let mut out = BufWriter::with_capacity(64 << 10, std::io::stdout().lock());
        while let Some(entry) = entries.next().await {
            match entry {
                Ok(entry) => line(&mut out, &EntryLine(&entry))?,
                Err(error) => {
                    out.flush()?;
                    return Err(Failure::from(error).during("the stream broke off, there may be more entries"));
                }
            }
        }
        Ok(out.flush()?)
    }
}

#[derive(clap::Args)]
pub(crate) struct Peek {
    /// SPACE/SEGMENT
    #[arg(value_parser = path)]
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
            Some(entry) => Ok(line(&mut std::io::stdout().lock(), &EntryLine(&entry))?),
            None => Err(Failure::new(format!("{space}/{segment} holds no entries"))),
        }
    }
}
