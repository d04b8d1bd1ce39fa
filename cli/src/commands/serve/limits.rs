//! Those of the server's limits that an operator may want to change.

use streamkit_server_core::Limits;

use crate::arguments::address::origin;
use crate::arguments::{at_least, count, some_time};

// Their variables are not shown: each is named like its option, and a line of help with it would be too long.
#[derive(clap::Args)]
pub(super) struct LimitOptions {
    /// Sessions at a time
    #[arg(long, env = "STREAMKIT_CONNECTIONS", hide_env = true, value_parser = count, default_value_t = Limits::default().connections)]
    connections: usize,
    /// Connections not upgraded yet
    #[arg(long, env = "STREAMKIT_HANDSHAKES", hide_env = true, value_parser = count, default_value_t = Limits::default().handshakes)]
    handshakes: usize,
    /// Connections of one address (IPv6: /64) not upgraded yet
    #[arg(long, env = "STREAMKIT_HANDSHAKES_PER_ADDRESS", hide_env = true, value_parser = count, default_value_t = Limits::default().handshakes_per_address)]
    handshakes_per_address: usize,
    /// Time a connection has for its handshake
    #[arg(long, env = "STREAMKIT_HANDSHAKE", hide_env = true, value_parser = some_time, default_value_t = Limits::default().handshake.into())]
    handshake: humantime::Duration,
    /// Time calls under way have once their token expired
    #[arg(long, env = "STREAMKIT_TOKEN_GRACE", hide_env = true, default_value_t = Limits::default().token_grace.into())]
    token_grace: humantime::Duration,
    /// A peer silent for so long is gone
    #[arg(long, env = "STREAMKIT_SILENCE", hide_env = true, value_parser = some_time, default_value_t = Limits::default().silence.into())]
    silence: humantime::Duration,
    /// A peer that takes no bytes for so long is gone
    #[arg(long, env = "STREAMKIT_WRITE_DEADLINE", hide_env = true, value_parser = some_time, default_value_t = Limits::default().write_deadline.into())]
    write_deadline: humantime::Duration,
    /// Time sessions have to end at shutdown
    #[arg(long, env = "STREAMKIT_SHUTDOWN_DEADLINE", hide_env = true, default_value_t = Limits::default().shutdown_deadline.into())]
    shutdown_deadline: humantime::Duration,
    /// Connections a second of one address (IPv6: /64)
    #[arg(long, env = "STREAMKIT_HANDSHAKE_RATE", hide_env = true, value_parser = clap::value_parser!(u32).range(1..), default_value_t = Limits::default().handshake_rate)]
    handshake_rate: u32,
    /// Origins that may connect; default: any. Several times, or with commas
    #[arg(
        long,
        env = "STREAMKIT_ORIGINS",
        hide_env = true,
        value_name = "ORIGIN",
        value_parser = origin,
        value_delimiter = ','
    )]
    pub(super) origins: Vec<String>,
    /// Compresses what goes to clients that ask for it
    #[arg(long, env = "STREAMKIT_COMPRESSION", hide_env = true)]
    compression: bool,
    /// Open channels of all connections
    #[arg(long, env = "STREAMKIT_ALL_CHANNELS", hide_env = true, value_parser = count, default_value_t = Limits::default().all_channels)]
    all_channels: usize,
    /// Subscriptions of all connections
    #[arg(long, env = "STREAMKIT_SUBSCRIPTIONS", hide_env = true, value_parser = count, default_value_t = Limits::default().subscriptions)]
    subscriptions: usize,
    /// Entries one read may have; default: any number
    #[arg(long, env = "STREAMKIT_CONSUME_ENTRIES", hide_env = true, value_parser = clap::value_parser!(u64).range(1..))]
    consume_entries: Option<u64>,
    /// Open channels of one connection
    #[arg(long, env = "STREAMKIT_CHANNELS", hide_env = true, value_parser = count, default_value_t = Limits::default().channels)]
    channels: usize,
    /// Bytes waiting to be sent to one connection
    #[arg(long, env = "STREAMKIT_OUTBOUND_BYTES", hide_env = true, value_parser = at_least(1 << 20), default_value_t = Limits::default().outbound_bytes)]
    outbound_bytes: usize,
    /// Bytes one connection has not stored yet
    #[arg(long, env = "STREAMKIT_CONNECTION_INBOUND_BYTES", hide_env = true, value_parser = at_least(1 << 20), default_value_t = Limits::default().connection_inbound_bytes)]
    connection_inbound_bytes: usize,
    /// Bytes received and not stored yet, ≥ 64 MiB
    #[arg(long, env = "STREAMKIT_INBOUND_BYTES", hide_env = true, value_parser = at_least(64 << 20), default_value_t = Limits::default().inbound_bytes)]
    inbound_bytes: usize,
    /// Bytes one channel has not stored yet, ≥ 32 MiB
    #[arg(long, env = "STREAMKIT_CHANNEL_INBOUND_BYTES", hide_env = true, value_parser = at_least(32 << 20), default_value_t = Limits::default().channel_inbound_bytes)]
    channel_inbound_bytes: usize,
    /// Time a message waits for room before its channel ends
    #[arg(long, env = "STREAMKIT_INBOUND_WAIT", hide_env = true, value_parser = some_time, default_value_t = Limits::default().inbound_wait.into())]
    inbound_wait: humantime::Duration,
    /// Reads of one connection that hold entries at a time
    #[arg(long, env = "STREAMKIT_READS", hide_env = true, value_parser = count, default_value_t = Limits::default().reads)]
    reads: usize,
    /// Bytes read and not taken yet, ≥ 64 MiB
    #[arg(long, env = "STREAMKIT_OUTGOING_BYTES", hide_env = true, value_parser = at_least(64 << 20), default_value_t = Limits::default().outgoing_bytes)]
    outgoing_bytes: usize,
    /// Bytes of unfinished frames, ≥ 16 MiB
    #[arg(long, env = "STREAMKIT_FRAMES_BYTES", hide_env = true, value_parser = at_least(16 << 20), default_value_t = Limits::default().frames_bytes)]
    frames_bytes: usize,
    /// Time a peer may keep others waiting
    #[arg(long, env = "STREAMKIT_GIVE_WAY", hide_env = true, value_parser = some_time, default_value_t = Limits::default().give_way.into())]
    give_way: humantime::Duration,
    /// Finished channels a connection remembers
    #[arg(long, env = "STREAMKIT_FINISHED_CHANNELS", hide_env = true, value_parser = count, default_value_t = Limits::default().finished_channels)]
    finished_channels: usize,
    /// Time it remembers them
    #[arg(long, env = "STREAMKIT_FINISHED_AGE", hide_env = true, default_value_t = Limits::default().finished_age.into())]
    finished_age: humantime::Duration,
    /// Failed openings of a store in a row before a pause
    #[arg(long, env = "STREAMKIT_STORE_OPEN_FAILURES", hide_env = true, default_value_t = Limits::default().store_open_failures)]
    store_open_failures: u32,
    /// Time before such a store is tried again
    #[arg(long, env = "STREAMKIT_STORE_OPEN_PAUSE", hide_env = true, default_value_t = Limits::default().store_open_pause.into())]
    store_open_pause: humantime::Duration,
}

