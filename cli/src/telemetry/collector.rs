//! The way to a collector: OTLP over HTTP, as protobuf.

use std::fmt;

use prost::Message;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, StatusCode, redirect};

use super::settings::Target;

/// Bytes of an answer that are read, so that the connection can be used again. Nothing in them matters.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Where things are sent.
pub(super) struct Collector {
    client: Client,
    url: String,
}

/// Why something was not taken.
#[derive(Debug)]
pub(super) enum NotTaken {
    Refused(StatusCode),
    Failed(reqwest::Error),
}

impl fmt::Display for NotTaken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(status) => write!(out, "the collector answers {status}"),
            Self::Failed(error) => {
                write!(out, "{error}")?;
                let mut source = std::error::Error::source(error);
                while let Some(cause) = source {
                    write!(out, ": {cause}")?;
                    source = cause.source();
                }
                Ok(())
            }
        }
    }
}

impl From<reqwest::Error> for NotTaken {
    fn from(error: reqwest::Error) -> Self {
        // An address may hold a password.
        Self::Failed(error.without_url())
    }
}

impl Collector {
    pub(super) fn new(target: &Target) -> Result<Self, NotTaken> {
        let mut headers = HeaderMap::new();
        for (name, value) in &target.headers {
            let (name, value) = (HeaderName::try_from(name), HeaderValue::try_from(value));
            let (Ok(name), Ok(mut value)) = (name, value) else {
                tracing::warn!("OTEL_EXPORTER_OTLP_HEADERS has a header that is none: it is left out");
                continue;
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        headers.insert("content-type", HeaderValue::from_static("application/x-protobuf"));
        let client = Client::builder()
            .default_headers(headers)
            .timeout(target.timeout)
            .redirect(redirect::Policy::none());
        let client = match target.url.starts_with("https:") {
            true => client,
            // A host without certificates of its own can do without.
            false => client.tls_certs_only([]),
        };
        Ok(Self {
            client: client.build()?,
            url: target.url.clone(),
        })
    }

    /// Sends something, within the target's timeout.
    pub(super) async fn send(&self, message: &impl Message) -> Result<(), NotTaken> {
        let mut answer = self.client.post(&self.url).body(message.encode_to_vec()).send().await?;
        if !answer.status().is_success() {
            return Err(NotTaken::Refused(answer.status()));
        }
        let mut left = ANSWER_BYTES_MAX;
        while let Ok(Some(bytes)) = answer.chunk().await
            && bytes.len() <= left
        {
            left -= bytes.len();
        }
        Ok(())
    }
}
