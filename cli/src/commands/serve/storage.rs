//! Where stores are: on a disk of this host, or in a storage account that several hosts share.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use streamkit_azure::account::{Account, CallError, ProbeError};
use streamkit_azure::archive::{self, Archiving};
use streamkit_azure::log::Settings;
use streamkit_azure::medium::azure::AzureMedium;
use streamkit_azure::medium::{Media, MediumMeter, MeteredMedium};
use streamkit_azure::store::{SharedConfig, SharedStores};
use streamkit_engine::EngineConfig;
use streamkit_hosts::host::HostId;
use streamkit_hosts::presence::TableRegister;
use streamkit_hosts::workers::{TableOfWorkers, Workers};
use streamkit_server_core::{Limits, MessageBus};
use uuid::Uuid;

use super::hosts::{HostOptions, LinkSettings};
use crate::arguments::account::AccountOptions;
use crate::arguments::{count, some_time};
use crate::failure::Failure;
use crate::output::note;
use crate::serving::{Ready, Served, Together, folder};
use crate::terminal::log as own_log;

/// How long an account is tried that does not answer.
const TRIED_FOR: Duration = Duration::from_secs(300);
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
    /// Bytes of history kept on this disk, of all stores
    #[arg(long, env = "STREAMKIT_CACHE_BYTES", hide_env = true, value_name = "BYTES", default_value_t = 16 << 30)]
    cache_bytes: u64,
    /// Time between two looks for history to archive
    #[arg(long, env = "STREAMKIT_ARCHIVE_PERIOD", hide_env = true, value_parser = some_time, value_name = "TIME", default_value = "1m")]
    archive_period: humantime::Duration,
    /// Groups of a log after which it is looked at whether to archive
    #[arg(long, env = "STREAMKIT_ARCHIVE_GROUPS", hide_env = true, value_name = "COUNT", value_parser = count, default_value_t = Archiving::default().groups as usize)]
    archive_groups: usize,
    /// Groups of a log that stand in the table before they become history
    #[arg(long, env = "STREAMKIT_EXTENT_GROUPS", hide_env = true, value_name = "COUNT", value_parser = count, default_value_t = Settings::default().extent_slots as usize)]
    extent_groups: usize,
    #[command(flatten)]
    account: AccountOptions,
    #[command(flatten)]
    hosts: HostOptions,
}

/// An account that was tried, and a host of it that does not serve yet.
pub(super) struct Reached {
    account: Arc<Account>,
    media: Media,
    meter: Arc<MediumMeter>,
    own: Uuid,
    bus: Arc<dyn MessageBus>,
    cache_bytes: u64,
    archiving: Archiving,
    log: Settings,
    hosts: Option<LinkSettings>,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    #[default]
    Local,
    Azure,
}

impl StorageOptions {
    /// Reaches the account, if that is where stores are. `data` is the folder of this host.
    ///
    /// # Errors
    /// The options are wrong, the folder holds other stores, or the account is none that can be trusted.
    pub(super) async fn reach(self, data: &Path) -> Result<Option<Reached>, Failure> {
        if self.storage == Kind::Local {
            let has_effect = !self.account.names_one() && !self.hosts.are_given();
            return match has_effect {
                true => Ok(None),
                false => Err(Failure::arguments(
                    "options of a storage account and of several hosts have no effect without it; add --storage azure",
                )),
            };
        }
        let settings = self.account.settings()?;
        let account = Account::new(&settings).map_err(|error| Failure::arguments(error.to_string()))?;
        folder::refuse_stores(data)?;
        let bus = self.hosts.bus()?;
        // What is wrong with a file is told at once, not when the account answers.
        let hosts = self.hosts.read()?;
        try_out(&account).await?;
        let account = Arc::new(account);
        let meter = Arc::<MediumMeter>::default();
        let of_media = (account.clone(), meter.clone());
        let medium = move |store| {
            let (account, meter) = of_media.clone();
            Arc::new(MeteredMedium::new(AzureMedium::new(account, store), meter)) as Arc<_>
        };
        Ok(Some(Reached {
            account,
            media: Arc::new(medium),
            meter,
            own: Uuid::new_v4(),
            bus,
            cache_bytes: self.cache_bytes,
            archiving: Archiving {
                period: self.archive_period.into(),
                groups: self.archive_groups as u64,
                ..Archiving::default()
            },
            log: Settings {
                extent_slots: self.extent_groups as u64,
                ..Settings::default()
            },
            hosts,
        }))
    }
}

impl Reached {
    /// What the engine needs that keeps the copies, in the folder of this host.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub(super) fn copies(&self, config: EngineConfig) -> Result<EngineConfig, Failure> {
        let config = EngineConfig {
            dir: folder::copies(&config.dir),
            // Some are closing while others open.
            open_stores: config.open_stores.saturating_add(64),
            ..config
        };
        Ok(archive::copies(config, self.media.clone(), self.cache_bytes)?)
    }

    /// Serves what stands in the account. `data` is the folder of this host.
    ///
    /// # Errors
    /// The options are wrong, or a place is taken.
    pub(super) async fn serve(
        self,
        ready: Ready,
        data: &Path,
        open_stores: usize,
        limits: Limits,
    ) -> Result<Ready, Failure> {
        let Self {
            account,
            media,
            meter,
            own,
            bus,
            archiving,
            log,
            hosts,
            ..
        } = self;
        let config = SharedConfig {
            open_stores,
            archive: Some(archiving),
            meter,
            log,
            ..SharedConfig::new(own)
        };
        let register = TableRegister::new(account.table().clone());
        let workers = Arc::new(Workers::new(TableOfWorkers::new(account.table().clone(), HostId(own))));
        let link = match hosts {
            Some(settings) => Some(settings.listen(own, register).await?),
            None => None,
        };
        let bookmarks = folder::bookmarks(data);
        ready.with(|engine| {
            let shared = SharedStores::new(config, engine.clone(), bookmarks, media)?;
            let direct = Arc::new(shared.clone());
            let together = link.map(|link| Together::begin(link, direct, limits, bus.clone()));
            Ok(Served::shared(engine, bus, workers, shared, together))
        })
    }
}

/// Makes sure that the account does what is relied on. One that does not answer yet is tried for a while, and whoever waits is told.
async fn try_out(account: &Account) -> Result<(), Failure> {
    let began = std::time::Instant::now();
    let mut is_told = false;
    loop {
        let error = match account.probe().await {
            Ok(()) => return Ok(()),
            Err(ProbeError::Call(error @ CallError::Denied(_))) => return Err(Failure::token(cannot_be_used(&error))),
            Err(ProbeError::Call(error)) if began.elapsed() < TRIED_FOR => error,
            Err(error) => return Err(Failure::new(cannot_be_used(&error))),
        };
        if !is_told {
            is_told = true;
            note(format_args!(
                "streamkit: the storage account does not answer yet; it is tried for {} s",
                TRIED_FOR.as_secs()
            ));
            // Nobody reads an address from what is said before it: the server is not up.
            own_log::release();
        }
        tracing::warn!(%error, "the storage account does not answer yet");
        tokio::time::sleep(PAUSE).await;
    }
}

fn cannot_be_used(error: &dyn std::fmt::Display) -> String {
    format!("the storage account cannot be used: {error}")
}
