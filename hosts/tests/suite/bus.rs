//! Two hosts and a real server of NATS, or of Redis, between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use streamkit_engine::{StoreId, TailMark};
use streamkit_hosts::bus::{BusSettings, SharedBus};
use streamkit_server_core::{Hint, MessageBus as _};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::watch;
use uuid::Uuid;

use crate::brokers::{Broker, Running};

fn store(n: u128) -> StoreId {
    StoreId(Uuid::from_u128(n))
}

async fn host(broker: &Running) -> SharedBus {
    let bus = SharedBus::begin(BusSettings::parse(&broker.address(), (None, None)).unwrap());
    while !bus.figures().is_connected {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bus
}

/// Waits until whoever listens is to look, and says that he has.
async fn looks(hints: &mut watch::Receiver<Hint>) {
    hints.changed().await.unwrap();
    hints.borrow_and_update();
}

/// Waits until nothing was told for a while: what a connection brings with it is over.
async fn quiet(hints: &mut watch::Receiver<Hint>) {
    while tokio::time::timeout(Duration::from_millis(500), hints.changed())
        .await
        .is_ok()
    {
        hints.borrow_and_update();
    }
}

async fn a_hint_of_one_host_has_the_other_look(broker: Broker) {
    let running = Running::start(broker);
    let (one, two) = (host(&running).await, host(&running).await);
    let (mut own, mut other) = (one.listen(store(1)), two.listen(store(1)));
    quiet(&mut other).await;
    one.announce(store(1), TailMark::new(7));
    looks(&mut other).await;
    assert_eq!(
        own.borrow_and_update().tail,
        TailMark::new(7),
        "who announces hears it at once"
    );
    while two.figures().heard == 0 || one.figures().sent == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // An older one is told late, and hides nothing.
    two.announce(store(1), TailMark::new(6));
    while one.figures().heard < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(own.borrow_and_update().tail, TailMark::new(7));
}

async fn a_bus_that_dies_and_comes_back_has_all_look_and_fails_nothing(broker: Broker) {
    let mut running = Running::start(broker);
    let (one, two) = (Arc::new(host(&running).await), host(&running).await);
    let (ends, last) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    // Commits go on, whatever becomes of the bus.
    let commits = tokio::spawn({
        let (one, ends, last) = (one.clone(), ends.clone(), last.clone());
        async move {
            while !ends.load(Ordering::SeqCst) {
                let tail = last.fetch_add(1, Ordering::SeqCst) + 1;
                one.announce(store(1), TailMark::new(tail.into()));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    let (mut busy, mut idle) = (two.listen(store(1)), two.listen(store(2)));
    for _ in 0..2 {
        looks(&mut busy).await;
        quiet(&mut idle).await;
        let before = two.figures().connections;
        running.dies();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let announced = last.load(Ordering::SeqCst);
        running.again();
        // Also of a store of which nothing was said: something may have been, in between.
        looks(&mut idle).await;
        busy.borrow_and_update();
        looks(&mut busy).await;
        while two.figures().connections == before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(last.load(Ordering::SeqCst) > announced, "nobody waited for the bus");
    }
    ends.store(true, Ordering::SeqCst);
    commits.await.unwrap();
}

async fn a_bus_that_hangs_is_noticed_and_looked_behind(broker: Broker) {
    let running = Running::start(broker);
    let two = host(&running).await;
    let mut idle = two.listen(store(2));
    quiet(&mut idle).await;
    running.hangs(true);
    while two.figures().is_connected {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    running.hangs(false);
    while two.figures().connections < 2 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    looks(&mut idle).await;
}

async fn who_is_not_let_in_waits_and_fails_nothing(broker: Broker) {
    let mut running = Running::start(broker);
    let wrong = running.address().replace("p%40ss", "wrong-secret");
    let bus = SharedBus::begin(BusSettings::parse(&wrong, (None, None)).unwrap());
    let mut hints = bus.listen(store(1));
    for tail in 1..=100 {
        bus.announce(store(1), TailMark::new(tail));
    }
    looks(&mut hints).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!bus.figures().is_connected && bus.figures().sent == 0);
    running.dies();
}

macro_rules! over_both_brokers {
    ($($name:ident),+ $(,)?) => {
        mod nats {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Broker::Nats).await;
            })+
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Broker::Redis).await;
            })+
        }
    };
}

over_both_brokers! {
    a_hint_of_one_host_has_the_other_look,
    a_bus_that_dies_and_comes_back_has_all_look_and_fails_nothing,
    a_bus_that_hangs_is_noticed_and_looked_behind,
    who_is_not_let_in_waits_and_fails_nothing,
}

/// Says something on the bus, as whoever knows its password may.
async fn says(running: &Running, message: &[u8]) {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", running.port))
        .await
        .unwrap();
    let mut bytes = b"*2\r\n$4\r\nAUTH\r\n$4\r\np@ss\r\n*3\r\n$7\r\nPUBLISH\r\n$15\r\nstreamkit.hints\r\n".to_vec();
    bytes.extend_from_slice(format!("${}\r\n", message.len()).as_bytes());
    bytes.extend_from_slice(message);
    bytes.extend_from_slice(b"\r\n");
    stream.write_all(&bytes).await.unwrap();
    let mut answer = [0; 9];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut answer)
        .await
        .unwrap();
    assert_eq!(&answer, b"+OK\r\n:2\r\n", "both heard it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_that_lies_causes_a_look_and_hides_no_later_one() {
    let running = Running::start(Broker::Redis);
    let (one, two) = (host(&running).await, host(&running).await);
    let mut hints = two.listen(store(1));
    quiet(&mut hints).await;
    let mut lie = vec![1];
    lie.extend_from_slice(store(1).0.as_bytes());
    lie.extend_from_slice(&[0xff; 16]);
    for _ in 0..3 {
        says(&running, &lie).await;
        looks(&mut hints).await;
    }
    let before = two.figures().malformed;
    for broken in [&b""[..], b"\x01", &lie[..32], b"\x09 of a later version", &[1; 9000]] {
        says(&running, broken).await;
    }
    one.announce(store(1), TailMark::new(1));
    looks(&mut hints).await;
    while two.figures().malformed < before + 5 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
