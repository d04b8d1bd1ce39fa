//! Sockets of peers that are not our client.

use std::net::SocketAddr;

use streamkit_client::record::StoreId;
use streamkit_protocol::v2::{Call, Hello, Kind, SUBPROTOCOL, frame};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::host::{STORE, Trouble, token};

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Connects, with room for so many bytes that were not read.
///
/// # Errors
/// The server is not there.
pub(crate) async fn dial(address: SocketAddr, receive_bytes: Option<u32>) -> Result<Socket, Trouble> {
    let mut request = format!("ws://{address}/streamz").into_client_request()?;
    let headers = request.headers_mut();
    headers.insert("authorization", format!("Bearer {}", token()?).parse()?);
    headers.insert("sec-websocket-protocol", SUBPROTOCOL.parse()?);
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = receive_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    let stream = MaybeTlsStream::Plain(socket.connect(address).await?);
    let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
    Ok(socket)
}

/// The greeting of one who gives so much credit.
pub(crate) fn put_hello(credit: u32, out: &mut Vec<u8>) {
    let hello = Hello {
        frame_bytes: 32 << 20,
        channels: 0,
        credit,
        features: Vec::new(),
    };
    hello.put(out);
}

/// A call on a channel.
pub(crate) fn put_call(channel: u32, call: &Call, out: &mut Vec<u8>) {
    frame(out, (channel, Kind::Call), |_| {}, |out| call.put(StoreId(STORE), out));
}
