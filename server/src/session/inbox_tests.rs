//! What an inbox takes, and what it waits for.

use futures_util::FutureExt as _;

use super::*;

#[tokio::test]
async fn a_clean_end_waits_for_no_room_and_comes_once() {
    let limits = Limits::default();
    let (inboxes, channels) = (
        Inboxes::new(&limits, Arc::new(Budgets::new(&limits))).0,
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

#[tokio::test]
async fn large_requests_of_all_connections_share_room_and_small_ones_go_on() {
    let limits = Limits::default();
    let budgets = Arc::new(Budgets::new(&limits));
    let connection = || Inboxes::new(&limits, budgets.clone()).0;
    let connections = [connection(), connection(), connection()];
    let large = 1 << 20;
    let mut held: Vec<_> = (0..8).map(|n| connections[n % 3].request(large)).collect();
    assert!(
        held[..7].iter().all(Option::is_some) && held[7].is_none(),
        "a bit over 16 MiB each"
    );
    for connection in &connections {
        let small = [0; 8].map(|_| connection.request(100));
        assert!(small.iter().all(Option::is_some));
    }
    held.clear();
    assert!(connections[2].request(large).is_some());
    assert_eq!(budgets.requests.held(), 0);
}
