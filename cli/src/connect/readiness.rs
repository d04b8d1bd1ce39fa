//! What a server says of itself beside the protocol, which has no place for it: the headers of `GET /readyz`.

use std::pin::Pin;
use std::time::Duration;

use hyper::body::Body as _;
use hyper::client::conn::http1;
use hyper::{HeaderMap, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use streamkit_client::{Error, Tls, TlsError};
use streamkit_server_core::{CLOCK_BEHIND_HEADER, COMMIT_METHOD_HEADER};

use crate::failure::Failure;

/// A server that does not say it sooner does not say it: whoever asks for a status waits for the status.
const DEADLINE: Duration = Duration::from_secs(2);

/// Bytes of an answer that are read: whoever says more is no server of ours.
const BODY_BYTES_MAX: usize = 4096;

/// What it says; `None` where it does not, as older ones and Go's.
#[derive(Default)]
pub(crate) struct Said {
    /// How it commits.
    pub(crate) commit_method: Option<String>,
    /// By how many seconds its clock is behind the last commit of a store.
    pub(crate) clock_behind: Option<u64>,
}

/// What the server at a client's address says.
pub(crate) async fn said(url: &str, tls: &Tls) -> Said {
    let said = tokio::time::timeout(DEADLINE, ask(url, tls)).await;
    said.ok().flatten().unwrap_or_default()
}

async fn ask(url: &str, tls: &Tls) -> Option<Said> {
    let answer = get(url, tls, "/readyz").await.ok()?;
    let said = |name| answer.headers.get(name)?.to_str().ok();
    Some(Said {
        commit_method: said(COMMIT_METHOD_HEADER).map(str::to_owned),
        clock_behind: said(CLOCK_BEHIND_HEADER).and_then(|seconds| seconds.parse().ok()),
    })
}

/// A small answer of a server.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Its beginning, if there is more.
    pub(crate) body: String,
}

/// What the server at a client's address answers to a request that needs no token.
///
/// # Errors
/// Why there is no answer, in words.
pub(crate) async fn get(url: &str, tls: &Tls, path: &str) -> Result<Answer, String> {
    get_up_to(BODY_BYTES_MAX, url, tls, path).await
}

/// The same, of an answer that may have so many bytes.
///
/// # Errors
/// The same.
pub(crate) async fn get_up_to(bytes_max: usize, url: &str, tls: &Tls, path: &str) -> Result<Answer, String> {
    let base: Uri = url.parse().map_err(|_| "it is no address".to_owned())?;
    let authority = base.authority().ok_or("it names no host")?;
    let stream = streamkit_client::connect(url, tls).await.map_err(why)?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    let request = Request::get(format!("{}{path}", base.path().trim_end_matches('/')))
        .header(header::HOST, authority.as_str())
        .body(String::new())
        .map_err(|error| error.to_string())?;
    // That the server wants a certificate of ours, it says only now: to the request, or to the connection.
    let broke = |error: hyper::Error| explain(tls, url, &error).map_or_else(|| error.to_string(), why);
    let asked = async {
        let response = sender.send_request(request).await.map_err(broke)?;
        let (head, mut body) = response.into_parts();
        let mut bytes = Vec::new();
        while bytes.len() < bytes_max {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|error| error.to_string())?;
            bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        }
        bytes.truncate(bytes_max);
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8_lossy(&bytes).into_owned(),
        })
    };
    let mut connection = std::pin::pin!(connection);
    let mut asked = std::pin::pin!(asked);
    tokio::select! {
        biased;
        answer = &mut asked => answer,
        ended = &mut connection => match ended {
            // The answer may have come with the end.
            Ok(()) => asked.await,
            Err(error) => Err(broke(error)),
        },
    }
}

/// What an error of HTTP says of TLS, if it does.
pub(crate) fn explain(tls: &Tls, url: &str, error: &hyper::Error) -> Option<Error> {
    let is_plain = !url.starts_with("wss:") && !url.starts_with("https:");
    let not_dialled = || Error::Tls {
        url: url.to_owned(),
        why: TlsError::NotDialled,
    };
    let of_tls = tls.explain(url, error);
    of_tls.or_else(|| (is_plain && error.is_parse()).then(not_dialled))
}

/// Why there is no connection; of TLS, also what to do about it.
fn why(error: Error) -> String {
    match error {
        Error::Tls { .. } => Failure::from(error).to_string(),
        error => error.to_string(),
    }
}
