//! Which account, with what credential: read from what an operator writes.

use std::time::Duration;

use super::connection_string::parts;
use super::credential::Credential;
use super::endpoints::{Endpoints, Plaintext, endpoint};
use super::key::AccountKey;
use super::sas::Sas;
use super::secret::Secret;
use super::settings_error::SettingsError;

/// The name of the table, and of the container, if nothing else is said.
const NAME: &str = "streamkit";

/// Which account to use, and how.
#[derive(Clone, Debug)]
pub struct AccountSettings {
    /// Where it is.
    pub endpoints: Endpoints,
    /// What opens it.
    pub credential: Credential,
    /// Whether connections may go without TLS.
    pub plaintext: Plaintext,
    /// The table that holds the logs' tails: 3 to 63 letters and digits, the first one a letter.
    pub table: String,
    /// The container that holds their history: 3 to 63 lowercase letters, digits and single hyphens.
    pub container: String,
    /// How long a call on the table may take. Behind it the outcome is unknown.
    pub table_deadline: Duration,
    /// The same of a call on a blob, of which each moves at most 4 MiB.
    pub blob_deadline: Duration,
    /// Certificates (PEM) to trust beside those that this machine trusts.
    pub trusted: Option<Vec<u8>>,
}

impl AccountSettings {
    /// An account and what opens it, with defaults for everything else.
    pub fn new(endpoints: Endpoints, credential: Credential) -> Self {
        Self {
            endpoints,
            credential,
            plaintext: Plaintext::Refused,
            table: NAME.to_owned(),
            container: NAME.to_owned(),
            table_deadline: Duration::from_secs(2),
            blob_deadline: Duration::from_secs(30),
            trusted: None,
        }
    }

    /// What a connection string says. It may hold an account key or a shared access signature.
    ///
    /// # Errors
    /// [`SettingsError`] if it is none; nothing of it is told.
    pub fn from_connection_string(text: &Secret) -> Result<Self, SettingsError> {
        let parts = parts(text)?;
        if parts.is_emulator {
            let key = AccountKey::new(&Secret::new(EMULATOR_KEY.to_owned()))?;
            return Ok(Self::new(Endpoints::of_emulator()?, Credential::Key(key)));
        }
        let credential = match (parts.key, parts.sas) {
            (Some(_), Some(_)) => return Err(SettingsError::TwoCredentials),
            (Some(key), None) => Credential::Key(AccountKey::new(&key)?),
            (None, Some(sas)) => Credential::Sas(Sas::new(sas)?),
            (None, None) => return Err(SettingsError::Missing("AccountKey or SharedAccessSignature")),
        };
        let endpoints = match (parts.blobs, parts.tables) {
            (Some(blobs), Some(tables)) => {
                let is_key = matches!(credential, Credential::Key(_));
                let account = parts.account.filter(|account| !account.is_empty());
                Endpoints {
                    // Only a key signs it.
                    account: match (account, is_key) {
                        (None, true) => return Err(SettingsError::Missing("AccountName")),
                        (account, _) => account.unwrap_or_default(),
                    },
                    blobs: endpoint("blob", &blobs)?,
                    tables: endpoint("table", &tables)?,
                }
            }
            (Some(blobs), None) => Endpoints::of_blobs(&blobs)?,
            (None, Some(_)) => return Err(SettingsError::Missing("BlobEndpoint")),
            (None, None) => Endpoints::of_account(
                &parts.account.ok_or(SettingsError::Missing("AccountName"))?,
                parts.scheme.as_deref().unwrap_or("https"),
                parts.suffix.as_deref().unwrap_or("core.windows.net"),
            )?,
        };
        Ok(Self::new(endpoints, credential))
    }

    /// What the address of an account's blobs says, `https://ACCOUNT.blob.core.windows.net`, with a shared access signature behind a `?` or
    /// another credential.
    ///
    /// # Errors
    /// [`SettingsError`] if it is none; nothing of it is told.
    pub fn from_address(text: &Secret, credential: Option<Credential>) -> Result<Self, SettingsError> {
        let (address, query) = text.expose().trim().split_once('?').unwrap_or((text.expose(), ""));
        let endpoints = Endpoints::of_blobs(address)?;
        let sas = match query {
            "" => None,
            query => Some(Credential::Sas(Sas::new(Secret::new(query.to_owned()))?)),
        };
        match (sas, credential) {
            (Some(_), Some(_)) => Err(SettingsError::TwoCredentials),
            (Some(credential), None) | (None, Some(credential)) => Ok(Self::new(endpoints, credential)),
            (None, None) => Err(SettingsError::NoCredential),
        }
    }

