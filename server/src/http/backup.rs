//! The routes that a backup is read through, while the stores are in use:
//!
//! ```text
//! GET /backup                                  {"stores":["6f1c…"]}
//! GET /backup/{store}                          {"store","extents":[{"extent","capacity","used_bytes","salt","sealed"}]}
//! GET /backup/{store}/{extent}/{used_bytes}    that many bytes of it, then their CRC-32
//! ```
//!
//! What is asked for is in the list of the store, so nothing is kept here between requests. The log holds entries that were
//! trimmed or deleted, too: only a token that may read and write all stores opens these routes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRef, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use streamkit_engine::StoreId;
use streamkit_engine::backup::{BackupError, ExtentPrefix, LogPrefix, Source};
use tokio::sync::{Semaphore, mpsc};
use uuid::Uuid;

use super::admitted::{Admitted, Refusal};
use crate::auth::{Access, Authenticate, Rights};
use crate::metrics::Metrics;
use crate::shared::Shared;
use crate::told;

/// Extents read at a time, of all peers together; more are answered 503. Each holds up to three pieces of 256 KiB.
pub const READS_MAX: usize = 4;

/// Bytes behind an extent's: their CRC-32, little-endian.
pub const CHECKSUM_BYTES: usize = 4;

/// The answer of `GET /backup`.
#[derive(Serialize, Deserialize, Debug)]
pub struct StoreList {
    /// All stores, by id.
    pub stores: Vec<Uuid>,
}

/// The answer of `GET /backup/{store}`: [`LogPrefix`].
#[derive(Serialize, Deserialize, Debug)]
pub struct ExtentList {
    /// The store.
    pub store: Uuid,
    /// Its extents, oldest first; only the last may be open.
    pub extents: Vec<Extent>,
}

/// One extent in it, and what is asked of `GET /backup/{store}/{extent}/{used_bytes}`: [`ExtentPrefix`].
#[derive(Clone, Copy, Serialize, Deserialize, Debug)]
pub struct Extent {
    /// Its number.
    pub extent: u64,
    /// Bytes of its file.
    pub capacity: u64,
    /// Bytes that count, header and all.
    pub used_bytes: u32,
    /// The random number in its checksums.
    pub salt: u32,
    /// Checksum of its last group's header; `null` while it is open.
    pub sealed: Option<u32>,
}

impl From<ExtentPrefix> for Extent {
    fn from(extent: ExtentPrefix) -> Self {
        Self {
            extent: extent.extent,
            capacity: extent.capacity,
            used_bytes: extent.used_bytes,
            salt: extent.salt,
            sealed: extent.sealed,
        }
    }
}

impl From<Extent> for ExtentPrefix {
    fn from(extent: Extent) -> Self {
        Self {
            extent: extent.extent,
            capacity: extent.capacity,
            used_bytes: extent.used_bytes,
            salt: extent.salt,
            sealed: extent.sealed,
        }
    }
}

/// Extents being read.
#[derive(Clone)]
pub(super) struct BackupReads(Arc<Semaphore>);

impl Default for BackupReads {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(READS_MAX)))
    }
}

/// What a backup is made of.
#[derive(Clone)]
struct Kept {
    shared: Arc<Shared>,
    auth: Arc<dyn Authenticate>,
    reads: BackupReads,
}

impl FromRef<Kept> for Arc<dyn Authenticate> {
    fn from_ref(kept: &Kept) -> Self {
        kept.auth.clone()
    }
}

impl FromRef<Kept> for Arc<Metrics> {
    fn from_ref(state: &Kept) -> Self {
        state.shared.metrics.clone()
    }
}

/// The routes.
pub(super) fn routes(shared: Arc<Shared>, auth: Arc<dyn Authenticate>, reads: BackupReads) -> Router {
    Router::new()
        .route("/backup", get(stores))
        .route("/backup/{store}", get(extents))
        .route("/backup/{store}/{extent}/{used_bytes}", get(bytes))
        .with_state(Kept { shared, auth, reads })
}

/// What the stores are read from, if that is allowed and there is such a thing.
fn source(shared: &Shared, access: &Access) -> Result<Arc<dyn Source>, Refusal> {
    if access.scopes.on_all() != Rights::ALL {
        let why = "a backup needs a token for all stores: streamkit::*";
        return Err(Refusal::new(StatusCode::FORBIDDEN, why));
    }
    if shared.stopping.is_cancelled() {
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "shutting down"));
    }
    let source = shared.stores.all().backup();
    source.ok_or_else(|| Refusal::new(StatusCode::NOT_IMPLEMENTED, "these stores have no backup"))
}

