//! Hints between hosts, over a server of NATS or Redis: that a store has come so far. Whoever hears one looks at the store, and believes nothing else of it.
//! One that is lost delays those who follow a store on another host by some seconds.
//!
//! ```text
//!  committed ─▶ outbox: the newest of each store ─▶ nats, redis ─▶ hints ─▶ who listens looks
//! ```

mod counts;
mod exchange;
mod hints;
mod nats;
mod outbox;
mod redis;
mod settings;

use std::sync::Arc;

use streamkit_engine::{StoreId, TailMark};
use streamkit_server_core::{BusFigures, Hint, MessageBus};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use exchange::Exchange;
use settings::BusKind;
pub use settings::{BusSettings, BusSettingsError};

/// The bus of a host. It connects in the background, for as long as it is there.
pub struct SharedBus {
    exchange: Arc<Exchange>,
    _connected: DropGuard,
}

impl SharedBus {
    /// Begins to connect.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn begin(settings: BusSettings) -> Self {
        let exchange = Arc::new(Exchange::default());
        let ended = CancellationToken::new();
        let (of_pokes, of_carrier) = (exchange.clone(), exchange.clone());
        tokio::spawn(
            ended
                .clone()
                .run_until_cancelled_owned(async move { of_pokes.looks().await }),
        );
        tokio::spawn(ended.clone().run_until_cancelled_owned(async move {
            match settings.kind {
                BusKind::Nats => nats::run(&settings, of_carrier).await,
                BusKind::Redis => redis::run(&settings, &of_carrier).await,
            }
        }));
        Self {
            exchange,
            _connected: ended.drop_guard(),
        }
    }

    /// What was counted, and whether it is connected. Waits for nothing.
    pub fn figures(&self) -> BusFigures {
        self.exchange.counts.now()
    }
}

impl MessageBus for SharedBus {
    fn announce(&self, store: StoreId, tail: TailMark) {
        self.exchange.own.announce(store, tail);
        self.exchange.outbox.put(store, tail);
    }

    fn listen(&self, store: StoreId) -> watch::Receiver<Hint> {
        self.exchange.own.listen(store)
    }

    fn figures(&self) -> Option<BusFigures> {
        Some(self.figures())
    }
}
