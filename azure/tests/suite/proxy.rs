//! A proxy between a client and the emulator that loses answers, delays requests, or answers for the service.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Fate {
    /// It is carried out and answered.
    Through,
    /// It is carried out, and the connection is cut before the answer.
    LoseAnswer,
    /// It is carried out, and so much of the answer comes before the connection is cut.
    CutAnswer(usize),
    /// The connection is cut before it is carried out.
    LoseRequest,
    /// It is kept back for [`Proxy::deliver`], and the connection is cut.
    Keep,
    /// This is answered, and it is not carried out.
    Answer(String),
    /// It is carried out, and this is answered.
    AnswerAfter(String),
    /// It is carried out twice; the second answer comes.
    Twice,
    /// It is not carried out, and no answer comes as long as somebody waits for one.
    Silence,
}

/// A running proxy of one service of the emulator.
pub struct Proxy {
    pub port: u16,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

struct State {
    upstream: u16,
    fates: Mutex<VecDeque<Fate>>,
    kept: Mutex<VecDeque<Vec<u8>>>,
    seen: Mutex<usize>,
}

impl Proxy {
    pub async fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            upstream,
            fates: Mutex::default(),
            kept: Mutex::default(),
            seen: Mutex::default(),
        });
        let own = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = Arc::clone(&own);
                tokio::spawn(async move {
                    let _ = serve(client, &state).await;
                });
            }
        });
        Self { port, state, task }
    }

    /// What happens to the next requests, one after the other; those behind them are carried out.
    pub fn next(&self, fates: impl IntoIterator<Item = Fate>) {
        self.state.fates.lock().unwrap().extend(fates);
    }

    /// How many requests came so far.
    pub fn seen(&self) -> usize {
        *self.state.seen.lock().unwrap()
    }

    /// Carries out the oldest request that was kept back: late.
    pub async fn deliver(&self) {
        let request = self
            .state
            .kept
            .lock()
            .unwrap()
            .pop_front()
            .expect("a request that was kept");
        forward(self.state.upstream, &request).await.unwrap();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, state: &State) -> std::io::Result<()> {
    let Some(request) = request(&mut client).await? else {
        return Ok(());
    };
    *state.seen.lock().unwrap() += 1;
    let fate = state.fates.lock().unwrap().pop_front();
    let answer = match fate {
        None | Some(Fate::Through) => forward(state.upstream, &request).await?,
        Some(Fate::LoseAnswer) => {
            forward(state.upstream, &request).await?;
            Vec::new()
        }
        Some(Fate::CutAnswer(bytes)) => {
            let mut answer = forward(state.upstream, &request).await?;
            answer.truncate(bytes);
            answer
        }
        Some(Fate::LoseRequest) => Vec::new(),
        Some(Fate::Keep) => {
            state.kept.lock().unwrap().push_back(request);
            Vec::new()
        }
        Some(Fate::Answer(answer)) => answer.into_bytes(),
        Some(Fate::AnswerAfter(answer)) => {
            forward(state.upstream, &request).await?;
            answer.into_bytes()
        }
        Some(Fate::Twice) => {
            forward(state.upstream, &request).await?;
            forward(state.upstream, &request).await?
        }
        Some(Fate::Silence) => {
            // Until the client gives up.
            client.read_to_end(&mut Vec::new()).await?;
            Vec::new()
        }
    };
    client.write_all(&answer).await?;
    client.shutdown().await
}

/// Reads one request: its head, and as many bytes as that says. Its connection is for it alone.
async fn request(client: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    while bytes.len() < head + length.unwrap_or(0) {
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
    let first = text.find("\r\n").unwrap_or(0) + 2;
    Ok(Some(
        [&bytes[..first], b"connection: close\r\n", &bytes[first..]].concat(),
    ))
}

async fn forward(upstream: u16, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(("127.0.0.1", upstream)).await?;
    server.write_all(request).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    Ok(answer)
}
