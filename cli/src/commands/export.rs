//! `export`: entries as lines of a file, which `import --entries` stores at the same sequences.

use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use futures_util::TryStreamExt as _;
use streamkit_client::{ConsumeSegment, ConsumeSpace, StoreClient};
use tokio::task::coop::consume_budget;

use super::read::broken_off;
use crate::arguments::space_or_path;
use crate::connect::{Connect, unknown};
use crate::failure::Failure;
use crate::files;
use crate::output::{EntryLine, Out, counted, json_lines, path_text};

#[derive(clap::Args)]
pub(crate) struct Export {
    /// One segment, or all of a space in the order of commits
    #[arg(value_name = "SPACE[/SEGMENT]", value_parser = space_or_path)]
    target: (String, Option<String>),
    /// File for them, which must not be there; - is standard output
    file: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Export {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let store = self.connect.open().await?;
        let (space, segment) = &self.target;
        let mut entries = match segment {
            Some(segment) => store.consume_segment(ConsumeSegment::all(space, segment)),
            None => store.consume_space(ConsumeSpace::all(space)),
        };
        let mut count = 0;
        if self.file.as_os_str() == "-" {
            let mut out = Out::new();
            while let Some(entry) = entries.try_next().await.map_err(|error| broken_off(error, count > 0))? {
                out.json(&EntryLine(&entry))?;
                if out.is_gone() {
                    return Ok(());
                }
                count += 1;
                // Entries that are here already are taken without waiting, and Ctrl-C is heard only in between.
                consume_budget().await;
            }
            out.flush()?;
            if count == 0 {
                is_there(&store, space, segment.as_deref()).await?;
            }
        } else {
            let file = &self.file;
            let told = |error: std::io::Error| Failure::from(error).during(file.display());
            if file.symlink_metadata().is_ok() {
                return Err(Failure::arguments(format!("{} is there already", file.display()))
                    .hint("remove it, or name another file"));
            }
            // Until it is whole, nothing has its name.
            let (fresh, opened) = files::Fresh::beside(file).map_err(told)?;
            let mut out = BufWriter::with_capacity(256 << 10, opened);
            while let Some(entry) = entries.try_next().await.map_err(|error| broken_off(error, count > 0))? {
                serde_json::to_writer(&mut out, &EntryLine(&entry)).map_err(|error| told(error.into()))?;
                out.write_all(b"\n").map_err(told)?;
                count += 1;
                consume_budget().await;
            }
            if count == 0 {
                is_there(&store, space, segment.as_deref()).await?;
            }
            let written = out.into_inner().map_err(|error| told(error.into_error()))?;
            written.sync_all().map_err(told)?;
            fresh.keep_as(file).map_err(told)?;
        }
        if self.file.as_os_str() == "-" {
            return Ok(());
        }
        let file = &self.file;
        Out::new().result("the file is written", |out| match json_lines(self.json) {
            true => out.json(&serde_json::json!({ "file": path_text(file), "entries": count })),
            false => out.text(format_args!("{} in {}", counted(count, "entry"), file.display())),
        })
    }
}

/// Whoever exports what is not there mistyped it, and is not to keep an empty file for a whole one.
async fn is_there(store: &StoreClient, space: &str, segment: Option<&str>) -> Result<(), Failure> {
    match unknown::is_there(store, space, segment).await? {
        true => Ok(()),
        false => Err(Failure::new(unknown::missing(space, segment))),
    }
}
