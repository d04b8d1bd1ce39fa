//! Records on their way to a segment: their size is checked where the line they came from is still known.

use streamkit_client::{Error, NewRecord, StoreClient};
use streamkit_engine::limits::RECORD_BYTES_MAX;
use streamkit_engine::{Metadata, Record};

/// Bytes of a record as the server counts them.
///
/// # Errors
/// More than the server takes.
pub(crate) fn record_bytes(record: &NewRecord) -> Result<usize, String> {
    let counted = Record {
        payload: record.payload.clone(),
        metadata: Metadata::from_pairs(&record.metadata),
    };
    match counted.len() {
        bytes if bytes > RECORD_BYTES_MAX => Err(format!(
            "a record of {bytes} bytes; at most {RECORD_BYTES_MAX} of payload and metadata are allowed"
        )),
        bytes => Ok(bytes),
    }
}

/// Appends records, the first of them at sequence `first`, and waits until all are durable. Nothing to append is nothing
/// to do.
pub(crate) async fn append<'a>(
    store: &StoreClient,
    (space, segment): (&str, &str),
    first: u64,
    records: impl ExactSizeIterator<Item = &'a NewRecord>,
) -> Result<(), Error> {
    if records.len() == 0 {
        return Ok(());
    }
    let mut producer = store.produce(space, segment, first).await?;
    for record in records {
        producer.send(record).await?;
    }
    producer.finish().await?;
    Ok(())
}
