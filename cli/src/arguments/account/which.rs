//! Which account, and what opens it. A command with one account has these options as they are, one with two ends has them for each.

use std::path::PathBuf;

use streamkit_azure::account::{
    AccountKey, AccountSettings, Credential, Endpoints, Identity, Sas, Secret, SettingsError,
};

use super::{CredentialKind, wrong};
use crate::failure::Failure;

/// Most bytes of a file with a secret.
const SECRET_MAX: u64 = 64 << 10;

/// Which account. None of what it holds is shown.
pub(crate) struct Which {
    /// What stands before the name of each option, behind the hyphens.
    prefix: &'static str,
    /// The variable with a connection string that counts where nothing names an account.
    variable: &'static str,
    account: Option<String>,
    credential: Option<CredentialKind>,
    secret_file: Option<PathBuf>,
    client_id: Option<String>,
    connection_string: Option<String>,
    table: String,
    container: String,
}

/// The options, with something before their names and within those of their variables.
// Of attributes in a macro the formatter makes something else each time.
#[rustfmt::skip]
macro_rules! options_of_an_account {
    ($name:ident, $heading:literal, ($prefix:literal, $id:literal, $variable:literal), $connection:literal, hide_env: $hides:literal) => {
        #[derive(clap::Args, Clone)]
        #[command(next_help_heading = $heading)]
        pub(crate) struct $name {
            #[arg(
                id = concat!($id, "azure_account"),
                long = concat!($prefix, "azure-account"),
                help = "Its name, or https://NAME.blob.core.windows.net",
                value_name = "ACCOUNT",
                env = concat!("STREAMKIT_", $variable, "AZURE_ACCOUNT"),
                hide_env = $hides,
                hide_env_values = true
            )]
            account: Option<String>,
            /// What opens it, if it is no connection string
            #[arg(
                id = concat!($id, "azure_credential"),
                long = concat!($prefix, "azure-credential"),
                value_name = "KIND",
                env = concat!("STREAMKIT_", $variable, "AZURE_CREDENTIAL"),
                hide_env = $hides,
                requires = concat!($id, "azure_account")
            )]
            credential: Option<CredentialKind>,
            /// File with the key, or with the signature
            #[arg(
                id = concat!($id, "azure_secret_file"),
                long = concat!($prefix, "azure-secret-file"),
                value_name = "FILE",
                env = concat!("STREAMKIT_", $variable, "AZURE_SECRET_FILE"),
                hide_env = $hides
            )]
            secret_file: Option<PathBuf>,
            /// Client id of an identity that a user assigned
            #[arg(
                id = concat!($id, "azure_client_id"),
                long = concat!($prefix, "azure-client-id"),
                value_name = "ID",
                env = concat!("STREAMKIT_", $variable, "AZURE_CLIENT_ID"),
                hide_env = $hides
            )]
            client_id: Option<String>,
            #[arg(
                id = concat!($id, "azure_connection_string"),
                long = concat!($prefix, "azure-connection-string"),
                help = concat!("Connection string; better in ", $connection),
                value_name = "TEXT",
                env = concat!("STREAMKIT_", $variable, "AZURE_CONNECTION_STRING"),
                hide_env = $hides,
                hide_env_values = true,
                conflicts_with = concat!($id, "azure_account")
            )]
            connection_string: Option<String>,
            /// Table for the tails of logs
            #[arg(
                id = concat!($id, "azure_table"),
                long = concat!($prefix, "azure-table"),
                value_name = "NAME",
                env = concat!("STREAMKIT_", $variable, "AZURE_TABLE"),
                hide_env = $hides,
                default_value = "streamkit"
            )]
            table: String,
            /// Container for their history
            #[arg(
                id = concat!($id, "azure_container"),
                long = concat!($prefix, "azure-container"),
                value_name = "NAME",
                env = concat!("STREAMKIT_", $variable, "AZURE_CONTAINER"),
                hide_env = $hides,
                default_value = "streamkit"
            )]
            container: String,
        }

        impl $name {
            /// Whether they name an account.
            pub(crate) fn names_one(&self) -> bool {
                self.account.is_some() || self.connection_string.is_some()
            }
        }

        impl From<$name> for Which {
            fn from(options: $name) -> Self {
                Self {
                    prefix: $prefix,
                    variable: $connection,
                    account: options.account,
                    credential: options.credential,
                    secret_file: options.secret_file,
                    client_id: options.client_id,
                    connection_string: options.connection_string,
                    table: options.table,
                    container: options.container,
                }
            }
        }
    };
}

