//! Stores that this process opens itself: a server without a socket serves them to its own client, so that whoever works with a store
//! need not know where it is.

mod account;
mod scratch;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use account::{InAccount, Use};
use streamkit_client::{Client, StoreClient};
use streamkit_engine::Stores;
use streamkit_server_core::{Key, Limits, Server};
use uuid::Uuid;

use crate::failure::Failure;

/// No work takes longer: so long its token is good.
const TOKEN: Duration = Duration::from_secs(10 * 365 * 86_400);

/// A server and its client.
struct InProcess {
    server: Server,
    client: Client,
}

impl InProcess {
    /// Serves stores. A call may be silent for so long.
    fn serve(stores: Arc<dyn Stores>, timeout: Duration) -> Result<Self, Failure> {
        let wrong = |error: &dyn std::fmt::Display| Failure::new(format!("cannot sign a token: {error}"));
        let key = Key::hs256(Uuid::new_v4().simple().to_string().as_bytes()).map_err(|error| wrong(&error))?;
        let token = key
            .mint(&["streamkit::*".to_owned()], TOKEN)
            .map_err(|error| wrong(&error))?;
        let server = Server::new(stores, key, Limits::default());
        let serving = server.clone();
        let client = Client::builder("ws://in-process")
            .transport(move || std::future::ready(serving.in_process()))
            .token(token)
            .timeout(timeout)
            .build();
        Ok(Self { server, client })
    }

    fn store(&self, store: Uuid) -> StoreClient {
        self.client.store(store)
    }

    /// Ends both. The stores are left to whoever opened them.
    async fn close(self) {
        self.client.close().await;
        self.server.shutdown().await;
    }
}
