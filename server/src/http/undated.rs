//! While the clock stands where HTTP has no date for it, the library that speaks HTTP panics at each connection, whether its answers
//! have a date or not. So nobody speaks to it then: every request is answered with the reason.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use tokio_util::sync::CancellationToken;

use super::unheard;
use crate::websocket::Socket;

/// What is said then.
pub(crate) const WHY: &str =
    "the clock of this host is before 1970 or beyond the year 9998: set it, and everything goes on";

/// Whether HTTP can write a time.
pub(crate) fn has_date(now: SystemTime) -> bool {
    const YEAR_9999: Duration = Duration::from_secs(253_370_764_800);
    now.duration_since(UNIX_EPOCH).is_ok_and(|since| since < YEAR_9999)
}

/// Answers one request, whatever it is, unless it has to give way before.
///
/// # Errors
/// What the connection says.
pub(crate) async fn refuse(socket: Socket, deadline: Duration, gives_way: &CancellationToken) -> io::Result<()> {
    unheard::answer(socket, deadline, gives_way, (StatusCode::SERVICE_UNAVAILABLE, WHY)).await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::websocket::Taken;

    #[test]
    fn http_has_no_date_before_1970_nor_far_ahead() {
        assert!(has_date(SystemTime::now()) && has_date(UNIX_EPOCH));
        assert!(!has_date(UNIX_EPOCH - Duration::from_secs(1)));
        assert!(!has_date(UNIX_EPOCH + Duration::from_secs(300_000_000_000)));
    }

    #[tokio::test]
    async fn every_request_is_told_why() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let never = CancellationToken::new();
        let refused = refuse(Socket::tcp(stream, Taken::default()), Duration::from_secs(60), &never);
        let asked = async {
            peer.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r").await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            peer.write_all(b"\n").await.unwrap();
            let mut answer = String::new();
            peer.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let (refused, answer) = tokio::join!(refused, asked);
        refused.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with(WHY), "{answer}");
    }

    #[tokio::test]
    async fn who_has_to_give_way_is_gone_whatever_it_sends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let gives_way = CancellationToken::new();
        let refused = refuse(Socket::tcp(stream, Taken::default()), Duration::MAX, &gives_way);
        let sent_away = async {
            peer.write_all(b"GET").await.unwrap();
            gives_way.cancel();
        };
        let (refused, ()) = tokio::join!(refused, sent_away);
        refused.unwrap_err();
        assert!(
            matches!(peer.read(&mut [0]).await, Ok(0) | Err(_)),
            "its connection is closed"
        );
    }
}
