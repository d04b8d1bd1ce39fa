//! Hints over a server of Redis, on one connection that speaks RESP3: messages are pushed between answers.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, Msg, ProtocolVersion,
    PushInfo, PushKind, RedisConnectionInfo, RedisError,
};
use tokio::sync::Notify;

use super::counts::BusCounts;
use super::exchange::{Exchange, PACE, SUBJECT, pause};
use super::hints::Message;
use super::settings::BusSettings;

/// How long a connection, and an answer, may take; and how often it is looked whether the connection is still there.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(5);
const PING: Duration = Duration::from_secs(5);

/// Carries hints for as long as it is polled.
pub(super) async fn run(settings: &BusSettings, exchange: &Arc<Exchange>) {
    let shown = settings.to_string();
    let mut failures = 0;
    loop {
        let (ended, was_connected) = match connect(settings, exchange).await {
            Ok((connection, lost)) => {
                exchange.counts.connected(&shown);
                (carry(connection, exchange, &lost).await, true)
            }
            Err(error) => (error, false),
        };
        failures = if was_connected { 1 } else { failures + 1 };
        // Its text may repeat what was sent, and what was sent first is the password.
        exchange.counts.lost(&shown, ended.category());
        tokio::time::sleep(pause(failures)).await;
    }
}

fn info(settings: &BusSettings) -> Result<ConnectionInfo, RedisError> {
    let mut own = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
    if let Some(user) = &settings.user {
        own = own.set_username(user);
    }
    if let Some(password) = &settings.password {
        own = own.set_password(password);
    }
    let host = settings.host.trim_start_matches('[').trim_end_matches(']');
    let address = ConnectionAddr::Tcp(host.to_owned(), settings.port);
    Ok(address.into_connection_info()?.set_redis_settings(own))
}

/// A connection that is subscribed, and who tells that it is lost.
async fn connect(
    settings: &BusSettings,
    exchange: &Arc<Exchange>,
) -> Result<(MultiplexedConnection, Arc<Notify>), RedisError> {
    let lost = Arc::new(Notify::new());
    let (hears, loses) = (exchange.clone(), lost.clone());
    let pushed = move |push: PushInfo| -> Result<(), std::convert::Infallible> {
        match push.kind {
            PushKind::Disconnection => loses.notify_one(),
            PushKind::Message => {
                if let Some(message) = Msg::from_push_info(push) {
                    hears.heard(message.get_payload_bytes());
                }
            }
            _ => {}
        }
        Ok(())
    };
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(ANSWER))
        .set_push_sender(pushed);
    let client = Client::open(info(settings)?)?;
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    connection.subscribe(SUBJECT).await?;
    Ok((connection, lost))
}

/// Until the connection is lost, or does not answer.
async fn carry(mut connection: MultiplexedConnection, exchange: &Exchange, lost: &Notify) -> RedisError {
    // What was said while it was away is lost, in both directions: all look.
    exchange.outbox.put_all();
    exchange.look();
    loop {
        let (command, hints) = tokio::select! {
            () = lost.notified() => return (redis::ErrorKind::Io, "the connection is lost").into(),
            message = exchange.outbox.next() => {
                let hints = match &message {
                    Message::OfStores(hints) => hints.len(),
                    Message::OfAll => 0,
                };
                let mut command = redis::cmd("PUBLISH");
                command.arg(SUBJECT).arg(message.encode());
                (command, hints)
            }
            () = tokio::time::sleep(PING) => (redis::cmd("PING"), 0),
        };
        if let Err(error) = command.query_async::<redis::Value>(&mut connection).await {
            return error;
        }
        BusCounts::add(&exchange.counts.sent, hints);
        tokio::time::sleep(PACE).await;
    }
}
