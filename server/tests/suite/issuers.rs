//! An issuer of tokens: keys, the set that it publishes, and all that may be wrong with that.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use streamkit_server_core::{Algorithm, IssuerConfig, Key, Keys, KeysConfig, Minting};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::handshake::get;
use crate::peer::Host;

/// A file of server/tests/keys.
pub fn read_key(file: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/keys/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The public part of a private JSON Web Key.
pub fn public(file: &str) -> Value {
    let mut jwk: Value = serde_json::from_slice(&read_key(file)).unwrap();
    for part in ["d", "p", "q", "dp", "dq", "qi"] {
        jwk.as_object_mut().unwrap().remove(part);
    }
    jwk
}

/// A set of such keys.
pub fn set(files: &[&str]) -> String {
    json!({"keys": files.iter().map(|file| public(file)).collect::<Vec<_>>()}).to_string()
}

/// The private key in a file, under another id if one is given.
pub fn signer(file: &str, id: Option<&str>) -> Key {
    let mut jwk: Value = serde_json::from_slice(&read_key(file)).unwrap();
    if let Some(id) = id {
        jwk["kid"] = id.into();
    }
    Key::parse(jwk.to_string().as_bytes(), &Algorithm::UNSAID)
        .unwrap()
        .remove(0)
}

/// A token for everything.
pub fn token_of(key: &Key) -> String {
    token_with(key, |_| {})
}

/// The same, but for what is changed.
pub fn token_with(key: &Key, change: impl FnOnce(&mut Minting)) -> String {
    let mut minting = Minting {
        scopes: vec!["streamkit::*".to_owned()],
        ttl: Duration::from_secs(600),
        ..Minting::default()
    };
    change(&mut minting);
    key.mint_token(&minting).unwrap()
}

/// How it answers.
#[derive(Clone)]
pub enum Answer {
    Set(String),
    Status(&'static str),
    Redirect(String),
    /// Takes the request and says nothing.
    Silence,
    /// So many bytes of nothing.
    Endless(usize),
    /// These bytes, as they are.
    Raw(Vec<u8>),
}

#[derive(Clone)]
pub struct Publisher {
    pub url: String,
    inner: Arc<Mutex<(Answer, usize)>>,
}

impl Publisher {
    pub async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let inner = Arc::new(Mutex::new((answer, 0)));
        let answers = inner.clone();
        tokio::spawn(async move {
            loop {
                let Ok((mut tcp, _)) = listener.accept().await else {
                    return;
                };
                let answers = answers.clone();
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        match tcp.read_u8().await {
                            Ok(byte) => head.push(byte),
                            Err(_) => return,
                        }
                    }
                    let answer = {
                        let mut inner = answers.lock().unwrap();
                        inner.1 += 1;
                        inner.0.clone()
                    };
                    let _ = send(&mut tcp, answer).await;
                });
            }
        });
        Self { url, inner }
    }

    pub fn now_answers(&self, answer: Answer) {
        self.inner.lock().unwrap().0 = answer;
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.inner.lock().unwrap().1
    }

    /// Waits until it was asked so often.
    pub async fn was_asked(&self, times: usize) {
        while self.asked() < times {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn send(tcp: &mut tokio::net::TcpStream, answer: Answer) -> std::io::Result<()> {
    let head = |status: &str, length: usize, more: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{more}\r\n")
    };
    match answer {
        Answer::Set(body) => {
            tcp.write_all(head("200 OK", body.len(), "").as_bytes()).await?;
            tcp.write_all(body.as_bytes()).await
        }
        Answer::Status(status) => tcp.write_all(head(status, 0, "").as_bytes()).await,
        Answer::Redirect(to) => {
            let place = format!("Location: {to}\r\n");
            tcp.write_all(head("302 Found", 0, &place).as_bytes()).await
        }
        Answer::Silence => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            Ok(())
        }
        Answer::Endless(bytes) => {
            tcp.write_all(head("200 OK", bytes, "").as_bytes()).await?;
            let piece = vec![b' '; 64 << 10];
            for _ in 0..bytes / piece.len() {
                tcp.write_all(&piece).await?;
            }
            Ok(())
        }
        Answer::Raw(bytes) => tcp.write_all(&bytes).await,
    }
}

/// An issuer whose set is fetched this often, and no oftener for unknown keys.
pub fn issuer(url: &str, period: Duration, pause: Duration) -> IssuerConfig {
    let mut issuer = IssuerConfig::new(url);
    (issuer.period, issuer.pause) = (period, pause);
    issuer.deadline = Duration::from_secs(1);
    issuer
}

/// Keys of this issuer alone.
pub fn keys_of(issuer: IssuerConfig) -> Keys {
    let mut config = KeysConfig::default();
    config.issuer = Some(issuer);
    Keys::open(config).unwrap()
}

/// The number of a metric.
pub async fn metric(host: &Host, name: &str) -> f64 {
    let text = get(host, "/metrics", "").await;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |number| number.parse().unwrap())
}

/// How often tokens were refused for a reason.
pub async fn refused_for(host: &Host, reason: &str) -> f64 {
    metric(host, &format!("streamkit_tokens_refused_total{{reason=\"{reason}\"}}")).await
}