// Its variable for a connection string is that of other programs, beside the one of its option.
options_of_an_account!(OneAccount, "Storage account", ("", "", ""), "AZURE_STORAGE_CONNECTION_STRING", hide_env: false);
options_of_an_account!(FromAccount, "Source in a storage account", ("from-", "from_", "FROM_"), "STREAMKIT_FROM_AZURE_CONNECTION_STRING", hide_env: true);
options_of_an_account!(ToAccount, "Target in a storage account", ("to-", "to_", "TO_"), "STREAMKIT_TO_AZURE_CONNECTION_STRING", hide_env: true);

impl Which {
    /// The account, with defaults for how it is spoken with.
    ///
    /// # Errors
    /// What is wrong with the options; nothing secret is told.
    pub(super) fn settings(self) -> Result<AccountSettings, Failure> {
        let mut settings = match &self.account {
            Some(account) => self.of_account(account)?,
            None => AccountSettings::from_connection_string(&self.connection_string()?).map_err(wrong)?,
        };
        settings.table = self.table;
        settings.container = self.container;
        Ok(settings)
    }

    fn connection_string(&self) -> Result<Secret, Failure> {
        let of_others = || std::env::var(self.variable).ok();
        let text = self.connection_string.clone().or_else(of_others);
        text.filter(|text| !text.trim().is_empty())
            .map(Secret::new)
            .ok_or_else(|| {
                let Self { prefix, variable, .. } = self;
                Failure::arguments(format!(
                    "no storage account is named; set {variable}, or name one with --{prefix}azure-account and \
                     --{prefix}azure-credential"
                ))
            })
    }

    fn of_account(&self, account: &str) -> Result<AccountSettings, Failure> {
        let credential = self.credential.map(|kind| self.credential(kind)).transpose()?;
        let settings = match (account.contains("://"), credential) {
            (true, credential) => AccountSettings::from_address(&Secret::new(account.to_owned()), credential),
            (false, None) => Err(SettingsError::NoCredential),
            (false, Some(credential)) => Endpoints::of_account(account, "https", "core.windows.net")
                .map(|endpoints| AccountSettings::new(endpoints, credential)),
        };
        let Self { prefix, variable, .. } = self;
        settings.map_err(|error| match error {
            SettingsError::NoCredential => Failure::arguments(format!(
                "nothing opens the account; give --{prefix}azure-credential managed, workload or cli, or key or sas with \
                 --{prefix}azure-secret-file; or, in place of a name, its address with a signature behind a `?`, or a connection string in \
                 {variable}"
            )),
            error => wrong(error),
        })
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
                client_id: self.client_id.clone(),
            },
            CredentialKind::Workload => Identity::Workload,
            CredentialKind::Cli => Identity::Cli,
        };
        Credential::of_identity(&identity).map_err(wrong)
    }

    fn secret(&self) -> Result<Secret, Failure> {
        let option = format!("--{}azure-secret-file", self.prefix);
        let path = self
            .secret_file
            .as_ref()
            .ok_or_else(|| Failure::arguments(format!("a key or signature stands in a file; name it with {option}")))?;
        let told = |why: &dyn std::fmt::Display| Failure::arguments(format!("{option} {}: {why}", path.display()));
        let found = std::fs::metadata(path).map_err(|error| told(&error))?;
        if !found.is_file() || found.len() > SECRET_MAX {
            return Err(told(&"it is no file with a key or signature in it"));
        }
        let text = std::fs::read_to_string(path).map_err(|error| told(&error))?;
        Ok(Secret::new(text.trim().to_owned()))
    }
}
