//! What an inbox takes, and what it waits for.

use futures_util::FutureExt as _;

use super::*;

#[tokio::test]
async fn a_clean_end_waits_for_no_room_and_comes_once() {
    let limits = Limits::default();
    let (inboxes, channels) = (
        Inboxes::new(&limits, Inbound::new(limits.inbound_bytes)).0,
        Channels::new(&limits),
    );
    let (inbox, mut reader) = inboxes.channel(Uuid::nil());
    let message = Bytes::from(vec![0; CHANNEL_INBOUND_BYTES_MIN / 2]);
    let deliver = |terminal| {
        inboxes
            .deliver(&inbox, message.clone(), terminal, &channels)
            .now_or_never()
    };
    assert!(deliver(None).is_some());
    assert!(deliver(None).is_none(), "there is no room");
    assert!(deliver(Some(Terminal::Close)).is_some());
    assert!(deliver(Some(Terminal::Close)).is_some());
    assert!(inbox.has_ended());
    assert!(matches!(reader.next(0).await, Next::Received(one) if one.terminal.is_none()));
    assert!(matches!(reader.next(0).await, Next::Received(one) if one.terminal.is_some()));
    assert!(reader.next(0).now_or_never().is_none());
}
