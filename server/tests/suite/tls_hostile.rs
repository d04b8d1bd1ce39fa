//! Peers that speak TLS badly, or something else. None harms the others.

use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::version::TLS12;
use streamkit_protocol::Terminal;
use streamkit_server_core::Limits;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

use crate::certificates::{Authority, BOTH, Folder, Secure, secure, upgrade};
use crate::peer::{PATIENCE, record};

/// `openssl s_client`, which is told these lines: what it says.
async fn s_client(secure: &Secure, options: &str, lines: &[&str]) -> String {
    let mut client = tokio::process::Command::new("openssl")
        .args(["s_client", "-connect", &secure.address, "-servername", "localhost"])
        .args(options.split(' ').filter(|option| !option.is_empty()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = client.stdin.take().unwrap();
    for line in lines {
        // A line by itself is a command: it must not come with the one before.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let _ = stdin.write_all(format!("{line}\n").as_bytes()).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(stdin);
    let ended = tokio::time::timeout(PATIENCE, client.wait_with_output()).await;
    let said = ended.expect("s_client hangs").unwrap();
    [said.stdout, said.stderr]
        .map(|said| String::from_utf8_lossy(&said).into_owned())
        .concat()
}

#[tokio::test]
async fn older_versions_are_refused_and_nobody_is_talked_down_to_them() {
    let authority = Authority::new();
    let secured = Secure::start(&authority.server()).await;
    let mut inside = secured.connect(authority.trusting(BOTH, None)).await;
    let said = s_client(&secured, "-tls1_2", &["Q"]).await;
    assert!(
        said.contains("Protocol  : TLSv1.2") || said.contains("TLSv1.2, Cipher is"),
        "{said}"
    );
    for old in ["-tls1", "-tls1_1"] {
        // Without a lower bar of its own it would not even ask.
        let said = s_client(&secured, &format!("{old} -cipher ALL:@SECLEVEL=0"), &[]).await;
        assert!(said.contains("alert") && said.contains("Cipher is (NONE)"), "{said}");
    }
    secured.failed("incompatible", 2).await;
    // Who speaks 1.3 and is answered in 1.2, because somebody between has changed what it asked for, knows it by this mark.
    let seen = Arc::new(Mutex::new(Vec::new()));
    let stream = Watched {
        stream: secured.tcp().await,
        seen: seen.clone(),
        write_bytes: usize::MAX,
    };
    secure(stream, authority.trusting(&[&TLS12], None)).await.unwrap();
    let seen = seen.lock().unwrap().clone();
    assert!(seen.windows(8).any(|bytes| bytes == b"DOWNGRD\x01"));
    inside.answers_ping().await;
}

#[tokio::test]
async fn nothing_is_negotiated_twice() {
    let authority = Authority::new();
    let secured = Secure::start(&authority.server()).await;
    let mut inside = secured.connect(authority.trusting(BOTH, None)).await;
    let said = s_client(&secured, "-tls1_2", &["R", "R", "R"]).await;
    assert!(said.contains("RENEGOTIATING"), "{said}");
    assert!(
        said.contains("no renegotiation") || said.contains("unexpected message"),
        "{said}"
    );
    inside.answers_ping().await;
    secured
        .connect(authority.trusting(BOTH, None))
        .await
        .answers_ping()
        .await;
}

/// What the server says until it hangs up.
async fn answer(tcp: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, tcp.read_to_end(&mut said)).await;
    // A reset is an end, too.
    let _ = ended.expect("it is still connected");
    said
}

#[tokio::test]
async fn plain_http_and_garbage_get_an_alert_and_an_end() {
    let authority = Authority::new();
    let secured = Secure::start(&authority.server()).await;
    let mut inside = secured.connect(authority.trusting(BOTH, None)).await;
    let garbage: Vec<u8> = (0..100_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let hello_of_nothing = [22, 3, 1, 0, 4, 1, 0, 0, 0];
    let record_too_long = [22, 3, 3, 0xff, 0xff, 1, 2, 3];
    let sent: [&[u8]; 5] = [
        b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
        &garbage,
        &hello_of_nothing,
        &record_too_long,
        &[0; 5],
    ];
    for sent in sent {
        let mut tcp = secured.tcp().await;
        // The server may have hung up before all is sent.
        let _ = tcp.write_all(sent).await;
        let said = answer(&mut tcp).await;
        assert!(said.is_empty() || said[0] == 21, "an alert, or nothing: {said:?}");
        inside.answers_ping().await;
    }
    secured.failed("no_tls", 4).await;
    // In the other direction: TLS to who speaks none.
    let plain = TcpStream::connect(secured.host.url.trim_start_matches("ws://"))
        .await
        .unwrap();
    secure(plain, authority.trusting(BOTH, None)).await.unwrap_err();
    secured.host.connect().await.answers_ping().await;
}

#[tokio::test]
async fn a_peer_that_sends_a_byte_at_a_time_is_served() {
    let authority = Authority::new();
    let secured = Secure::start(&authority.server()).await;
    let stream = Watched {
        stream: secured.tcp().await,
        seen: Arc::default(),
        write_bytes: 1,
    };
    stream.stream.set_nodelay(true).unwrap();
    let mut peer = upgrade(secure(stream, authority.trusting(BOTH, None)).await.unwrap())
        .await
        .unwrap();
    assert_eq!(
        peer.produce("s", "a", &[&record(1), &record(2)]).await.1,
        Terminal::Close
    );
}

#[tokio::test]
async fn handshakes_that_hang_give_their_places_back() {
    let authority = Authority::new();
    let limits = Limits {
        handshakes_per_address: 4,
        ..Limits::default()
    };
    let secured = Secure::over(Folder::new(&authority.server()), limits).await;
    let mut inside = secured.connect(authority.trusting(BOTH, None)).await;
    // Silent from the start, within the hello, and behind TLS in the request's head.
    let mut silent = Vec::new();
    for n in 0..30 {
        let mut tcp = secured.tcp().await;
        tcp.write_all(&[22, 3, 1, 0, 200, 1][..n % 7]).await.unwrap();
        silent.push(tcp);
    }
    let mut behind = Vec::new();
    for _ in 0..10 {
        let mut tls = secured.tls(authority.trusting(BOTH, None)).await.unwrap();
        tls.write_all(b"GET /streamz HTTP/1.1\r\n").await.unwrap();
        behind.push(tls);
        secured
            .connect(authority.trusting(BOTH, None))
            .await
            .answers_ping()
            .await;
    }
    for tcp in &mut silent {
        answer(tcp).await;
    }
    inside.answers_ping().await;

    let limits = Limits {
        handshake: Duration::from_millis(300),
        ..Limits::default()
    };
    let secured = Secure::over(Folder::new(&authority.server()), limits).await;
    answer(&mut secured.tcp().await).await;
    secured.failed("timeout", 1).await;
    let late = "streamkit_limits_hit_total{limit=\"handshake\"}";
    assert_eq!(secured.metric(late).await, "1");
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_closed_and_harms_nobody() {
    let authority = Authority::new();
    let limits = Limits {
        write_deadline: Duration::from_millis(500),
        ..Limits::default()
    };
    let secured = Secure::over(Folder::new(&authority.server()), limits).await;
    let mut other = secured.connect(authority.trusting(BOTH, None)).await;
    let large = format!("\"payload\":\"{}\"}}", "eHh4".repeat(100_000));
    let records: Vec<String> = (1..=40).map(|n| format!("{{\"sequence\":{n},{large}")).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    assert_eq!(other.produce("s", "a", &records).await.1, Terminal::Close);
    let mut deaf = secured.connect(authority.trusting(BOTH, None)).await;
    let reads = streamkit_protocol::Request::ConsumeSegment(crate::peer::consume("s", "a"));
    deaf.open(&reads).await;
    let closed = async {
        let stream = deaf.socket.get_mut();
        while stream.write_all(&[0x8a, 0x80, 0, 0, 0, 0]).await.is_ok() && stream.flush().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.expect("it is still there");
    assert_eq!(other.call(&reads).await.0.len(), 40);
}

/// Writes so many bytes at a time, and keeps what it reads.
struct Watched {
    stream: TcpStream,
    seen: Arc<Mutex<Vec<u8>>>,
    write_bytes: usize,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.seen.lock().unwrap().extend_from_slice(&buf.filled()[before..]);
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let bytes = buf.len().min(self.write_bytes);
        Pin::new(&mut self.stream).poll_write(cx, &buf[..bytes])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
