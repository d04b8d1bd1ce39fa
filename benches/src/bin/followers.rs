//! Measures subscriptions: how much memory the server takes for each, and how long it takes until all have heard of a commit. The
//! server is a process of its own; the peers speak raw frames over loopback.

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use futures_util::{SinkExt as _, StreamExt as _};
use streamkit_benches::{Outcome, raise_open_files};
use streamkit_engine::{Engine, EngineConfig};
use streamkit_protocol::{
    Control, FRAMES_HEADER, FRAMES_IN_ORDER, Frame, FrameHead, Produce, Request, SegmentStatus,
    SubscribeToSegmentStatus, Terminal,
};
use streamkit_server_core::{Key, Limits, Server};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use uuid::Uuid;

const SECRET: &[u8] = b"a key for measuring, on loopback only";
const STORE: Uuid = Uuid::from_u128(7);

/// Measures subscriptions.
#[derive(Parser)]
struct Options {
    /// Subscriptions on one connection.
    #[arg(long, default_value_t = 10_000)]
    channels: usize,
    /// Connections with one subscription each.
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Commits of which all are to hear.
    #[arg(long, default_value_t = 50)]
    commits: usize,
    #[arg(long, hide = true)]
    serve: bool,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn main() -> Outcome {
    raise_open_files();
    let options = Options::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    match options.serve {
        true => runtime.block_on(serve()),
        false => runtime.block_on(measure(&options)),
    }
}

/// The server, until its standard input ends.
async fn serve() -> Outcome {
    let dir = tempfile::tempdir()?;
    let engine = Engine::open(EngineConfig::new(dir.path()))?;
    let limits = Limits {
        connections: 20_000,
        channels: 20_000,
        handshake_rate: u32::MAX,
        ..Limits::default()
    };
    let server = Server::new(Arc::new(engine), Key::hs256(SECRET)?, limits);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("ws://{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    tokio::spawn(async move { server.serve(listener).await });
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    ended.await??;
    Ok(())
}

struct Serving {
    child: Child,
    url: String,
    token: String,
}

impl Serving {
    fn start() -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut url = String::new();
        let out = child.stdout.take().ok_or("it has no output")?;
        BufReader::new(out).read_line(&mut url)?;
        let token = Key::hs256(SECRET)?.mint(&["streamkit::*".to_owned()], Duration::from_secs(3600))?;
        Ok(Self {
            child,
            url: url.trim().to_owned(),
            token,
        })
    }

    async fn connect(&self) -> Outcome<Socket> {
        let mut request = format!("{}/streamz", self.url).into_client_request()?;
        let bearer = format!("Bearer {}", self.token).parse()?;
        request.headers_mut().insert("authorization", bearer);
        // Or the end of an append waits for what may come behind it, the longer the fewer pings are answered.
        request
            .headers_mut()
            .insert(FRAMES_HEADER, HeaderValue::from_static(FRAMES_IN_ORDER));
        Ok(tokio_tungstenite::connect_async(request).await?.0)
    }

    /// Memory of the server, in KiB.
    fn memory(&self) -> Outcome<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .ok_or("no VmRSS")?;
        let number = line.split_whitespace().nth(1).ok_or("no number")?;
        Ok(number.parse()?)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(frame: Vec<u8>) -> Outcome<Message> {
    Ok(Message::Text(String::from_utf8(frame)?.into()))
}

fn subscription() -> Outcome<Message> {
    let request = Request::SubscribeToSegmentStatus(SubscribeToSegmentStatus {
        space: "s".into(),
        segment: "a".into(),
        heartbeat_interval_seconds: 0,
    });
    text(FrameHead::new(STORE, Uuid::new_v4()).data(&request.encode()))
}

/// What a peer heard, and when. Nobody looks into it before all have heard: the peers share the processor with the server.
type HeardAt = (Instant, Vec<u8>);

/// Tells of each frame that a peer hears.
async fn listen(mut stream: TcpStream, heard: mpsc::UnboundedSender<HeardAt>) -> Option<()> {
    let mut came = Vec::new();
    loop {
        stream.readable().await.ok()?;
        let mut bytes = [0; 4 << 10];
        match stream.try_read(&mut bytes) {
            Ok(0) => return None,
            Ok(read) => came.extend_from_slice(&bytes[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(_) => return None,
        }
        let at = Instant::now();
        while let Some(frame) = next_frame(&mut came) {
            if frame.starts_with(b"{\"ControlType\":\"ping\"") {
                stream
                    .write_all(&masked(&Frame::connection(Control::Pong).encode()))
                    .await
                    .ok()?;
                continue;
            }
            heard.send((at, frame)).ok()?;
        }
    }
}

/// Takes the first frame of what a server sent, if it is all there: its messages are short, not masked and in one piece.
fn next_frame(came: &mut Vec<u8>) -> Option<Vec<u8>> {
    let (begins, bytes) = match *came.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes([*came.get(2)?, *came.get(3)?]))),
        short => (2, usize::from(short)),
    };
    let frame = came.get(begins..begins + bytes)?.to_vec();
    came.drain(..begins + bytes);
    Some(frame)
}

/// A text message of a client: masked, with zeroes.
fn masked(frame: &[u8]) -> Vec<u8> {
    let bytes = u16::try_from(frame.len()).expect("a pong is short");
    let mut message = vec![0x81, 0x80 | 126];
    message.extend(bytes.to_be_bytes());
    message.extend([0; 4]);
    message.extend(frame);
    message
}

/// The sequence that a frame tells of.
fn told(frame: Vec<u8>) -> Option<u64> {
    let frame = Frame::decode(&frame).ok()?;
    Some(SegmentStatus::decode(&frame.message()).ok()?.last_sequence)
}

/// Appends one record; when it was acknowledged.
async fn append(producer: &mut Socket, sequence: u64) -> Outcome<Instant> {
    let head = FrameHead::new(STORE, Uuid::new_v4());
    let produce = Request::Produce(Produce {
        space: "s".into(),
        segment: "a".into(),
    });
    let record = format!("{{\"sequence\":{sequence},\"payload\":\"eA==\"}}");
    for message in [produce.encode(), record.into_bytes(), Terminal::Close.encode()] {
        producer.feed(text(head.data(&message))?).await?;
    }
    producer.flush().await?;
    loop {
        let message = producer.next().await.ok_or("the connection ended")??;
        let frame = Frame::decode(&message.into_data())?;
        if frame.channel_id == head.channel_id && Terminal::decode(&frame.message()).is_none() {
            return Ok(Instant::now());
        }
    }
}

/// Waits until so many have heard of a sequence; how long after `since` each did.
async fn all_heard(
    heard: &mut mpsc::UnboundedReceiver<HeardAt>,
    count: usize,
    sequence: u64,
    since: Instant,
) -> Outcome<Vec<Duration>> {
    let mut times = Vec::with_capacity(count);
    while times.len() < count {
        let mut all = Vec::with_capacity(count - times.len());
        while all.len() < all.capacity() {
            let next = tokio::time::timeout(Duration::from_secs(60), heard.recv()).await;
            all.push(next?.ok_or("nobody listens")?);
        }
        let of_it = all
            .into_iter()
            .filter_map(|(at, frame)| (told(frame)? == sequence).then_some(at));
        times.extend(of_it.map(|at| at.saturating_duration_since(since)));
    }
    times.sort_unstable();
    Ok(times)
}

async fn measure(options: &Options) -> Outcome {
    println!("subscriptions               KiB each   all heard, ms: p50    p99    max   one heard, ms: p50    p99");
    for (name, connections, channels) in [
        ("on one connection", 1, options.channels),
        ("on a connection each", options.connections, 1),
    ] {
        let serving = Serving::start()?;
        let mut producer = serving.connect().await?;
        append(&mut producer, 1).await?;
        let before = serving.memory()?;
        let (tell, mut heard) = mpsc::unbounded_channel();
        let begun = Instant::now();
        for _ in 0..connections {
            let mut peer = serving.connect().await?;
            for _ in 0..channels {
                peer.feed(subscription()?).await?;
            }
            peer.flush().await?;
            let MaybeTlsStream::Plain(stream) = peer.into_inner() else {
                return Err("it is encrypted".into());
            };
            tokio::spawn(listen(stream, tell.clone()));
        }
        let count = connections * channels;
        all_heard(&mut heard, count, 1, begun).await?;
        let each = (serving.memory()? - before) as f64 / count as f64;
        let (mut last, mut all) = (Vec::new(), Vec::new());
        for sequence in 2..2 + options.commits as u64 {
            let since = append(&mut producer, sequence).await?;
            let times = all_heard(&mut heard, count, sequence, since).await?;
            last.push(times[times.len() - 1]);
            all.extend(times);
        }
        last.sort_unstable();
        all.sort_unstable();
        let ms =
            |times: &[Duration], part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1000.0;
        println!(
            "{count:>7} {name:<20} {each:>7.1} {:>24.1} {:>6.1} {:>6.1} {:>20.1} {:>6.1}",
            ms(&last, 0.5),
            ms(&last, 0.99),
            ms(&last, 1.0),
            ms(&all, 0.5),
            ms(&all, 0.99)
        );
    }
    Ok(())
}
