//! Peek: a segment's last entry, or the empty entry if there is none.

use streamkit_engine::Store;
use streamkit_protocol::limits::MESSAGE_BYTES_MAX;
use streamkit_protocol::{Entry, Peek};

use super::{Failure, does_not_fit, encode_entry, path};
use crate::session::Outgoing;

pub(super) async fn run(request: Peek, store: &dyn Store, out: &Outgoing) -> Result<(), Failure> {
    let _turn = out.turn().await?;
    let mut message = Vec::new();
    match store.peek(&path(&request.space, &request.segment)?).await? {
        Some(entry) => {
            encode_entry(&entry, &mut message);
            if message.len() > MESSAGE_BYTES_MAX {
                return Err(does_not_fit(&entry));
            }
        }
        None => {
            let empty = Entry {
                space: request.space,
                segment: request.segment,
                ..Entry::default()
            };
            message = empty.encode();
        }
    }
    let mut batch = out.batch();
    batch.push(&message);
    out.send(batch).await
}
