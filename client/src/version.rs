//! The versions of the protocol.

/// A version of the protocol between client and server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// Texts that every Streamkit server understands, also one in Go.
    V1,
    /// Binary frames with flow control, and calls that v1 does not have.
    V2,
}
