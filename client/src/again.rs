//! What a call has sent and had no answer to. A server that ends a connection in good order says of which calls it has begun nothing:
//! those can begin again on another connection.

use bytes::Bytes;

/// Of a call that has sent more, nothing is kept.
const BYTES_MAX: usize = 1 << 20;

/// A call whose connections end under it this often fails.
const TIMES_MAX: u32 = 5;

/// All that a call has sent.
#[derive(Default)]
pub(crate) struct Again {
    /// Frames, and where each of them ends.
    sent: Vec<(Bytes, Vec<usize>)>,
    bytes: usize,
    times: u32,
    too_much: bool,
}

impl Again {
    /// Keeps what is sent.
    pub(crate) fn keep(&mut self, frames: &Bytes, ends: &[usize]) {
        self.bytes = self.bytes.saturating_add(frames.len());
        self.too_much |= self.bytes > BYTES_MAX;
        match self.too_much {
            true => self.sent = Vec::new(),
            false => self.sent.push((frames.clone(), ends.to_vec())),
        }
    }

    /// Whether the call can begin once more, which then counts.
    pub(crate) fn once_more(&mut self) -> bool {
        self.times += 1;
        !self.too_much && self.times <= TIMES_MAX
    }

    /// Bytes of all frames.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What is to be sent again.
    pub(crate) fn sent(&self) -> impl Iterator<Item = (Bytes, Vec<usize>)> {
        self.sent.iter().cloned()
    }
}
