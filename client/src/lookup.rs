//! Calls with one message as answer, each over a channel of its own.

use streamkit_protocol::{GetStatus, Peek, Request, Status};

use crate::channel::Channel;
use crate::error::Error;
use crate::model::Entry;

/// The last entry of a segment; `None` if it is empty.
pub(crate) async fn peek(mut channel: Channel, space: &str, segment: &str) -> Result<Option<Entry>, Error> {
    let request = Peek {
        space: space.to_owned(),
        segment: segment.to_owned(),
    };
    channel.request(&Request::Peek(request)).await?;
    let message = channel.receive().await?;
    let message = message.ok_or_else(|| Error::Protocol("a peek ended without an entry".to_owned()))?;
    let entry = streamkit_protocol::Entry::decode(&message).map_err(Error::malformed)?;
    if (entry.space.as_str(), entry.segment.as_str()) != (space, segment) {
        let (s, g) = (&entry.space, &entry.segment);
        return Err(Error::Protocol(format!("a peek at {space}/{segment} answered {s}/{g}")));
    }
    Ok((entry.sequence > 0).then(|| Entry::from_wire(entry)))
}

/// Counts of a store, a space or a segment.
pub(crate) async fn status(mut channel: Channel, space: &str, segment: &str) -> Result<Status, Error> {
    let request = GetStatus {
        space: space.to_owned(),
        segment: segment.to_owned(),
    };
    channel.request(&Request::GetStatus(request)).await?;
    let message = channel.receive().await?;
    let message = message.ok_or_else(|| Error::Protocol("a status call ended without a status".to_owned()))?;
    Status::decode(&message).map_err(Error::malformed)
}
