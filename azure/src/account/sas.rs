//! Shared access signatures: they are added to each request, and stand in no URL that anybody shows.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Request};

use super::secret::Secret;
use super::settings_error::SettingsError;

/// A shared access signature for the tables and blobs of an account.
#[derive(Clone)]
pub struct Sas(Arc<Secret>);

impl Sas {
    /// Takes a signature, with or without the `?` before it.
    ///
    /// # Errors
    /// [`SettingsError::Sas`] if it is none; nothing of it is told.
    pub fn new(text: Secret) -> Result<Self, SettingsError> {
        let wrong = |why| Err(SettingsError::Sas(why));
        let query = text.expose().trim().trim_start_matches('?');
        if !query.bytes().all(|b| b.is_ascii_graphic() && b != b'#' && b != b'?') {
            return wrong("it has characters that no query has");
        }
        if !query.split('&').any(|pair| pair.starts_with("sig=") && pair.len() > 4) {
            return wrong("it has no `sig=`");
        }
        Ok(Self(Arc::new(Secret::new(query.to_owned()))))
    }
}

#[async_trait]
impl Policy for Sas {
    async fn send(&self, context: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        let before = request
            .url()
            .query()
            .filter(|query| !query.is_empty())
            .map(str::to_owned);
        let own = self.0.expose();
        let query = match &before {
            Some(query) => format!("{query}&{own}"),
            None => own.to_owned(),
        };
        request.url_mut().set_query(Some(&query));
        let answer = next[0].send(context, request, &next[1..]).await;
        // Whoever shows the request later does not show the signature.
        request.url_mut().set_query(before.as_deref());
        answer
    }
}

impl fmt::Debug for Sas {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Sas(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_signature_is_taken_and_it_is_not_shown() {
        let of = |text: &str| Sas::new(Secret::new(text.to_owned()));
        let sas = of("?sv=2022-11-02&sig=s3cr3t%3D").unwrap();
        assert_eq!(sas.0.expose(), "sv=2022-11-02&sig=s3cr3t%3D");
        assert_eq!(format!("{sas:?}"), "Sas(…)");
        for text in ["", "sv=2022", "sig=", "sig=a b", "sig=a#b", "sig=a\r\nx: y"] {
            let error = of(text).unwrap_err().to_string();
            assert!(["", "sig="].contains(&text) || !error.contains(text), "{error}");
        }
    }
}
