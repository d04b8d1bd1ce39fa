//! Answers a request without listening to it.

use std::io;
use std::time::Duration;

use axum::http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use crate::websocket::Socket;

/// Bytes that a request may have before its body. Each connection in its handshake may hold as many.
pub(super) const HEAD_BYTES_MAX: usize = 64 << 10;

/// Answers one request, whatever it is, with a status and why, unless it has to give way before.
///
/// # Errors
/// What the connection says.
pub(super) async fn answer(
    mut socket: Socket,
    deadline: Duration,
    gives_way: &CancellationToken,
    (status, why): (StatusCode, &str),
) -> io::Result<()> {
    let answered = async {
        let (mut head, mut piece) = (Vec::new(), [0; 4096]);
        let mut seen = 0_usize;
        while !ends(&head[seen.saturating_sub(3)..]) && head.len() < HEAD_BYTES_MAX {
            seen = head.len();
            match socket.read(&mut piece).await? {
                0 => return Ok(()),
                read => head.extend_from_slice(&piece[..read]),
            }
        }
        let length = why.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{why}"
        );
        socket.write_all(answer.as_bytes()).await?;
        socket.shutdown().await
    };
    tokio::select! {
        answered = tokio::time::timeout(deadline, answered) => answered.unwrap_or_else(|late| Err(late.into())),
        () = gives_way.cancelled() => {
            socket.abandon();
            Err(io::Error::other("it gave way to another connection"))
        }
    }
}

fn ends(head: &[u8]) -> bool {
    head.windows(4).any(|end| end == b"\r\n\r\n")
}
