//! `peek`: the last entry of a segment.

use crate::arguments::path;
use crate::connect::Connect;
use crate::failure::Failure;
use crate::output::Out;
use crate::output::format::{Format, format};

#[derive(clap::Args)]
pub(crate) struct Peek {
    /// The segment
    #[arg(value_name = "SPACE/SEGMENT", value_parser = path)]
    target: (String, String),
    /// json, table, raw, or a template such as '{sequence} {payload}'
    #[arg(long = "output", alias = "format", value_name = "FORMAT", value_parser = format, conflicts_with = "json")]
    format: Option<Format>,
    /// Print a JSON line (as without --output)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Peek {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (space, segment) = &self.target;
        match self.connect.open().await?.peek(space, segment).await? {
            Some(entry) => {
                let mut out = Out::new();
                let format = self.format.unwrap_or(Format::Json);
                format.begin(&mut out)?;
                format.print(&entry, &mut out)?;
                out.flush()
            }
            None => Err(Failure::new(format!("{space}/{segment} holds no entries"))),
        }
    }
}
