//! What an inbox takes, and what it waits for.

use futures_util::FutureExt as _;

use super::*;

#[tokio::test]
async fn a_clean_end_waits_for_no_room_and_comes_once() {
    let limits = Limits::default();
    let inboxes = Inboxes::new(&limits, Arc::new(Budgets::new(&limits))).0;
    let (inbox, mut reader) = inboxes.channel(Uuid::nil());
    let message = Bytes::from(vec![0; CHANNEL_INBOUND_BYTES_MIN / 2]);
    let deliver = |terminal| inboxes.deliver(&inbox, message.clone(), terminal, || 1).now_or_never();
    assert!(deliver(None).is_some());
    assert!(deliver(None).is_none(), "there is no room");
    assert!(deliver(Some(Terminal::Close)).is_some());
    assert!(deliver(Some(Terminal::Close)).is_some());
    assert!(inbox.has_ended());
    assert!(matches!(reader.next(0).await, FromInbox::Received(one) if one.terminal.is_none()));
    assert!(matches!(reader.next(0).await, FromInbox::Received(one) if one.terminal.is_some()));
    assert!(reader.next(0).now_or_never().is_none());
}

#[tokio::test]
async fn large_requests_of_all_connections_share_room_and_small_ones_go_on() {
    let limits = Limits::default();
    let budgets = Arc::new(Budgets::new(&limits));
    let connection = || Inboxes::new(&limits, budgets.clone()).0;
    let connections = [connection(), connection(), connection()];
    let large = 1 << 20;
    let store = |n: usize| Uuid::from_u128(n as u128);
    let mut held: Vec<_> = (0..8).map(|n| connections[n % 3].request(store(n), large)).collect();
    assert!(
        held[..6].iter().all(Option::is_some) && held[6].is_none(),
        "a bit over 16 MiB each, and as much is left"
    );
    for connection in &connections {
        let small = [0; 8].map(|_| connection.request(store(1), 100));
        assert!(small.iter().all(Option::is_some));
    }
    held.clear();
    assert!(connections[2].request(store(1), large).is_some());
    assert_eq!(budgets.requests.all().held(), 0);
}

#[tokio::test]
async fn a_store_that_holds_all_it_may_on_many_connections_leaves_room_to_others() {
    let limits = Limits::default();
    let budgets = Arc::new(Budgets::new(&limits));
    let connection = || Inboxes::new(&limits, budgets.clone()).0;
    let hostile = [(); 4].map(|()| connection());
    let idle = |one: &Inboxes| std::iter::from_fn(|| one.request(Uuid::nil(), 1000)).collect::<Vec<_>>();
    let held: Vec<_> = hostile.iter().map(idle).collect();
    assert!(held[0].len() > 4000 && budgets.requests.all().held() <= limits.inbound_bytes / 4);
    let healthy = connection();
    let asked = (0..1000).map(|_| healthy.request(Uuid::max(), 1000));
    assert!(asked.collect::<Vec<_>>().iter().all(Option::is_some), "half is left");
}
