//! What a server says of itself beside the protocol, which has no place for it: the headers of `GET /readyz`.

use std::time::Duration;

use hyper::client::conn::http1;
use hyper::{Request, Uri, header};
use hyper_util::rt::TokioIo;
use streamkit_client::Tls;
use streamkit_server::{CLOCK_BEHIND_HEADER, COMMIT_METHOD_HEADER};

/// A server that does not say it sooner does not say it: whoever asks for a status waits for the status.
const DEADLINE: Duration = Duration::from_secs(2);

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
    let base: Uri = url.parse().ok()?;
    let stream = streamkit_client::connect(url, tls).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let request = Request::get(format!("{}/readyz", base.path().trim_end_matches('/')))
        .header(header::HOST, base.authority()?.as_str())
        .body(String::new())
        .ok()?;
    let asked = async {
        let response = sender.send_request(request).await.ok()?;
        let said = |name| response.headers().get(name)?.to_str().ok();
        Some(Said {
            commit_method: said(COMMIT_METHOD_HEADER).map(str::to_owned),
            clock_behind: said(CLOCK_BEHIND_HEADER).and_then(|seconds| seconds.parse().ok()),
        })
    };
    tokio::select! {
        said = asked => said,
        _ = connection => None,
    }
}
