//! A server's stores as a source of backups, read over HTTP (docs/PROTOCOL.md). It blocks, so it is not used on a thread of the
//! runtime.

use std::pin::Pin;
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use streamkit_client::{Error, Tls};
use streamkit_engine::StoreId;
use streamkit_engine::backup::{BackupError, ExtentPrefix, LogPrefix, Pieces, Source};
use streamkit_server_core::backup::{CHECKSUM_BYTES, ExtentList, StoreList};
use tokio::runtime::Handle;

use crate::called::called;
use crate::connect::readiness::explain;
use crate::failure::Failure;

/// Most bytes of an answer that is read as a whole: the list of a store with a hundred thousand extents.
const LIST_BYTES_MAX: usize = 32 << 20;

/// Why a server gave nothing, or not all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    #[error(
        "the server at {url}: {why}; a backup needs a token for all stores: `{} token --store '*'`",
        called()
    )]
    Token {
        url: String,
        why: Box<streamkit_client::Error>,
    },
    #[error("{0}")]
    NoAnswer(String),
    #[error("{0}")]
    Failed(String),
    /// It answered that it found damage.
    #[error("the server found {0}")]
    Damage(String),
    /// It answered that this cannot be had of it.
    #[error("{0}")]
    Refused(String),
    /// An answer that began well. Whether the server is still there, the next request tells.
    #[error("{0}")]
    BrokeOff(String),
}

impl From<RemoteError> for BackupError {
    fn from(error: RemoteError) -> Self {
        let is_damage = matches!(error, RemoteError::Damage(_));
        match error {
            RemoteError::Token { .. } | RemoteError::NoAnswer(_) | RemoteError::Failed(_) => {
                Self::Source(Box::new(error))
            }
            RemoteError::Damage(_) | RemoteError::Refused(_) | RemoteError::BrokeOff(_) => Self::Unreadable {
                why: Box::new(error),
                is_damage,
            },
        }
    }
}

/// A server.
#[derive(Clone)]
pub(crate) struct Remote {
    url: String,
    base: Uri,
    token: String,
    timeout: Duration,
    tls: Tls,
    runtime: Handle,
}

impl Remote {
    /// `None` if it is no address of a server. `runtime` makes the connections.
    pub(crate) fn new(url: &str, token: String, timeout: Duration, tls: Tls, runtime: Handle) -> Option<Self> {
        let base: Uri = url.parse().ok()?;
        let scheme = base.scheme_str()?;
        (["ws", "http", "wss", "https"].contains(&scheme) && base.host().is_some()).then_some(Self {
            url: url.to_owned(),
            base,
            token,
            timeout,
            tls,
            runtime,
        })
    }

    fn no_answer(&self, error: impl std::fmt::Display) -> RemoteError {
        RemoteError::NoAnswer(format!("no answer from {}: {error}", self.url))
    }

    fn broke_off(&self, how: impl std::fmt::Display) -> RemoteError {
        RemoteError::BrokeOff(format!("no whole answer from {}: {how}; try again", self.url))
    }

