//! A space or segment that is not there reads as empty, since anybody may write its first entry at any moment. A person who
//! mistyped its name wants to know.

use streamkit_client::{Error, StoreClient};

use crate::failure::Failure;
use crate::output::note;

/// Says so on standard error if there is no such space or segment.
pub(crate) async fn tell(store: &StoreClient, space: &str, segment: Option<&str>) -> Result<(), Failure> {
    if !is_there(store, space, segment).await? {
        note(message(space, segment));
    }
    Ok(())
}

/// Whether there is such a space or segment.
pub(crate) async fn is_there(store: &StoreClient, space: &str, segment: Option<&str>) -> Result<bool, Failure> {
    Ok(match store.status(space, segment.unwrap_or_default()).await {
        Ok(status) => status.segment_count > 0,
        // A Go server does not know the question.
        Err(Error::Refused(_)) => match segment {
            Some(segment) => store.peek(space, segment).await?.is_some(),
            None => store.spaces().await?.iter().any(|known| known == space),
        },
        Err(error) => return Err(error.into()),
    })
}

/// What is said.
pub(crate) fn message(space: &str, segment: Option<&str>) -> String {
    format!("streamkit: {}", missing(space, segment))
}

/// What is not there.
pub(crate) fn missing(space: &str, segment: Option<&str>) -> String {
    match segment {
        Some(segment) => format!("there is no segment {space}/{segment} in this store"),
        None => format!("there is no space {space} in this store"),
    }
}