/// Runs what blocks.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|error| {
        tracing::error!(%error, "a read of a backup broke");
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, told::PANIC)
    })?;
    match done {
        Ok(done) => Ok(done),
        Err(error) => {
            tracing::warn!(%error, "a backup could not be read");
            let status = match error {
                BackupError::Refused(_) => StatusCode::NOT_FOUND,
                // The only one that says so: a client tells damage from a refusal.
                _ if error.is_damage() => StatusCode::UNPROCESSABLE_ENTITY,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            Err(Refusal::new(status, error.to_string()))
        }
    }
}

async fn stores(State(Kept { shared, .. }): State<Kept>, Admitted(access): Admitted) -> Result<Response, Refusal> {
    let source = source(&shared, &access)?;
    let stores = blocking(move || source.stores()).await?;
    let stores = stores.into_iter().map(|store| store.0).collect();
    Ok(json(&StoreList { stores }))
}

async fn extents(
    State(Kept { shared, .. }): State<Kept>,
    Path(store): Path<Uuid>,
    Admitted(access): Admitted,
) -> Result<Response, Refusal> {
    let source = source(&shared, &access)?;
    let LogPrefix { store, extents } = blocking(move || {
        known(&*source, StoreId(store))?;
        source.prefix(StoreId(store))
    })
    .await?;
    Ok(json(&ExtentList {
        store: store.0,
        extents: extents.into_iter().map(Extent::from).collect(),
    }))
}

/// Refuses a store that there is not; to open it would make it.
fn known(source: &dyn Source, store: StoreId) -> Result<(), BackupError> {
    match source.has(store)? {
        true => Ok(()),
        false => Err(BackupError::Refused(format!("there is no store {store}"))),
    }
}

fn json(value: &impl Serialize) -> Response {
    let json = (header::CONTENT_TYPE, "application/json");
    match serde_json::to_string(value) {
        Ok(text) => ([json], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// The bytes of one extent. Their length is told first and their checksum last; where anything fails in between, the
/// connection breaks before that length is reached.
async fn bytes(
    State(Kept { shared, reads, .. }): State<Kept>,
    Path((store, number, used_bytes)): Path<(Uuid, u64, u32)>,
    Admitted(access): Admitted,
) -> Result<Response, Refusal> {
    let source = source(&shared, &access)?;
    let Ok(permit) = reads.0.try_acquire_owned() else {
        let why = "too many backups are being read";
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why));
    };
    let store = StoreId(store);
    let read = move || {
        known(&*source, store)?;
        let found = source.extent(store, number)?;
        // What was sealed meanwhile has still the bytes that it had.
        let extent = found
            .filter(|found| used_bytes <= found.used_bytes)
            .map(|found| ExtentPrefix { used_bytes, ..found });
        match extent {
            Some(extent) => source.read(store, &extent),
            None => Err(BackupError::Refused(format!(
                "extent {number} of store {store} holds no such bytes"
            ))),
        }
    };
    let mut pieces = blocking(read).await?;
    let (send, mut receive) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let (deadline, stopping) = (shared.limits.write_deadline, shared.stopping.clone());
    tokio::spawn(async move {
        let _permit = permit;
        let mut checksum = crc32fast::Hasher::new();
        loop {
            let next = tokio::task::spawn_blocking(move || (pieces.next(), pieces)).await;
            let Ok((next, back)) = next else { return };
            pieces = back;
            let (piece, last) = match next {
                Ok(Some(piece)) => {
                    checksum.update(&piece);
                    (Ok(Bytes::from(piece)), false)
                }
                Ok(None) => {
                    let checksum = checksum.clone().finalize().to_le_bytes();
                    (Ok(Bytes::copy_from_slice(&checksum)), true)
                }
                Err(error) => {
                    tracing::warn!(%error, %store, extent = number, "a backup broke off");
                    (Err(std::io::Error::other(error.to_string())), true)
                }
            };
            let sent = tokio::select! {
                sent = send.send_timeout(piece, deadline.max(Duration::from_secs(1))) => sent.is_ok(),
                () = stopping.cancelled() => false,
            };
            if !sent || last {
                return;
            }
        }
    });
    let stream = futures_util::stream::poll_fn(move |cx| receive.poll_recv(cx));
    let length = u64::from(used_bytes) + CHECKSUM_BYTES as u64;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
    ];
    Ok((headers, Body::from_stream(stream)).into_response())
}
