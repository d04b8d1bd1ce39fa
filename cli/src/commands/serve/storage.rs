//! Where stores are: on a disk of this host, or in a storage account that several hosts share.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use streamkit_azure::account::{Account, ProbeError};
use streamkit_azure::medium::azure::AzureMedium;
use streamkit_azure::store::{SharedConfig, SharedStores};
use uuid::Uuid;

use crate::arguments::account::AccountOptions;
use crate::failure::Failure;
use crate::serving::Ready;

/// How long an account is tried that does not answer.
const TRIED_FOR: Duration = Duration::from_secs(30);
/// How long it is left alone between two trials.
const PAUSE: Duration = Duration::from_secs(2);

/// The options.
#[derive(clap::Args)]
#[command(next_help_heading = "Storage")]
pub(super) struct StorageOptions {
    /// local: this disk; azure: an account that several hosts share
    #[arg(
        long,
        env = "STREAMKIT_STORAGE",
        hide_env = true,
        value_enum,
        hide_possible_values = true,
        value_name = "KIND",
        default_value_t
    )]
    storage: Kind,
    #[command(flatten)]
    account: AccountOptions,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    #[default]
    Local,
    Azure,
}

impl StorageOptions {
    /// Whether several hosts share the stores.
    pub(super) fn is_shared(&self) -> bool {
        self.storage == Kind::Azure
    }

    /// # Errors
    /// Some of them have no effect.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match !self.is_shared() && self.account.names_one() {
            true => Err(Failure::arguments(
                "an account is named, and nothing is stored there; add --storage azure",
            )),
            false => Ok(()),
        }
    }

    /// Serves what stands in the account. `data` is the folder of this host.
    ///
    /// # Errors
    /// The options are wrong, or the account is none that can be trusted.
    pub(super) async fn share(self, ready: Ready, data: &Path, open_stores: usize) -> Result<Ready, Failure> {
        let settings = self.account.settings()?;
        let account = Account::new(&settings).map_err(|error| Failure::arguments(error.to_string()))?;
        try_out(&account).await?;
        let account = Arc::new(account);
        let host = host(data)?;
        let media = Arc::new(move |store| Arc::new(AzureMedium::new(account.clone(), store)) as Arc<_>);
        let config = SharedConfig {
            open_stores,
            ..SharedConfig::new(host)
        };
        let bookmarks = data.join("bookmarks");
        ready.shared(|engine| Ok(SharedStores::new(config, engine, bookmarks, media)?))
    }
}

/// Makes sure that the account does what is relied on.
async fn try_out(account: &Account) -> Result<(), Failure> {
    let began = std::time::Instant::now();
    loop {
        match account.probe().await {
            Ok(()) => return Ok(()),
            Err(ProbeError::Call(error)) if began.elapsed() < TRIED_FOR => {
                tracing::warn!(%error, "the storage account does not answer yet");
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(Failure::new(format!("the storage account cannot be used: {error}"))),
        }
    }
}

/// The name of this host, the same at each start: it stands in the folder.
fn host(data: &Path) -> Result<Uuid, Failure> {
    let path = data.join("host");
    match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|_| {
            Failure::new(format!(
                "{} holds no name of a host; remove it, and a new one is made",
                path.display()
            ))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let host = Uuid::new_v4();
            let temporary = path.with_extension("new");
            std::fs::write(&temporary, format!("{host}\n"))?;
            std::fs::rename(&temporary, &path)?;
            Ok(host)
        }
        Err(error) => Err(Failure::from(error).during(format!("cannot read {}", path.display()))),
    }
}
