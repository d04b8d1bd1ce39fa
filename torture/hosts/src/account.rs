//! The account that hosts share, the ways to it, and hosts that use it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use streamkit_azure::account::{Account, AccountSettings, Plaintext, Secret};
use streamkit_azure::archive::{self, Archiving};
use streamkit_azure::medium::Media;
use streamkit_azure::medium::azure::AzureMedium;
use streamkit_azure::store::{SharedConfig, SharedStores};
use streamkit_engine::{Engine, EngineConfig};
use streamkit_torture_wire::host::Trouble;
use streamkit_torture_wire::process::Process;
use uuid::Uuid;

use crate::emulator::{ACCOUNT, Emulator, KEY};
use crate::gate::Gate;

/// What the hosts have in common.
const SECRET: &str = "what all hosts of a torture have in common, and nobody else";

/// The ways of one host to the account, and of the other hosts to it.
pub struct Ways {
    /// To the account's tables.
    pub tables: Gate,
    /// To its blobs.
    pub blobs: Gate,
    /// To the host's link.
    pub link: Gate,
    /// Where the host is to listen behind that.
    link_port: u16,
}

impl Ways {
    /// To an emulator.
    ///
    /// # Errors
    /// No port is free.
    pub async fn to(emulator: &Emulator) -> Result<Self, Trouble> {
        let link_port = free_port()?;
        Ok(Self {
            tables: Gate::before(emulator.tables).await?,
            blobs: Gate::before(emulator.blobs).await?,
            link: Gate::before(link_port).await?,
            link_port,
        })
    }

    /// The account, as the host is told of it.
    pub fn connection_string(&self) -> String {
        connection_string(self.blobs.port, self.tables.port)
    }

    /// The host's link, as the host is told of it.
    pub fn link(&self) -> Vec<String> {
        vec![
            "--host-listen".to_owned(),
            format!("127.0.0.1:{}", self.link_port),
            "--host-address".to_owned(),
            format!("ws://127.0.0.1:{}", self.link.port),
        ]
    }
}

/// One that nobody listens on now.
fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The link of a host to which there is no gate.
pub fn any_link() -> Vec<String> {
    ["--host-listen", "127.0.0.1:0"].map(String::from).into()
}

/// What a host is told to use that nothing is to happen to.
pub fn past_no_gate(emulator: &Emulator) -> String {
    connection_string(emulator.blobs, emulator.tables)
}

fn connection_string(blobs: u16, tables: u16) -> String {
    format!(
        "AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint=http://127.0.0.1:{blobs}/{ACCOUNT};\
         TableEndpoint=http://127.0.0.1:{tables}/{ACCOUNT};"
    )
}

/// The program, as it was built beside what runs.
///
/// # Panics
/// It was not built.
pub fn program() -> PathBuf {
    let own = std::env::current_exe().expect("the program that runs");
    let found = own
        .ancestors()
        .map(|folder| folder.join("streamkit"))
        .find(|path| path.is_file());
    found.expect("the program: `cargo build -p streamkit-server --bin streamkit` builds it")
}

/// Starts the program as a host that uses an account, with a link to it for others, in a folder that this makes.
///
/// # Errors
/// It does not start.
pub async fn host(
    program: &Path,
    folder: &Path,
    account: String,
    link: Vec<String>,
    more: &[String],
) -> Result<Process, Trouble> {
    std::fs::create_dir_all(folder)?;
    let mut options: Vec<String> = ["--storage", "azure", "--azure-allow-http"].map(String::from).into();
    let secret = folder.join("secret");
    std::fs::write(&secret, SECRET)?;
    options.extend(link);
    options.extend(["--host-secret-file".to_owned(), secret.display().to_string()]);
    // Small ones, so that much is sealed, archived and retired meanwhile.
    options.extend(
        [
            "--archive-period",
            "2s",
            "--archive-groups",
            "8",
            "--extent-groups",
            "16",
        ]
        .map(String::from),
    );
    options.extend(more.iter().cloned());
    let variables = vec![("AZURE_STORAGE_CONNECTION_STRING".to_owned(), account)];
    Process::with(program, folder, options, variables).await
}

/// The account.
///
/// # Errors
/// None that is known.
pub fn account(emulator: &Emulator) -> Result<Arc<Account>, Trouble> {
    let text = past_no_gate(emulator);
    let settings = AccountSettings {
        plaintext: Plaintext::ToEmulator,
        ..AccountSettings::from_connection_string(&Secret::new(text))?
    };
    Ok(Arc::new(Account::new(&settings)?))
}

/// Where a fresh host begins.
#[derive(Clone, Copy)]
pub enum Beginning {
    /// The first slot, as if nothing were archived.
    FirstSlot,
    /// The last checkpoint; what is before it comes out of the archive.
    Checkpoint,
}

/// Bytes of archived files that a fresh host keeps: of a long log it has to fetch some again.
const CACHE_BYTES: u64 = 4 << 20;

/// A host in this process, which has nothing but what stands in the account.
///
/// # Errors
/// The folder cannot be used.
pub fn fresh_host(account: Arc<Account>, folder: &Path, beginning: Beginning) -> Result<SharedStores, Trouble> {
    let media: Media = Arc::new(move |store| Arc::new(AzureMedium::new(account.clone(), store)) as Arc<_>);
    let copies = EngineConfig::new(folder.join("copies"));
    let mut config = SharedConfig::new(Uuid::new_v4());
    let engine = match beginning {
        Beginning::FirstSlot => EngineConfig { copies: true, ..copies },
        Beginning::Checkpoint => {
            config.archive = Some(Archiving {
                period: Archiving::NEVER,
                ..Archiving::default()
            });
            archive::copies(copies, media.clone(), CACHE_BYTES)?
        }
    };
    let engine = Engine::open(engine)?;
    Ok(SharedStores::new(config, engine, folder.join("bookmarks"), media)?)
}
