//! The account that hosts share, and the ways to it.

use std::path::Path;
use std::sync::Arc;

use streamkit_azure::account::{Account, AccountSettings, Plaintext, Secret};
use streamkit_azure::medium::azure::AzureMedium;
use streamkit_azure::store::{SharedConfig, SharedStores};
use streamkit_engine::{Engine, EngineConfig};
use streamkit_torture_wire::host::Trouble;
use uuid::Uuid;

use crate::emulator::{ACCOUNT, Emulator, KEY};
use crate::gate::Gate;

/// The ways of one host to the account.
pub struct Ways {
    /// To its tables.
    pub tables: Gate,
    /// To its blobs.
    pub blobs: Gate,
}

impl Ways {
    /// To an emulator.
    ///
    /// # Errors
    /// No port is free.
    pub async fn to(emulator: &Emulator) -> Result<Self, Trouble> {
        Ok(Self {
            tables: Gate::before(emulator.tables).await?,
            blobs: Gate::before(emulator.blobs).await?,
        })
    }

    /// What a host is told to use.
    pub fn connection_string(&self) -> String {
        connection_string(self.blobs.port, self.tables.port)
    }
}

fn connection_string(blobs: u16, tables: u16) -> String {
    format!(
        "AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint=http://127.0.0.1:{blobs}/{ACCOUNT};\
         TableEndpoint=http://127.0.0.1:{tables}/{ACCOUNT};"
    )
}

/// A host in this process, which has nothing but what stands in the account.
///
/// # Errors
/// The folder cannot be used.
pub fn fresh_host(emulator: &Emulator, folder: &Path) -> Result<SharedStores, Trouble> {
    let text = connection_string(emulator.blobs, emulator.tables);
    let settings = AccountSettings {
        plaintext: Plaintext::ToEmulator,
        ..AccountSettings::from_connection_string(&Secret::new(text))?
    };
    let account = Arc::new(Account::new(&settings)?);
    let engine = Engine::open(EngineConfig::new(folder.join("copies")))?;
    let media = Arc::new(move |store| Arc::new(AzureMedium::new(account.clone(), store)) as Arc<_>);
    let config = SharedConfig::new(Uuid::new_v4());
    Ok(SharedStores::new(config, engine, folder.join("bookmarks"), media)?)
}
