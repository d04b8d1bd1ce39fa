//! Reading ahead of the WebSocket: its buffer is small, as most connections are idle most of the time and each has one. A peer that
//! fills it sends much, and is read in larger pieces for as long as it does.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::poll_read_buf;

/// Bytes read at once from a peer that sends much.
const AHEAD_BYTES: usize = 32 << 10;

/// What was read and not handed on yet.
#[derive(Default)]
pub(super) struct Ahead {
    bytes: BytesMut,
    /// Whether the last read was filled.
    more: bool,
}

impl Ahead {
    /// Reads from `io`, or hands on what was read before.
    pub(super) fn poll_read(
        &mut self,
        io: Pin<&mut impl AsyncRead>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bytes.is_empty() {
            if !self.more {
                ready!(io.poll_read(cx, buf))?;
                self.more = buf.remaining() == 0;
                return Poll::Ready(Ok(()));
            }
            self.bytes.reserve(AHEAD_BYTES);
            match poll_read_buf(io, cx, &mut self.bytes) {
                Poll::Ready(Ok(1..)) => self.more = self.bytes.len() >= AHEAD_BYTES,
                // Nothing more has come.
                read => {
                    *self = Self::default();
                    return read.map_ok(drop);
                }
            }
        }
        let next = self.bytes.len().min(buf.remaining());
        buf.put_slice(&self.bytes[..next]);
        self.bytes.advance(next);
        if self.bytes.is_empty() && !self.more {
            *self = Self::default();
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// So much to read, counted in pieces.
    struct Source(Vec<u8>, usize);

    impl AsyncRead for Source {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let bytes = self.0.len().min(buf.remaining());
            if bytes == 0 {
                return Poll::Pending;
            }
            buf.put_slice(&self.0.drain(..bytes).collect::<Vec<_>>());
            self.1 += 1;
            Poll::Ready(Ok(()))
        }
    }

    /// All that comes until nothing more does, with how many reads, read in pieces of 1 KiB.
    fn all(ahead: &mut Ahead, bytes: Vec<u8>) -> (Vec<u8>, usize) {
        let (mut source, mut came) = (Source(bytes, 0), Vec::new());
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            let mut piece = [0; 1 << 10];
            let mut buf = ReadBuf::new(&mut piece);
            match ahead.poll_read(Pin::new(&mut source), &mut cx, &mut buf) {
                Poll::Ready(read) => read.unwrap(),
                Poll::Pending => return (came, source.1),
            }
            came.extend_from_slice(buf.filled());
        }
    }

    #[test]
    fn who_sends_much_is_read_in_few_reads_and_nothing_is_held_once_all_came() {
        let mut ahead = Ahead::default();
        for (bytes, reads) in [
            (1, 1),
            (1000, 1),
            (1 << 10, 1),
            (5 << 10, 2),
            (33 << 10, 2),
            (40_000, 3),
        ] {
            let sent: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
            assert_eq!(all(&mut ahead, sent.clone()), (sent, reads), "{bytes}");
            assert_eq!((ahead.bytes.capacity(), ahead.more), (0, false), "{bytes}");
        }
    }
}