    /// Whether these settings can be used at all, without asking the account.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn check(&self) -> Result<(), SettingsError> {
        self.endpoints.check(self.plaintext)?;
        if self.credential.is_token() {
            for (service, url) in [("blob", &self.endpoints.blobs), ("table", &self.endpoints.tables)] {
                if url.scheme() != "https" {
                    return Err(SettingsError::PlaintextToken(service));
                }
            }
        }
        let name = |what, name: &str, rule| SettingsError::Name {
            what,
            name: name.chars().take(80).collect(),
            rule,
        };
        let table = self.table.as_bytes();
        let is_table = (3..=63).contains(&table.len())
            && table[0].is_ascii_alphabetic()
            && table.iter().all(u8::is_ascii_alphanumeric)
            && !self.table.eq_ignore_ascii_case("tables");
        if !is_table {
            let rule = "it has 3 to 63 letters and digits, and begins with a letter";
            return Err(name("table", &self.table, rule));
        }
        let container = &self.container;
        let is_container = (3..=63).contains(&container.len())
            && container
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !container.starts_with('-')
            && !container.ends_with('-')
            && !container.contains("--");
        match is_container {
            true => Ok(()),
            false => {
                let rule = "it has 3 to 63 lowercase letters and digits, with single hyphens between them";
                Err(name("container", container, rule))
            }
        }
    }
}

/// The key of every emulator, which its documentation publishes: it opens nothing else.
const EMULATOR_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA==";

    fn read(text: &str) -> Result<AccountSettings, SettingsError> {
        AccountSettings::from_connection_string(&Secret::new(text.to_owned()))
    }

    #[test]
    fn settings_are_read_from_a_connection_string() {
        let found = read(&format!("AccountName=orders1;AccountKey={KEY}")).unwrap();
        assert_eq!(
            found.endpoints.tables.as_str(),
            "https://orders1.table.core.windows.net/"
        );
        assert!(matches!(found.credential, Credential::Key(_)));
        found.check().unwrap();
        let shown = format!("{found:?}");
        assert!(!shown.contains("c2Vjc"), "{shown}");

        let found = read("UseDevelopmentStorage=true").unwrap();
        assert!(matches!(found.check(), Err(SettingsError::Plaintext(_))));
        let allowed = AccountSettings {
            plaintext: Plaintext::ToEmulator,
            ..found
        };
        allowed.check().unwrap();

        let found = read(
            "BlobEndpoint=https://a.example;TableEndpoint=https://b.example;SharedAccessSignature=?sv=1&sig=s3cr3t",
        );
        let shown = format!("{:?}", found.unwrap());
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }

    #[test]
    fn what_is_missing_or_doubled_is_said() {
        for (text, said) in [
            ("".to_owned(), "AccountKey"),
            ("AccountName=orders1".to_owned(), "AccountKey"),
            (format!("AccountKey={KEY}"), "AccountName"),
            (format!("AccountKey={KEY};SharedAccessSignature=sig=s"), "more than one"),
            (
                format!("AccountKey={KEY};TableEndpoint=https://a.example"),
                "BlobEndpoint",
            ),
            (
                format!("AccountKey={KEY};BlobEndpoint=https://a.example;TableEndpoint=https://a.example"),
                "AccountName",
            ),
            (format!("AccountName=Orders_1;AccountKey={KEY}"), "name"),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("c2Vjc"), "{text}: {error}");
        }
    }

    #[test]
    fn settings_are_read_from_an_address() {
        let of = |text: &str, has_key: bool| {
            let key = || Credential::Key(AccountKey::new(&Secret::new(KEY.to_owned())).unwrap());
            AccountSettings::from_address(&Secret::new(text.to_owned()), has_key.then(key))
        };
        let plain = "https://orders1.blob.core.windows.net";
        let signed = "https://orders1.blob.core.windows.net/?sv=1&sig=s3cr3t";
        let found = of(signed, false).unwrap();
        assert_eq!(
            found.endpoints.tables.as_str(),
            "https://orders1.table.core.windows.net/"
        );
        assert!(matches!(found.credential, Credential::Sas(_)));
        assert!(matches!(of(plain, true).unwrap().credential, Credential::Key(_)));
        assert_eq!(of(signed, true).unwrap_err(), SettingsError::TwoCredentials);
        assert_eq!(of(plain, false).unwrap_err(), SettingsError::NoCredential);
        for wrong in [
            "",
            "orders1?sig=s3cr3t",
            "https://orders1.blob.core.windows.net/c?sig=s3cr3t",
            "https://me:s3cr3t@a.blob.b",
        ] {
            let error = of(wrong, false).unwrap_err().to_string();
            assert!(!error.contains("s3cr3t"), "{error}");
        }
    }

    #[test]
    fn names_that_the_service_would_refuse_are_refused_here() {
        let good = read(&format!("AccountName=orders1;AccountKey={KEY}")).unwrap();
        for table in ["ab", "1abc", "a-b-c", "tables", "a_b", &"a".repeat(64)] {
            let settings = AccountSettings {
                table: table.to_owned(),
                ..good.clone()
            };
            assert!(
                matches!(settings.check(), Err(SettingsError::Name { what: "table", .. })),
                "{table}"
            );
        }
        for container in ["ab", "Abc", "-abc", "abc-", "a--b", "a_b", &"a".repeat(64)] {
            let settings = AccountSettings {
                container: container.to_owned(),
                ..good.clone()
            };
            assert!(
                matches!(settings.check(), Err(SettingsError::Name { what: "container", .. })),
                "{container}"
            );
        }
    }
}
