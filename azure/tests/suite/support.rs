//! Accounts on an emulator, each with a table and a container of its own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use streamkit_azure::account::table::{Cell, Cells, TableKey};
use streamkit_azure::account::{Account, AccountSettings, Plaintext, Secret};
use uuid::Uuid;

use crate::emulator::{ACCOUNT, Emulator, KEY};
use crate::proxy::Proxy;

/// An account on the shared emulator.
pub struct OnEmulator {
    pub account: Arc<Account>,
    pub emulator: Arc<Emulator>,
}

impl OnEmulator {
    /// With a table and a container that are there.
    pub async fn new() -> Self {
        let emulator = Emulator::shared();
        let account = Account::new(&settings(emulator.blobs, emulator.tables)).unwrap();
        account.table().create().await.unwrap();
        account.blobs().create().await.unwrap();
        Self {
            account: Arc::new(account),
            emulator,
        }
    }
}

/// An account whose requests go through proxies; the same without them.
pub struct Proxied {
    pub account: Arc<Account>,
    pub direct: Arc<Account>,
    pub tables: Proxy,
    pub blobs: Proxy,
    _emulator: Arc<Emulator>,
}

impl Proxied {
    pub async fn new() -> Self {
        Self::with_deadline(Duration::from_secs(60)).await
    }

    /// With so much time for each call on the table.
    pub async fn with_deadline(table_deadline: Duration) -> Self {
        let emulator = Emulator::shared();
        let (tables, blobs) = (Proxy::start(emulator.tables).await, Proxy::start(emulator.blobs).await);
        let through = AccountSettings {
            table_deadline,
            ..settings(blobs.port, tables.port)
        };
        let mut direct = settings(emulator.blobs, emulator.tables);
        (direct.table, direct.container) = (through.table.clone(), through.container.clone());
        let direct = Account::new(&direct).unwrap();
        direct.table().create().await.unwrap();
        direct.blobs().create().await.unwrap();
        Self {
            account: Arc::new(Account::new(&through).unwrap()),
            direct: Arc::new(direct),
            tables,
            blobs,
            _emulator: emulator,
        }
    }
}

/// Settings with a key, for an emulator on these ports, and names that nobody else uses.
pub fn settings(blobs: u16, tables: u16) -> AccountSettings {
    let text = format!(
        "AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint=http://127.0.0.1:{blobs}/{ACCOUNT};\
         TableEndpoint=http://127.0.0.1:{tables}/{ACCOUNT};"
    );
    let name = format!("t{}", Uuid::new_v4().simple());
    AccountSettings {
        plaintext: Plaintext::ToEmulator,
        // A machine that is busy with other tests is slow, which is no failure.
        table_deadline: Duration::from_secs(60),
        blob_deadline: Duration::from_secs(60),
        table: name.clone(),
        container: name,
        ..AccountSettings::from_connection_string(&Secret::new(text)).unwrap()
    }
}

pub fn key(text: impl Into<String>) -> TableKey {
    TableKey::new(text).unwrap()
}

/// A row with one number.
pub fn number(number: i64) -> Cells {
    [("n".to_owned(), Cell::Number(number))].into()
}

/// A row with so many bytes in cells.
pub fn binary(bytes: usize) -> Cells {
    let piece = |at: usize| Bytes::from(vec![at.to_le_bytes()[0]; (bytes - at * 65_536).min(65_536)]);
    let cells = (0..bytes.div_ceil(65_536)).map(|at| (format!("b{at:02}"), Cell::Binary(piece(at))));
    cells.collect()
}