    /// Asks, with a connection of its own; the answer's head is there, and well.
    async fn ask(&self, path: &str) -> Result<Response<Incoming>, RemoteError> {
        let host = self.base.host().unwrap_or_default();
        let authority = self.base.authority().map_or(host, |authority| authority.as_str());
        let request = Request::get(format!("{}{path}", self.base.path().trim_end_matches('/')))
            .header(header::HOST, authority)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .body(String::new())
            .map_err(|error| RemoteError::Failed(error.to_string()))?;
        let asked = async {
            let stream = streamkit_client::connect(&self.url, &self.tls).await;
            let stream = stream.map_err(|error| match error {
                Error::Connect { cause, .. } => self.no_answer(cause),
                error => no_tls(error),
            })?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|error| self.no_answer(error))?;
            let connection = tokio::spawn(connection);
            let error = match sender.send_request(request).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            // That the server wants a certificate of ours, it says only now: to the request, or to the connection.
            let of_tls = |error: &hyper::Error| explain(&self.tls, &self.url, error);
            let broke = connection.await.ok().and_then(Result::err);
            match of_tls(&error).or_else(|| of_tls(broke.as_ref()?)) {
                Some(error) => Err(no_tls(error)),
                None => Err(self.no_answer(error)),
            }
        };
        let asked = tokio::time::timeout(self.timeout, asked).await;
        let response = asked.map_err(|_| self.no_answer(format!("nothing within {:?}", self.timeout)))??;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let mut body = response.into_body();
        let said = self.read_all(&mut body).await.unwrap_or_default();
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RemoteError::Token {
                url: self.url.clone(),
                why: Box::new(streamkit_client::refused_token(&self.token)),
            },
            _ if !is_streamkits(&said) => RemoteError::Failed(format!(
                "{} is no Streamkit server, or another one stands before it: it answered {status}",
                self.url
            )),
            StatusCode::UNPROCESSABLE_ENTITY => RemoteError::Damage(said),
            StatusCode::SERVICE_UNAVAILABLE => self.no_answer(format!("{said}; try again")),
            StatusCode::NOT_FOUND if said.is_empty() => RemoteError::Failed(format!(
                "the server at {} has no backups; it is older, or not Streamkit's",
                self.url
            )),
            _ => RemoteError::Refused(format!("the server answered {status}: {said}")),
        })
    }

    /// The next bytes of an answer.
    async fn frame(&self, body: &mut Incoming) -> Result<Option<bytes::Bytes>, RemoteError> {
        loop {
            let next = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
            let next = tokio::time::timeout(self.timeout, next).await;
            let next = next.map_err(|_| self.no_answer(format!("nothing more within {:?}", self.timeout)))?;
            match next {
                None => return Ok(None),
                Some(Err(error)) => return Err(self.broke_off(error)),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data()
                        && !bytes.is_empty()
                    {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    async fn read_all(&self, body: &mut Incoming) -> Result<Vec<u8>, RemoteError> {
        let mut all = Vec::new();
        while let Some(bytes) = self.frame(body).await? {
            all.extend_from_slice(&bytes);
            if all.len() > LIST_BYTES_MAX {
                return Err(RemoteError::Failed("the server's answer has no end".to_owned()));
            }
        }
        Ok(all)
    }

    fn list<T: DeserializeOwned>(&self, path: &str) -> Result<T, RemoteError> {
        self.runtime.block_on(async {
            let mut body = self.ask(path).await?.into_body();
            let all = self.read_all(&mut body).await?;
            serde_json::from_slice(&all).map_err(|error| {
                let url = &self.url;
                RemoteError::Failed(format!(
                    "{url} is no Streamkit server, or another one stands before it: its answer to {path} is no list: {error}"
                ))
            })
        })
    }
}

impl Source for Remote {
    fn stores(&self) -> Result<Vec<StoreId>, BackupError> {
        let list: StoreList = self.list("/backup")?;
        Ok(list.stores.into_iter().map(StoreId).collect())
    }

    fn prefix(&self, store: StoreId) -> Result<LogPrefix, BackupError> {
        let list: ExtentList = self.list(&format!("/backup/{store}"))?;
        Ok(LogPrefix {
            store,
            extents: list.extents.into_iter().map(ExtentPrefix::from).collect(),
        })
    }

    fn read(&self, store: StoreId, extent: &ExtentPrefix) -> Result<Box<dyn Pieces>, BackupError> {
        let path = format!("/backup/{store}/{}/{}", extent.extent, extent.used_bytes);
        let response = self.runtime.block_on(self.ask(&path))?;
        Ok(Box::new(RemotePieces {
            remote: self.clone(),
            body: response.into_body(),
            left: u64::from(extent.used_bytes),
            checksum: crc32fast::Hasher::new(),
            trailer: Vec::with_capacity(CHECKSUM_BYTES),
        }))
    }
}

/// With what a command says to do about it.
fn no_tls(error: Error) -> RemoteError {
    RemoteError::NoAnswer(Failure::from(error).to_string())
}

/// Whether that may be said by a Streamkit server, whose refusals are a line of text: not a page, not an object.
fn is_streamkits(said: &str) -> bool {
    !said.starts_with(['<', '{']) && !said.contains('\n')
}

/// The bytes of an extent, as they come.
struct RemotePieces {
    remote: Remote,
    body: Incoming,
    /// Bytes before the checksum that are still to come.
    left: u64,
    checksum: crc32fast::Hasher,
    trailer: Vec<u8>,
}

impl Pieces for RemotePieces {
    fn next(&mut self) -> Result<Option<Vec<u8>>, BackupError> {
        loop {
            let Some(mut bytes) = self.remote.runtime.block_on(self.remote.frame(&mut self.body))? else {
                let same = self.trailer == self.checksum.clone().finalize().to_le_bytes();
                if self.left > 0 || !same {
                    let why = match self.left {
                        0 => "the bytes that came are not those that the server read".to_owned(),
                        left => format!("it ended {left} bytes too early"),
                    };
                    return Err(self.remote.broke_off(why).into());
                }
                return Ok(None);
            };
            let own = bytes.split_to((bytes.len() as u64).min(self.left) as usize);
            self.trailer.extend_from_slice(&bytes);
            self.left -= own.len() as u64;
            if self.trailer.len() > CHECKSUM_BYTES {
                return Err(self.remote.broke_off("more bytes came than were announced").into());
            }
            if !own.is_empty() {
                self.checksum.update(&own);
                return Ok(Some(own.to_vec()));
            }
        }
    }
}
