//! Why a connection ends whose peer still listens.

use std::sync::{Arc, OnceLock};

use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// Why channels are told to end while the connection still works.
pub(super) type Ending = Arc<OnceLock<&'static str>>;

/// Open channels are told the text, the WebSocket the code.
pub(super) struct Goodbye {
    pub(super) why: &'static str,
    code: CloseCode,
}

pub(super) const SHUTTING_DOWN: Goodbye = Goodbye {
    why: "the server is shutting down",
    code: CloseCode::Normal,
};
pub(super) const TOKEN_EXPIRED: Goodbye = Goodbye {
    why: "the token expired",
    code: CloseCode::Normal,
};
pub(super) const PEER_LEAVES: Goodbye = Goodbye {
    why: "the peer closed the connection",
    code: CloseCode::Normal,
};
pub(super) const MALFORMED: Goodbye = Goodbye {
    why: "the peer sent a malformed frame",
    code: CloseCode::Protocol,
};
pub(super) const TOO_LARGE: Goodbye = Goodbye {
    why: "the peer sent a frame that is too large",
    code: CloseCode::Size,
};
pub(super) const TOO_SLOW: Goodbye = Goodbye {
    why: "the peer sends a large frame so slowly that others wait for it",
    code: CloseCode::Again,
};

impl Goodbye {
    /// Whether what the peer sent can still be read.
    pub(super) fn is_in_order(&self) -> bool {
        self.code == CloseCode::Normal
    }

    /// How the WebSocket ends.
    pub(super) fn close_frame(self) -> CloseFrame {
        // An end in good order needs no reason.
        let reason = if self.is_in_order() { "" } else { self.why };
        CloseFrame {
            code: self.code,
            reason: reason.into(),
        }
    }
}
