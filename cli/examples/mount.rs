//! A service of your own with Streamkit's routes in it, which knows by itself who asks:
//! `cargo run -p streamkit-server --example mount [FOLDER]`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::http::request::Parts;
use axum::routing::get;
use streamkit_engine::{Engine, EngineConfig, Stores as _};
use streamkit_server::{Access, AccessError, Authenticate, Limits, Rights, Scopes, Server, TokenFault, bearer};

/// Whoever knows the word may read everything, for an hour. A service asks its sessions, its database or its identity provider.
struct Password(&'static str);

#[async_trait]
impl Authenticate for Password {
    async fn authenticate(&self, head: &Parts) -> Result<Access, AccessError> {
        match bearer(&head.headers)? {
            Some(word) if word == self.0 => Ok(Access {
                scopes: Scopes::default().with_all(Rights::READ),
                expires_in: Duration::from_secs(3600),
            }),
            _ => Err(AccessError::Unknown(TokenFault::Other)),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let temporary = tempfile::tempdir()?;
    let folder = std::env::args_os().nth(1);
    let folder = folder.map_or_else(|| temporary.path().to_owned(), Into::into);
    let engine = Engine::open(EngineConfig::new(folder))?;

    let server = Server::new(Arc::new(engine.clone()), Password("open sesame"), Limits::default());
    let service = Router::new()
        .route("/", get(async || "a service of my own"))
        .merge(server.router());

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    tokio::select! {
        served = axum::serve(listener, service) => served?,
        stop = tokio::signal::ctrl_c() => stop?,
    }
    // Every client is told; then the stores may be closed.
    server.shutdown().await;
    engine.close().await;
    Ok(())
}
