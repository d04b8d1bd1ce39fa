//! Which Azure storage account, and what opens it: the options of all that work with one.

mod which;

use std::path::PathBuf;

use streamkit_azure::account::{AccountSettings, Plaintext, SettingsError};
pub(crate) use which::{FromAccount, ToAccount, Which};

use self::which::OneAccount;
use super::some_time;
use crate::failure::Failure;

/// Whether a value of an option opens an account for whoever sees it.
pub(crate) fn opens_an_account(option: &str, value: &str) -> bool {
    match option {
        "azure-connection-string" => true,
        // An address with a signature.
        "azure-account" => value.contains('?'),
        _ => false,
    }
}

/// The options of one account. None of what they hold is shown.
#[derive(clap::Args)]
pub(crate) struct AccountOptions {
    #[command(flatten)]
    which: OneAccount,
    #[command(flatten)]
    calls: CallOptions,
}

/// How accounts are spoken with.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Storage account")]
pub(crate) struct CallOptions {
    /// Allow http without TLS, which is for an emulator
    #[arg(long, env = "STREAMKIT_AZURE_ALLOW_HTTP")]
    azure_allow_http: bool,
    /// Authorities to trust beside those of this machine, PEM
    #[arg(long, value_name = "FILE", env = "STREAMKIT_AZURE_CA_CERT")]
    azure_ca_cert: Option<PathBuf>,
    /// Time for a call on the table
    #[arg(long, value_name = "TIME", value_parser = some_time, default_value = "2s", env = "STREAMKIT_AZURE_TABLE_DEADLINE")]
    azure_table_deadline: humantime::Duration,
    /// Time for a piece of a blob
    #[arg(long, value_name = "TIME", value_parser = some_time, default_value = "30s", env = "STREAMKIT_AZURE_BLOB_DEADLINE")]
    azure_blob_deadline: humantime::Duration,
}

/// What opens an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum CredentialKind {
    /// Its key
    Key,
    /// A shared access signature
    Sas,
    /// The identity of this machine
    Managed,
    /// The identity of this pod
    Workload,
    /// Whoever has logged in with az
    Cli,
}

impl AccountOptions {
    /// Whether they name an account.
    pub(crate) fn names_one(&self) -> bool {
        self.which.names_one()
    }

    /// The settings that they make.
    ///
    /// # Errors
    /// What is wrong with them; nothing secret is told.
    pub(crate) fn settings(self) -> Result<AccountSettings, Failure> {
        self.calls.settings(self.which.into())
    }
}

impl CallOptions {
    /// The settings of an account that is spoken with so.
    ///
    /// # Errors
    /// What is wrong with the options; nothing secret is told.
    pub(crate) fn settings(&self, which: Which) -> Result<AccountSettings, Failure> {
        let trusted = self.azure_ca_cert.as_ref().map(|path| {
            std::fs::read(path)
                .map_err(|error| Failure::arguments(format!("--azure-ca-cert {}: {error}", path.display())))
        });
        let mut settings = which.settings()?;
        settings.trusted = trusted.transpose()?;
        settings.table_deadline = self.azure_table_deadline.into();
        settings.blob_deadline = self.azure_blob_deadline.into();
        if self.azure_allow_http {
            settings.plaintext = Plaintext::ToEmulator;
        }
        settings.check().map_err(wrong)?;
        Ok(settings)
    }
}

fn wrong(error: SettingsError) -> Failure {
    Failure::arguments(error.to_string())
}
