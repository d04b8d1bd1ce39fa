//! Hosts, each in this process with a folder of its own, and what they do to one store.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use streamkit_azure::account::{Account, AccountSettings, Plaintext, Secret};
use streamkit_azure::archive::{self, Archiving};
use streamkit_azure::medium::Media;
use streamkit_azure::medium::azure::AzureMedium;
use streamkit_azure::store::{SharedConfig, SharedStores};
use streamkit_engine::{Engine, EngineConfig, Record, SegmentPath, Store, StoreId, Stores as _};
use streamkit_hosts::forwarding::{Forwarding, ForwardingSettings};
use streamkit_hosts::host::{self as hosts, HostId};
use streamkit_hosts::link::{self, HostSecret};
use streamkit_hosts::presence::{Presence, TableRegister};
use streamkit_server_core::{InProcess, Limits};
use tokio::net::TcpListener;
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

    /// A host of this account. `forwards`: it knows the others, and forwards to them.
    ///
    /// # Errors
    /// Its folder cannot be used, or no port is free.
    pub async fn host(&self, dir: &Path, forwards: bool) -> Outcome<Host> {
        let account = self.account.clone();
        let media: Media = Arc::new(move |store| Arc::new(AzureMedium::new(account.clone(), store)) as Arc<_>);
        let copies = EngineConfig::new(dir.join("copies"));
        let engine = Engine::open(archive::copies(copies, media.clone(), 16 << 30)?)?;
        let own = Uuid::new_v4();
        let config = SharedConfig {
            archive: Some(Archiving::default()),
            ..SharedConfig::new(own)
        };
        let direct = SharedStores::new(config, engine, dir.join("bookmarks"), media)?;
        let others = match forwards {
            true => Some(self.among_others(own, &direct).await?),
            false => None,
        };
        Ok(Host { direct, others })
    }

    async fn among_others(&self, own: Uuid, direct: &SharedStores) -> Outcome<(Forwarding, Presence)> {
        let (id, secret) = (HostId(own), HostSecret::new(SECRET)?);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("ws://{}", listener.local_addr()?);
        let bus = Arc::new(InProcess::default());
        let link = link::server(Arc::new(direct.clone()), &secret, id, Limits::default(), bus);
        tokio::spawn(async move { link.serve(listener).await });
        let host = hosts::Host::new(id, own, &address, "bench").ok_or("an address")?;
        let register = TableRegister::new(self.account.table().clone());
        let presence = Presence::begin(Arc::new(register), host);
        let settings = ForwardingSettings::new(id, secret);
        let forwarding = Forwarding::new(Arc::new(direct.clone()), settings, presence.others(), None);
        Ok((forwarding, presence))
    }
}

/// A host.
pub struct Host {
    direct: SharedStores,
    others: Option<(Forwarding, Presence)>,
}

impl Host {
    /// How many other hosts it knows.
    pub fn knows(&self) -> usize {
        self.others
            .as_ref()
            .map_or(0, |(_, presence)| presence.others().borrow().len())
    }

    /// A store as its clients are served it.
    ///
    /// # Errors
    /// It does not open.
    pub async fn store(&self, id: StoreId) -> Outcome<Arc<dyn Store>> {
        Ok(match &self.others {
            Some((forwarding, _)) => forwarding.store(id).await?,
            None => self.direct.store(id).await?,
        })
    }

    /// Leaves.
    pub async fn close(self) {
        if let Some((_, presence)) = &self.others {
            presence.leave().await;
        }
        self.direct.close().await;
    }
}

/// What hosts have in common.
const SECRET: &[u8] = b"what the hosts of a measurement have in common";

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
pub async fn opened(hosts: &[Host], id: StoreId) -> Outcome<Vec<Arc<dyn Store>>> {
    let mut stores = Vec::new();
    for host in hosts {
        stores.push(host.store(id).await?);
    }
    Ok(stores)
}
