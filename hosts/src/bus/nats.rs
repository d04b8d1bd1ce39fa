//! Hints over a server of NATS, whose client comes back by itself.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};
use futures_util::StreamExt as _;
use tokio::sync::watch;

use super::counts::BusCounts;
use super::exchange::{Exchange, PACE, SUBJECT, pause};
use super::settings::BusSettings;

/// How long a connection may take, and how often it is looked whether it is still there.
const CONNECT: Duration = Duration::from_secs(5);
const PING: Duration = Duration::from_secs(5);

/// Messages that wait to be heard, and to be sent. What is more is lost, and noticed.
const HEARD_MAX: usize = 1024;
const SENT_MAX: usize = 64;

/// How long it waits if the client gives up, which is to be done by nothing that happens to a server.
const AGAIN: Duration = Duration::from_secs(5);

/// Carries hints for as long as it is polled.
pub(super) async fn run(settings: &BusSettings, exchange: Arc<Exchange>) {
    loop {
        let (tells, connected) = watch::channel(0);
        match connect(settings, exchange.clone(), tells).await {
            Ok(client) => carry(&client, &exchange, connected).await,
            Err(error) => exchange.counts.lost(&settings.to_string(), &error.to_string()),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn connect(
    settings: &BusSettings,
    exchange: Arc<Exchange>,
    tells: watch::Sender<u64>,
) -> Result<Client, async_nats::ConnectError> {
    let shown = settings.to_string();
    let happened = move |event| {
        match event {
            Event::Connected => {
                exchange.counts.connected(&shown);
                tells.send_modify(|connections| *connections += 1);
            }
            // Messages were dropped, of whatever store.
            Event::SlowConsumer(_) => exchange.look(),
            other => exchange.counts.lost(&shown, &other.to_string()),
        }
        std::future::ready(())
    };
    let mut options = ConnectOptions::new()
        .name("streamkit")
        .connection_timeout(CONNECT)
        .ping_interval(PING)
        .subscription_capacity(HEARD_MAX)
        .client_capacity(SENT_MAX)
        .reconnect_delay_callback(pause)
        .retry_on_initial_connect()
        .event_callback(happened);
    options = match (settings.user.clone(), settings.password.clone()) {
        (Some(user), Some(password)) => options.user_and_password(user, password),
        (Some(token), None) | (None, Some(token)) => options.token(token),
        (None, None) => options,
    };
    options
        .connect(format!("nats://{}:{}", settings.host, settings.port))
        .await
}

/// Until the client gives up.
async fn carry(client: &Client, exchange: &Exchange, mut connected: watch::Receiver<u64>) {
    let Ok(mut messages) = client.subscribe(SUBJECT).await else {
        return;
    };
    let mut connections = connected.clone();
    let hears = async {
        while let Some(message) = messages.next().await {
            exchange.heard(&message.payload);
        }
    };
    let speaks = async {
        loop {
            // While it is away, hints gather here, of each store the newest.
            if connected.wait_for(|connections| *connections > 0).await.is_err() {
                return;
            }
            let message = exchange.outbox.next().await;
            if client.publish(SUBJECT, message.encode().into()).await.is_err() {
                return;
            }
            let _ = client.flush().await;
            if let super::hints::Message::OfStores(hints) = message {
                BusCounts::add(&exchange.counts.sent, hints.len());
            }
            tokio::time::sleep(PACE).await;
        }
    };
    let comes_back = async {
        // What was said while it was away is lost, in both directions: all look. What comes back of it comes over our subscription, which
        // is there then.
        while connections.changed().await.is_ok() {
            exchange.outbox.put_all();
        }
    };
    tokio::select! {
        () = hears => {}
        () = speaks => {}
        () = comes_back => {}
    }
}
