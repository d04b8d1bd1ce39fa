//! `produce`: lines in, entries out.

use std::io::{BufRead, BufReader, Read};

use serde::Deserialize;
use streamkit_client::{Error, Metadata, NewRecord};

use super::connect::{Connect, path};
use super::failure::Failure;
use super::output::json_lines;

#[derive(clap::Args)]
pub(crate) struct Produce {
    /// SPACE/SEGMENT
    #[arg(value_parser = path)]
    target: (String, String),
    /// File with one record a line; - or nothing: standard input
    file: Option<String>,
    /// The head that must hold: 0 for a new segment. Without it, records go after whatever the head is
    #[arg(long)]
    expect: Option<u64>,
    /// Lines are JSON objects {"payload":…, "payload_base64":…, "metadata":{…}}; the result is printed as JSON too
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    payload: Option<String>,
    payload_base64: Option<String>,
    #[serde(default)]
    metadata: Metadata,
}

impl Produce {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (space, segment) = &self.target;
        let store = self.connect.open();
        let input: Box<dyn Read + Send> = match self.file.as_deref() {
            None | Some("-") => Box::new(std::io::stdin()),
            Some(file) => Box::new(std::fs::File::open(file).map_err(|error| Failure::from(error).during(file))?),
        };
        let (send, mut lines) = tokio::sync::mpsc::channel(1024);
        let as_json = self.json;
        tokio::task::spawn_blocking(move || {
            for (number, line) in BufReader::new(input).split(b'\n').enumerate() {
                let record = line.map_err(Failure::from).and_then(|line| record(line, as_json));
                let record = record.map_err(|failure| failure.during(format!("line {}", number + 1)));
                let last = record.is_err();
                if send.blocking_send(record).is_err() || last {
                    return;
                }
            }
        });
        let head = match self.expect {
            Some(head) => head,
            None => store.peek(space, segment).await?.map_or(0, |entry| entry.sequence),
        };
        let told = |error: Error| match error {
            Error::Conflict { head: actual, .. } if self.expect.is_some() => {
                let message = format!("sequence conflict: expected head {head}, it is {actual}");
                Failure::from(error)
                    .because(message)
                    .hint(format!("rerun with --expect {actual}"))
            }
            Error::Conflict { .. } => Failure::from(error).hint("another producer was first, rerun"),
            error => Failure::from(error),
        };
        let mut producer = store
            .produce(space, segment, head.saturating_add(1))
            .await
            .map_err(told)?;
        let mut broken = None;
        while let Some(record) = lines.recv().await {
            match record {
                Ok(record) => {
                    producer.send(&record).await.map_err(told)?;
                }
                Err(failure) => {
                    broken = Some(failure);
                    break;
                }
            }
        }
        let status = producer.finish().await.map_err(told)?;
        let last = status.as_ref().map_or(head, |status| status.last_sequence);
        if json_lines(self.json) {
            println!(
                "{}",
                serde_json::json!({"space": space, "segment": segment, "produced": last - head, "head": last})
            );
        } else {
            println!(
                "{} records appended to {space}/{segment}, its head is {last}",
                last - head
            );
        }
        broken.map_or(Ok(()), |failure| Err(failure.hint("the lines before it are stored")))
    }
}

fn record(mut line: Vec<u8>, as_json: bool) -> Result<NewRecord, Failure> {
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    if !as_json {
        return Ok(NewRecord::new(line));
    }
    let line: Line = serde_json::from_slice(&line).map_err(|error| Failure::new(error.to_string()))?;
    let payload = match (line.payload, line.payload_base64) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(text)) => {
            use base64::Engine as _;
            let decoded = base64::engine::general_purpose::STANDARD.decode(text);
            decoded.map_err(|error| Failure::new(format!("payload_base64: {error}")))?
        }
        (None, None) => Vec::new(),
        (Some(_), Some(_)) => return Err(Failure::new("payload and payload_base64 exclude each other")),
    };
    Ok(NewRecord {
        payload: payload.into(),
        metadata: line.metadata,
    })
}
