//! Access to an Azure storage account: one table and one container of it.
//!
//! Every answer is read strictly, within a deadline and a bound of bytes: what cannot be read proves nothing ([`CallError::Unknown`]).
//! No call is repeated here, and no error shows a key, a signature or a token.

mod answer;
mod blobs;
mod clock;
mod connection_string;
mod credential;
mod endpoints;
mod key;
mod probe;
mod sas;
mod secret;
mod settings;
mod settings_error;
mod shared_key;
pub mod table;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use azure_core::http::{ClientOptions, Pipeline, RetryOptions, Transport};
use azure_storage_blob::{BlobContainerClient, BlobContainerClientOptions};

pub use answer::{CallError, Conditional, Refusal};
pub use blobs::{BLOB_MAX, Blobs};
pub use clock::{ServiceClock, ServiceDate};
pub use credential::{Credential, Identity};
pub use endpoints::{Endpoints, Plaintext};
pub use key::AccountKey;
pub use probe::ProbeError;
pub use sas::Sas;
pub use secret::Secret;
pub use settings::AccountSettings;
pub use settings_error::SettingsError;
use shared_key::Service;
use table::AccountTable;

/// The version of the interface for blobs: the newest that emulators know, so that what is tested is what runs.
const BLOB_VERSION: &str = "2025-11-05";
/// Most bytes of an answer about rows. A page has as many rows as fit.
const TABLE_ANSWER_MAX: usize = 24 * 1024 * 1024;
/// Most bytes of an answer about blobs: a piece, or a page of a list.
const BLOB_ANSWER_MAX: usize = 8 * 1024 * 1024;

/// An account that is ready to be asked.
#[derive(Clone, Debug)]
pub struct Account {
    table: AccountTable,
    blobs: Blobs,
    clock: Arc<ServiceClock>,
}

impl Account {
    /// Makes the clients of an account. Nothing is sent yet: [`Account::probe`] does that.
    ///
    /// # Errors
    /// [`SettingsError`] if the settings cannot be used.
    pub fn new(settings: &AccountSettings) -> Result<Self, SettingsError> {
        settings.check()?;
        let http = transport::connections(settings.trusted.as_deref())?;
        let clock = Arc::new(ServiceClock::default());
        let options = |service, deadline: Duration, answer_max| ClientOptions {
            per_try_policies: vec![settings.credential.policy(&settings.endpoints.account, service)],
            // A repeated conditional write is refused because of itself. Whoever calls decides what is repeated.
            retry: RetryOptions::none(),
            transport: Some(Transport::new(Arc::new(transport::Transport {
                http: http.clone(),
                deadline,
                answer_max,
                clock: Arc::clone(&clock),
            }))),
            ..Default::default()
        };
        let tables = options(Service::Table, settings.table_deadline, TABLE_ANSWER_MAX);
        let name = option_env!("CARGO_PKG_NAME");
        let pipeline = Pipeline::new(
            name,
            option_env!("CARGO_PKG_VERSION"),
            tables,
            Vec::new(),
            Vec::new(),
            None,
        );
        let table = AccountTable::new(&settings.endpoints.tables, &settings.table, pipeline);

        let mut address = settings.endpoints.blobs.clone();
        if let Ok(mut path) = address.path_segments_mut() {
            path.pop_if_empty().push(&settings.container);
        }
        let own = BlobContainerClientOptions {
            client_options: options(Service::Blob, settings.blob_deadline, BLOB_ANSWER_MAX),
            version: BLOB_VERSION.to_owned(),
        };
        let container = BlobContainerClient::new(address, None, Some(own))
            .map_err(|error| SettingsError::Http(error.to_string()))?;
        Ok(Self {
            table,
            blobs: Blobs::new(container),
            clock,
        })
    }

    /// The table.
    pub fn table(&self) -> &AccountTable {
        &self.table
    }

    /// The container.
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// The service's clock, as the latest answer told it.
    pub fn clock(&self) -> &ServiceClock {
        &self.clock
    }
}
