//! Which Azure storage account, and what opens it: the options of all that work with one.

use std::path::PathBuf;

use streamkit_azure::account::{
    AccountKey, AccountSettings, Credential, Endpoints, Identity, Plaintext, Sas, Secret, SettingsError,
};

use super::some_time;
use crate::failure::Failure;

/// The variable in which other programs keep a connection string.
const CONNECTION_STRING: &str = "AZURE_STORAGE_CONNECTION_STRING";
/// Most bytes of a file with a secret.
const SECRET_MAX: u64 = 64 << 10;

/// Whether a value of an option opens an account for whoever sees it.
pub(crate) fn opens_an_account(option: &str, value: &str) -> bool {
    match option {
        "azure-connection-string" => true,
        // An address with a signature.
        "azure-account" => value.contains('?'),
        _ => false,
    }
}

/// The options. None of what they hold is shown.
#[derive(clap::Args)]
#[command(next_help_heading = "Storage account")]
pub(crate) struct AccountOptions {
    #[arg(
        long,
        help = "Its name, or https://NAME.blob.core.windows.net",
        value_name = "ACCOUNT",
        env = "STREAMKIT_AZURE_ACCOUNT",
        hide_env_values = true
    )]
    azure_account: Option<String>,
    /// What opens it, if it is no connection string
    #[arg(
        long,
        value_name = "KIND",
        env = "STREAMKIT_AZURE_CREDENTIAL",
        requires = "azure_account"
    )]
    azure_credential: Option<CredentialKind>,
    /// File with the key, or with the signature
    #[arg(long, value_name = "FILE", env = "STREAMKIT_AZURE_SECRET_FILE")]
    azure_secret_file: Option<PathBuf>,
    /// Client id of an identity that a user assigned
    #[arg(long, value_name = "ID", env = "STREAMKIT_AZURE_CLIENT_ID")]
    azure_client_id: Option<String>,
    /// Connection string; better in AZURE_STORAGE_CONNECTION_STRING
    #[arg(
        long,
        value_name = "TEXT",
        env = "STREAMKIT_AZURE_CONNECTION_STRING",
        hide_env_values = true,
        conflicts_with = "azure_account"
    )]
    azure_connection_string: Option<String>,
    /// Table for the tails of logs
    #[arg(
        long,
        value_name = "NAME",
        env = "STREAMKIT_AZURE_TABLE",
        default_value = "streamkit"
    )]
    azure_table: String,
    /// Container for their history
    #[arg(
        long,
        value_name = "NAME",
        env = "STREAMKIT_AZURE_CONTAINER",
        default_value = "streamkit"
    )]
    azure_container: String,
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
enum CredentialKind {
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
        self.azure_account.is_some() || self.azure_connection_string.is_some()
    }

    /// The settings that they make.
    ///
    /// # Errors
    /// What is wrong with them; nothing secret is told.
    pub(crate) fn settings(self) -> Result<AccountSettings, Failure> {
        let trusted = self.azure_ca_cert.as_ref().map(|path| {
            std::fs::read(path)
                .map_err(|error| Failure::arguments(format!("--azure-ca-cert {}: {error}", path.display())))
        });
        let mut settings = match &self.azure_account {
            Some(account) => self.of_account(account)?,
            None => AccountSettings::from_connection_string(&self.connection_string()?).map_err(wrong)?,
        };
        settings.trusted = trusted.transpose()?;
        settings.table = self.azure_table;
        settings.container = self.azure_container;
        settings.table_deadline = self.azure_table_deadline.into();
        settings.blob_deadline = self.azure_blob_deadline.into();
        if self.azure_allow_http {
            settings.plaintext = Plaintext::ToEmulator;
        }
        settings.check().map_err(wrong)?;
        Ok(settings)
    }

    fn connection_string(&self) -> Result<Secret, Failure> {
        let of_others = || std::env::var(CONNECTION_STRING).ok();
        let text = self.azure_connection_string.clone().or_else(of_others);
        text.filter(|text| !text.trim().is_empty())
            .map(Secret::new)
            .ok_or_else(|| {
                Failure::arguments(format!(
                    "no storage account is named; set {CONNECTION_STRING}, or name one with --azure-account and \
                 --azure-credential"
                ))
            })
    }

    fn of_account(&self, account: &str) -> Result<AccountSettings, Failure> {
        let credential = self.azure_credential.map(|kind| self.credential(kind)).transpose()?;
        if account.contains("://") {
            return AccountSettings::from_address(&Secret::new(account.to_owned()), credential).map_err(wrong);
        }
        let endpoints = Endpoints::of_account(account, "https", "core.windows.net").map_err(wrong)?;
        let credential = credential.ok_or_else(|| wrong(SettingsError::NoCredential))?;
        Ok(AccountSettings::new(endpoints, credential))
    }

    fn credential(&self, kind: CredentialKind) -> Result<Credential, Failure> {
        let identity = match kind {
            CredentialKind::Key => {
                return self
                    .secret()
                    .and_then(|text| AccountKey::new(&text).map_err(wrong))
                    .map(Credential::Key);
            }
            CredentialKind::Sas => {
                return self
                    .secret()
                    .and_then(|text| Sas::new(text).map_err(wrong))
                    .map(Credential::Sas);
            }
            CredentialKind::Managed => Identity::Managed {
                client_id: self.azure_client_id.clone(),
            },
            CredentialKind::Workload => Identity::Workload,
            CredentialKind::Cli => Identity::Cli,
        };
        Credential::of_identity(&identity).map_err(wrong)
    }

    fn secret(&self) -> Result<Secret, Failure> {
        let path = self.azure_secret_file.as_ref().ok_or_else(|| {
            Failure::arguments("a key or signature stands in a file; name it with --azure-secret-file")
        })?;
        let told =
            |why: &dyn std::fmt::Display| Failure::arguments(format!("--azure-secret-file {}: {why}", path.display()));
        let found = std::fs::metadata(path).map_err(|error| told(&error))?;
        if !found.is_file() || found.len() > SECRET_MAX {
            return Err(told(&"it is no file with a key or signature in it"));
        }
        let text = std::fs::read_to_string(path).map_err(|error| told(&error))?;
        Ok(Secret::new(text.trim().to_owned()))
    }
}

fn wrong(error: SettingsError) -> Failure {
    Failure::arguments(match error {
        SettingsError::NoCredential => format!(
            "nothing opens the account; give --azure-credential managed, workload or cli, or key or sas with --azure-secret-file; or, in \
             place of a name, its address with a signature behind a `?`, or a connection string in {CONNECTION_STRING}"
        ),
        error => error.to_string(),
    })
}
