//! Connection strings, as the portal shows them: `name=value` parts between semicolons.

use super::secret::Secret;
use super::settings_error::SettingsError;

/// The parts that streamkit reads.
#[derive(Debug, Default)]
pub struct Parts {
    pub account: Option<String>,
    pub key: Option<Secret>,
    pub sas: Option<Secret>,
    pub scheme: Option<String>,
    pub suffix: Option<String>,
    pub blobs: Option<String>,
    pub tables: Option<String>,
    pub is_emulator: bool,
}

/// Parts that belong to services that streamkit does not use.
const OTHERS: &[&str] = &[
    "QueueEndpoint",
    "FileEndpoint",
    "DfsEndpoint",
    "WebEndpoint",
    "BlobSecondaryEndpoint",
    "TableSecondaryEndpoint",
];

/// Takes a connection string apart. No error tells what stands in it, since a part that is cut in the wrong place may be the key.
///
/// # Errors
/// [`SettingsError::ConnectionString`].
pub fn parts(text: &Secret) -> Result<Parts, SettingsError> {
    let mut parts = Parts::default();
    let wrong = |at: usize, why| SettingsError::ConnectionString { part: at + 1, why };
    for (at, part) in text.expose().split(';').enumerate() {
        let part = part.trim();
        if part.is_empty() {
            continue;
        }
        let (name, value) = part.split_once('=').ok_or(wrong(at, "it has no `=`"))?;
        let (name, value) = (name.trim(), value.trim());
        let place = match name {
            "AccountName" => &mut parts.account,
            "DefaultEndpointsProtocol" => &mut parts.scheme,
            "EndpointSuffix" => &mut parts.suffix,
            "BlobEndpoint" => &mut parts.blobs,
            "TableEndpoint" => &mut parts.tables,
            "AccountKey" | "SharedAccessSignature" => {
                let place = match name {
                    "AccountKey" => &mut parts.key,
                    _ => &mut parts.sas,
                };
                match place.replace(Secret::new(value.to_owned())) {
                    Some(_) => return Err(wrong(at, "its name was there before")),
                    None => continue,
                }
            }
            "UseDevelopmentStorage" if value == "true" => {
                parts.is_emulator = true;
                continue;
            }
            _ if OTHERS.contains(&name) => continue,
            _ => return Err(wrong(at, "its name is none that streamkit knows")),
        };
        if value.is_empty() {
            return Err(wrong(at, "nothing stands behind its `=`"));
        }
        if place.replace(value.to_owned()).is_some() {
            return Err(wrong(at, "its name was there before"));
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Parts, SettingsError> {
        parts(&Secret::new(text.to_owned()))
    }

    #[test]
    fn a_connection_string_of_the_portal_is_understood() {
        let found = read(
            "DefaultEndpointsProtocol=https;AccountName=orders1;AccountKey=a2V5==;EndpointSuffix=core.windows.net;",
        )
        .unwrap();
        assert_eq!(found.account.as_deref(), Some("orders1"));
        assert_eq!(found.key.unwrap().expose(), "a2V5==");
        assert_eq!(found.suffix.as_deref(), Some("core.windows.net"));
        let found = read(
            "BlobEndpoint=https://a.blob.core.windows.net/;QueueEndpoint=https://a.queue.core.windows.net/;\
             SharedAccessSignature=sv=2022&sig=x%3D",
        )
        .unwrap();
        assert_eq!(found.sas.unwrap().expose(), "sv=2022&sig=x%3D");
    }

    #[test]
    fn an_error_names_the_part_and_tells_nothing_of_it() {
        for (text, part) in [
            ("AccountName=orders1;c2VjcmV0", 2),
            ("c2VjcmV0==;AccountName=orders1", 1),
            ("AccountName=orders1;AccountName=c2VjcmV0", 2),
            ("AccountKey=c2VjcmV0;AccountKey=c2VjcmV0", 2),
            ("AccountName=;AccountKey=c2VjcmV0", 1),
            ("UseDevelopmentStorage=c2VjcmV0", 1),
        ] {
            let error = read(text).unwrap_err();
            assert!(
                matches!(error, SettingsError::ConnectionString { part: at, .. } if at == part),
                "{text}: {error}"
            );
            assert!(!error.to_string().contains("c2VjcmV0"), "{error}");
        }
    }
}
