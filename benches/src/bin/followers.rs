//! Measures subscriptions: how much memory the server takes for each, and how long it takes until all have heard of a commit. The
//! server is a process of its own; the peers speak raw frames over loopback.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use streamkit_benches::Outcome;
use streamkit_engine::{Engine, EngineConfig};
use streamkit_protocol::{
    Control, Frame, FrameHead, Produce, Request, SegmentStatus, SubscribeToSegmentStatus, Terminal,
};
use streamkit_server::{Key, Limits, Server};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
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

/// Lets this process, and the server that it starts, have as many connections as the system allows.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        eprintln!("cannot raise the limit of open files: {error}");
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

/// Tells of each status that a peer hears.
async fn listen(mut from: SplitStream<Socket>, mut to: SplitSink<Socket, Message>, heard: mpsc::UnboundedSender<u64>) {
    while let Some(Ok(message)) = from.next().await {
        let Ok(frame) = Frame::decode(&message.into_data()) else {
            return;
        };
        if frame.control == Control::Ping {
            let pong = text(Frame::connection(Control::Pong).encode());
            if let Ok(pong) = pong {
                let _ = to.send(pong).await;
            }
            continue;
        }
        if let Ok(status) = SegmentStatus::decode(&frame.message()) {
            let _ = heard.send(status.last_sequence);
        }
    }
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
    heard: &mut mpsc::UnboundedReceiver<u64>,
    count: usize,
    sequence: u64,
    since: Instant,
) -> Outcome<Vec<Duration>> {
    let mut times = Vec::with_capacity(count);
    while times.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(60), heard.recv()).await;
        let told = next?.ok_or("nobody listens")?;
        if told == sequence {
            times.push(since.elapsed());
        }
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
            let (mut to, from) = serving.connect().await?.split();
            for _ in 0..channels {
                to.feed(subscription()?).await?;
            }
            to.flush().await?;
            tokio::spawn(listen(from, to, tell.clone()));
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
