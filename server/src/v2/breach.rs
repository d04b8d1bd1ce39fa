//! What a peer does against the rules of the protocol. The connection ends with it.

use streamkit_protocol::v2::{CallError, Class, Code, Details, Malformed};

/// What it did.
#[derive(Debug)]
pub(super) enum Breach {
    Rules(Malformed),
    /// It requires a feature that this server has not.
    UnknownFeature(String),
}

impl From<Malformed> for Breach {
    fn from(why: Malformed) -> Self {
        Self::Rules(why)
    }
}

impl Breach {
    /// As the peer is told.
    pub(super) fn told(&self) -> CallError {
        let of = |code, text: String| CallError::new(code, Class::Permanent, text);
        match self {
            Self::Rules(why) => of(Code::Protocol, why.to_string()),
            Self::UnknownFeature(name) => {
                of(Code::UnknownFeature, format!("unknown feature {name}")).with(&Details::Name(name.clone()))
            }
        }
    }
}