impl From<LimitOptions> for Limits {
    fn from(options: LimitOptions) -> Self {
        Self {
            connections: options.connections,
            handshakes: options.handshakes,
            handshakes_per_address: options.handshakes_per_address,
            handshake: options.handshake.into(),
            token_grace: options.token_grace.into(),
            silence: options.silence.into(),
            write_deadline: options.write_deadline.into(),
            shutdown_deadline: options.shutdown_deadline.into(),
            handshake_rate: options.handshake_rate,
            origins: options.origins,
            compression: options.compression,
            channels: options.channels,
            all_channels: options.all_channels,
            subscriptions: options.subscriptions,
            consume_entries: options.consume_entries.unwrap_or(u64::MAX),
            outbound_bytes: options.outbound_bytes,
            connection_inbound_bytes: options.connection_inbound_bytes,
            inbound_bytes: options.inbound_bytes,
            channel_inbound_bytes: options.channel_inbound_bytes,
            inbound_wait: options.inbound_wait.into(),
            reads: options.reads,
            outgoing_bytes: options.outgoing_bytes,
            frames_bytes: options.frames_bytes,
            give_way: options.give_way.into(),
            finished_channels: options.finished_channels,
            finished_age: options.finished_age.into(),
            store_open_failures: options.store_open_failures,
            store_open_pause: options.store_open_pause.into(),
        }
    }
}
