//! The WebSocket handshake. The library's own takes no server that answers none of the subprotocols it was offered, as Go servers
//! do: they speak v1 and know no names of versions.

use streamkit_protocol::v2;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{ProtocolError, SubProtocolError};
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response, generate_request};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse as _;
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self};

use crate::version::Protocol;

/// The name of v1 among the subprotocols.
const V1: &str = "streamkit.v1";

/// Both versions, the wanted one first.
const BOTH: &str = "streamkit.v2, streamkit.v1";

/// Most bytes of an answer's head, and of what comes with a refusal.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Asks for a WebSocket over a stream, by what a request says. Returns which version of the protocol the server speaks.
///
/// # Errors
/// The library's, as if it had asked.
pub(crate) async fn shake<S: AsyncRead + AsyncWrite + Unpin>(
    mut request: Request,
    mut stream: S,
    offered: Protocol,
    config: impl FnOnce(Protocol) -> WebSocketConfig,
) -> Result<(WebSocketStream<S>, HeaderMap, Protocol), tungstenite::Error> {
    if offered == Protocol::V2 {
        let both = HeaderValue::from_static(BOTH);
        request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, both);
    }
    let (request, key) = generate_request(request)?;
    stream.write_all(&request).await?;
    stream.flush().await?;
    let (answer, behind) = answer(&mut stream).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(tungstenite::Error::Http(Box::new(answer.map(|_| Some(behind)))));
    }
    let version = agreed(answer.headers(), &key, offered)?;
    let socket = WebSocketStream::from_partially_read(stream, behind, Role::Client, Some(config(version))).await;
    Ok((socket, answer.into_parts().0.headers, version))
}

/// The head of the answer, and the bytes behind it that came with it.
async fn answer<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(Response, Vec<u8>), tungstenite::Error> {
    let mut came = Vec::with_capacity(4096);
    loop {
        if stream.read_buf(&mut came).await? == 0 {
            return Err(ProtocolError::HandshakeIncomplete.into());
        }
        if let Some((length, answer)) = Response::try_parse(&came)? {
            let behind = came.split_off(length);
            return Ok((answer, behind));
        }
        if came.len() > HEAD_BYTES_MAX {
            return Err(tungstenite::Error::AttackAttempt);
        }
    }
}

/// The version that a server has agreed to.
fn agreed(answer: &HeaderMap, key: &str, offered: Protocol) -> Result<Protocol, ProtocolError> {
    let says = |name: HeaderName, value: &str| {
        let said = answer.get(name).and_then(|said| said.to_str().ok());
        said.is_some_and(|said| said.eq_ignore_ascii_case(value))
    };
    if !says(header::UPGRADE, "websocket") {
        return Err(ProtocolError::MissingUpgradeWebSocketHeader);
    }
    if !says(header::CONNECTION, "upgrade") {
        return Err(ProtocolError::MissingConnectionUpgradeHeader);
    }
    let accepted = answer.get(header::SEC_WEBSOCKET_ACCEPT);
    if accepted.is_none_or(|accepted| accepted != &derive_accept_key(key.as_bytes())) {
        return Err(ProtocolError::SecWebSocketAcceptKeyMismatch);
    }
    let invalid = |why| Err(ProtocolError::SecWebSocketSubProtocolError(why));
    match answer.get(header::SEC_WEBSOCKET_PROTOCOL) {
        None => Ok(Protocol::V1),
        Some(_) if offered == Protocol::V1 => invalid(SubProtocolError::ServerSentSubProtocolNoneRequested),
        Some(version) if version == v2::SUBPROTOCOL => Ok(Protocol::V2),
        Some(version) if version == V1 => Ok(Protocol::V1),
        Some(_) => invalid(SubProtocolError::InvalidSubProtocol),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(subprotocol: Option<&'static str>, offered: Protocol) -> Option<Protocol> {
        let mut answer = HeaderMap::new();
        let accept = HeaderValue::try_from(derive_accept_key(b"key")).unwrap();
        answer.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        answer.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        answer.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Some(subprotocol) = subprotocol {
            answer.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
        }
        assert!(agreed(&answer, "another", offered).is_err());
        agreed(&answer, "key", offered).ok()
    }

    #[test]
    fn the_server_decides_the_version_among_those_that_it_was_offered() {
        use Protocol::{V1, V2};
        assert_eq!(answered(Some("streamkit.v2"), V2), Some(V2));
        assert_eq!(answered(Some("streamkit.v1"), V2), Some(V1));
        assert_eq!(answered(None, V2), Some(V1));
        assert_eq!(answered(None, V1), Some(V1));
        assert_eq!(answered(Some("chat"), V2), None);
        assert_eq!(answered(Some("streamkit.v2"), V1), None);
    }
}
