//! Where an account's services are.

use azure_core::http::Url;

use super::settings_error::SettingsError;

/// Whether a connection may go without TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Plaintext {
    /// Never: keys and entries could be read on the way.
    #[default]
    Refused,
    /// To an emulator of the storage, which holds nothing that matters.
    ToEmulator,
}

/// The addresses of an account's two services, without a secret in them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoints {
    /// The account's name.
    pub account: String,
    /// Its blobs.
    pub blobs: Url,
    /// Its tables.
    pub tables: Url,
}

/// The account and ports of an emulator as it starts by default, which everybody knows.
const EMULATOR: (&str, &str, &str) = (
    "devstoreaccount1",
    "http://127.0.0.1:10000/devstoreaccount1",
    "http://127.0.0.1:10002/devstoreaccount1",
);

impl Endpoints {
    /// The endpoints of an account in a cloud: `https://ACCOUNT.blob.SUFFIX` and `https://ACCOUNT.table.SUFFIX`.
    ///
    /// # Errors
    /// [`SettingsError`] for a name that no account has.
    pub fn of_account(account: &str, scheme: &str, suffix: &str) -> Result<Self, SettingsError> {
        let is_name =
            (3..=24).contains(&account.len()) && account.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !is_name {
            return Err(SettingsError::Account);
        }
        let of = |service: &'static str| endpoint(service, &format!("{scheme}://{account}.{service}.{suffix}"));
        Ok(Self {
            account: account.to_owned(),
            blobs: of("blob")?,
            tables: of("table")?,
        })
    }

    /// The endpoints of an account whose address for blobs is given: `https://ACCOUNT.blob.core.windows.net`.
    ///
    /// # Errors
    /// [`SettingsError`] if it is no such address.
    pub fn of_blobs(address: &str) -> Result<Self, SettingsError> {
        let blobs = endpoint("blob", address)?;
        let host = blobs.host_str().unwrap_or_default();
        let (account, suffix) = host
            .split_once(".blob.")
            .ok_or(SettingsError::Endpoint("blob", "its host is not ACCOUNT.blob.…"))?;
        if blobs.path() != "/" || blobs.port().is_some() {
            return Err(SettingsError::Endpoint("blob", "it has a path or a port"));
        }
        Self::of_account(account, blobs.scheme(), suffix)
    }

    /// Those of an emulator on this machine, at the ports it has by default.
    ///
    /// # Errors
    /// Never: the addresses are right.
    pub fn of_emulator() -> Result<Self, SettingsError> {
        let (account, blobs, tables) = EMULATOR;
        Ok(Self {
            account: account.to_owned(),
            blobs: endpoint("blob", blobs)?,
            tables: endpoint("table", tables)?,
        })
    }

    /// Refuses to go without TLS, unless to an emulator.
    ///
    /// # Errors
    /// [`SettingsError::Plaintext`].
    pub fn check(&self, plaintext: Plaintext) -> Result<(), SettingsError> {
        for (service, url) in [("blob", &self.blobs), ("table", &self.tables)] {
            if url.scheme() != "https" && plaintext == Plaintext::Refused {
                return Err(SettingsError::Plaintext(service));
            }
        }
        Ok(())
    }
}

/// Reads the address of a service.
///
/// # Errors
/// [`SettingsError::Endpoint`]; it does not tell the address, which may have a signature in it.
pub fn endpoint(service: &'static str, address: &str) -> Result<Url, SettingsError> {
    let wrong = |why| SettingsError::Endpoint(service, why);
    let url: Url = address.trim().parse().map_err(|_| wrong("it is no URL"))?;
    if !["https", "http"].contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("it does not begin with https:// and a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it has a user in it"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it has something behind a `?` or `#`"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_an_account_stand_beside_its_blobs() {
        let found = Endpoints::of_blobs("https://orders1.blob.core.windows.net/").unwrap();
        assert_eq!(found.account, "orders1");
        assert_eq!(found.tables.as_str(), "https://orders1.table.core.windows.net/");
        let found = Endpoints::of_account("orders1", "https", "core.chinacloudapi.cn").unwrap();
        assert_eq!(found.blobs.as_str(), "https://orders1.blob.core.chinacloudapi.cn/");
    }

    #[test]
    fn what_is_no_address_of_an_account_is_refused() {
        for address in [
            "",
            "orders1",
            "ftp://orders1.blob.core.windows.net",
            "https://orders1.file.core.windows.net",
            "https://me:pw@orders1.blob.core.windows.net",
            "https://orders1.blob.core.windows.net/container",
            "https://orders1.blob.core.windows.net:444",
            "https://orders1.blob.core.windows.net?sig=abc",
            "https://UPPER-CASE.blob.core.windows.net",
            "https://a.blob.core.windows.net",
        ] {
            assert!(Endpoints::of_blobs(address).is_err(), "{address}");
        }
    }

    #[test]
    fn without_tls_only_an_emulator_is_reached() {
        let emulator = Endpoints::of_emulator().unwrap();
        assert!(emulator.check(Plaintext::Refused).is_err());
        assert!(emulator.check(Plaintext::ToEmulator).is_ok());
        let plain = Endpoints::of_blobs("http://orders1.blob.core.windows.net").unwrap();
        let error = plain.check(Plaintext::Refused).unwrap_err().to_string();
        assert!(error.contains("https"), "{error}");
    }
}
