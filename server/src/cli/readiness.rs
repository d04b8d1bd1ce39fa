//! What a server says of itself beside the protocol, which has no place for it: the headers of `GET /readyz`.

use std::time::Duration;

use hyper::client::conn::http1;
use hyper::{Request, Uri, header};
use hyper_util::rt::TokioIo;
use streamkit_server::COMMIT_METHOD_HEADER;
use tokio::net::TcpStream;

/// A server that does not say it sooner does not say it: whoever asks for a status waits for the status.
const DEADLINE: Duration = Duration::from_secs(2);

/// How the server at a client's address commits; `None` where it does not say, as older ones and Go's.
pub(crate) async fn commit_method(url: &str) -> Option<String> {
    tokio::time::timeout(DEADLINE, ask(url)).await.ok()?
}

async fn ask(url: &str) -> Option<String> {
    let base: Uri = url.parse().ok()?;
    let host = base.host().filter(|_| base.scheme_str() == Some("ws"))?;
    let tcp = TcpStream::connect(format!("{host}:{}", base.port_u16().unwrap_or(80)));
    let (mut sender, connection) = http1::handshake(TokioIo::new(tcp.await.ok()?)).await.ok()?;
    let request = Request::get(format!("{}/readyz", base.path().trim_end_matches('/')))
        .header(header::HOST, base.authority()?.as_str())
        .body(String::new())
        .ok()?;
    let asked = async {
        let response = sender.send_request(request).await.ok()?;
        Some(response.headers().get(COMMIT_METHOD_HEADER)?.to_str().ok()?.to_owned())
    };
    tokio::select! {
        said = asked => said,
        _ = connection => None,
    }
}
