//! Hosts, each in this process with a folder of its own, and what they do to one store.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use streamkit_azure::account::{Account, AccountSettings, Plaintext, Secret};
use streamkit_azure::medium::azure::AzureMedium;
use streamkit_azure::store::{SharedConfig, SharedStores};
use streamkit_engine::{Engine, EngineConfig, Record, SegmentPath, Store, StoreId, Stores as _};
use uuid::Uuid;

use super::delayed::Delayed;
use super::emulator::{ACCOUNT, Emulator, KEY};
use crate::Outcome;

/// An account on an emulator of its own, through proxies.
pub struct Far {
    account: Arc<Account>,
    tables: Delayed,
    blobs: Delayed,
    _emulator: Emulator,
}

impl Far {
    /// With so much time for the way of each request.
    ///
    /// # Errors
    /// The emulator does not answer.
    pub async fn start(delay: Duration) -> Outcome<Self> {
        let emulator = Emulator::start(&[]);
        let tables = Delayed::start(emulator.tables, delay).await?;
        let blobs = Delayed::start(emulator.blobs, delay).await?;
        let text = format!(
            "AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint=http://127.0.0.1:{}/{ACCOUNT};\
             TableEndpoint=http://127.0.0.1:{}/{ACCOUNT};",
            blobs.port, tables.port
        );
        let settings = AccountSettings {
            plaintext: Plaintext::ToEmulator,
            ..AccountSettings::from_connection_string(&Secret::new(text))?
        };
        let account = Account::new(&settings)?;
        account.probe().await?;
        Ok(Self {
            account: Arc::new(account),
            tables,
            blobs,
            _emulator: emulator,
        })
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.tables.requests() + self.blobs.requests()
    }

    /// A host of this account.
    ///
    /// # Errors
    /// Its folder cannot be used.
    pub fn host(&self, dir: &Path) -> Outcome<SharedStores> {
        let engine = Engine::open(EngineConfig::new(dir.join("copies")))?;
        let account = self.account.clone();
        let media = Arc::new(move |store| Arc::new(AzureMedium::new(account.clone(), store)) as Arc<_>);
        let config = SharedConfig::new(Uuid::new_v4());
        Ok(SharedStores::new(config, engine, dir.join("bookmarks"), media)?)
    }
}

/// What came of a load.
pub struct Came {
    /// Appends that were acknowledged.
    pub appends: u64,
    /// While so long.
    pub time: Duration,
    /// Microseconds of each.
    pub latency: Histogram<u64>,
}

impl Came {
    /// Appends a second.
    pub fn rate(&self) -> f64 {
        self.appends as f64 / self.time.as_secs_f64()
    }
}

/// So many producers at each of some stores, each with a segment of its own, append one record after the other.
///
/// # Errors
/// An append failed.
pub async fn produce(stores: &[Arc<dyn Store>], producers: usize, time: Duration) -> Outcome<Came> {
    let is_over = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let mut tasks = Vec::new();
    for (host, store) in stores.iter().enumerate() {
        for producer in 0..producers {
            let (store, is_over) = (store.clone(), is_over.clone());
            let path = SegmentPath::new("load", &format!("{host}-{producer}-{}", Uuid::new_v4()))?;
            tasks.push(tokio::spawn(async move {
                let mut latency = Histogram::<u64>::new(3).expect("a histogram");
                while !is_over.load(Ordering::Relaxed) {
                    let since = Instant::now();
                    let record = Record::new(Bytes::from(vec![7; 100]));
                    store.publish(&path, vec![record]).await?;
                    latency.record(since.elapsed().as_micros() as u64).expect("it fits");
                }
                Ok::<_, streamkit_engine::AppendError>(latency)
            }));
        }
    }
    tokio::time::sleep(time).await;
    is_over.store(true, Ordering::Relaxed);
    let time = began.elapsed();
    let mut latency = Histogram::<u64>::new(3)?;
    for task in tasks {
        latency.add(task.await??)?;
    }
    Ok(Came {
        appends: latency.len(),
        time,
        latency,
    })
}

/// A store at each of some hosts.
///
/// # Errors
/// It does not open.
pub async fn opened(hosts: &[SharedStores], id: StoreId) -> Outcome<Vec<Arc<dyn Store>>> {
    let mut stores = Vec::new();
    for host in hosts {
        stores.push(host.store(id).await?);
    }
    Ok(stores)
}
