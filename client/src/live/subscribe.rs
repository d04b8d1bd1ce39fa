//! What a subscription is asked for.

use std::fmt;
use std::time::Duration;

/// Whose statuses are told, and how long it may be without a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscribe {
    /// The space.
    pub space: String,
    /// One segment of it; `None`: all.
    pub segment: Option<String>,
    /// How often an idle server says that it is there, in whole seconds between one and 300. Zero: a third of the client's timeout. A server that
    /// says nothing for three times as long is taken for dead.
    pub heartbeat: Duration,
    /// How long it may be without a server before it fails. Zero: as long as the client's timeout.
    pub patience: Duration,
}

impl Subscribe {
    /// To all segments of a space.
    pub fn space(space: impl Into<String>) -> Self {
        Self {
            space: space.into(),
            segment: None,
            heartbeat: Duration::ZERO,
            patience: Duration::ZERO,
        }
    }

    /// To one segment, which need not exist yet.
    pub fn segment(space: impl Into<String>, segment: impl Into<String>) -> Self {
        Self {
            segment: Some(segment.into()),
            ..Self::space(space)
        }
    }
}

impl fmt::Display for Subscribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.segment {
            None => write!(f, "space {}", self.space),
            Some(segment) => write!(f, "{}/{segment}", self.space),
        }
    }
}
