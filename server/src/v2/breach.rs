//! What a peer does against the rules of the protocol. The connection ends with it.

use streamkit_protocol::v2::{CallError, Class, Code, Details, Malformed};

/// What it did.
#[derive(Debug)]
pub(super) enum Breach {
    Rules(Malformed),
    /// It requires a feature that this server has not.
    UnknownFeature(String),
    /// A frame that is no call requires a field that this server does not know.
    UnknownField(String),
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
        let unknown =
            |code, what, name: &String| of(code, format!("unknown {what} {name}")).with(&Details::Name(name.clone()));
        match self {
            Self::Rules(why) => of(Code::Protocol, why.to_string()),
            Self::UnknownFeature(name) => unknown(Code::UnknownFeature, "feature", name),
            Self::UnknownField(name) => unknown(Code::UnknownField, "field", name),
        }
    }
}
