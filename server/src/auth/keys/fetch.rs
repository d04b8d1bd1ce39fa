//! One fetch of a set of keys.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderValue, LOCATION};
use reqwest::{Client, StatusCode, Url, redirect};

use super::config::IssuerConfig;
use crate::auth::algorithm::Algorithm;
use crate::auth::key::{Key, KeyError, SET_BYTES_MAX, Trust, keys_of_set};

/// Where a set is, and how it is asked for.
pub(super) struct Source {
    client: Client,
    url: Url,
}

/// Why there is no set.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{}", causes(.0))]
    Http(reqwest::Error),
    #[error("it answers {0}")]
    Status(StatusCode),
    #[error("it sends elsewhere, to {0}: name that place if you trust it")]
    Elsewhere(String),
    #[error("its answer has more than {SET_BYTES_MAX} bytes")]
    TooLarge,
    #[error("its answer {0}")]
    Set(KeyError),
}

/// An error with what it is because of, and without the URL, in which a secret may stand.
fn causes(error: &reqwest::Error) -> String {
    let mut text = "it cannot be reached, or breaks off".to_owned();
    let mut cause = std::error::Error::source(error);
    if error.is_timeout() {
        "it does not answer in time".clone_into(&mut text);
    }
    while let Some(why) = cause {
        text.push_str(": ");
        text.push_str(&why.to_string());
        cause = why.source();
    }
    text
}

fn is_of_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// A URL for the log: without what may be a secret in it.
fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), url.path())
}

/// The place that a redirect from `url` names, for the log.
fn elsewhere(url: &Url, place: Option<&HeaderValue>) -> String {
    let place = place.and_then(|place| place.to_str().ok());
    let place = place.and_then(|place| url.join(place).ok());
    let place = place.map_or_else(|| "nowhere".to_owned(), |place| shown(&place));
    place.chars().filter(|c| !c.is_control()).take(200).collect()
}

impl Source {
    pub(super) fn new(config: &IssuerConfig) -> Result<Self, KeyError> {
        let refuse = |why: &'static str| KeyError::Unclear(why.into());
        let url: Url = config
            .url
            .parse()
            .map_err(|_| refuse("the address of the key set is no URL"))?;
        let is_local = is_of_this_machine(&url);
        match url.scheme() {
            "https" => {}
            "http" if is_local || config.plain => {}
            "http" => {
                return Err(refuse(
                    "the key set is to be fetched over http from another host: whoever is on the way could put in a key of their own",
                ));
            }
            _ => return Err(refuse("the address of the key set is no https URL")),
        }
        let mut client = Client::builder()
            .timeout(config.deadline)
            .redirect(redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .user_agent(concat!("streamkit/", env!("CARGO_PKG_VERSION")));
        if is_local {
            client = client.no_proxy();
        }
        let client = client
            .build()
            .map_err(|_| refuse("the system's certificates cannot be read"))?;
        Ok(Self { client, url })
    }

    /// Where it is, for the log.
    pub(super) fn shown(&self) -> String {
        shown(&self.url)
    }

    pub(super) async fn fetch(&self, unsaid: &[Algorithm]) -> Result<Vec<Key>, FetchError> {
        let request = self.client.get(self.url.clone()).header(ACCEPT, "application/json");
        let mut answer = request.send().await.map_err(FetchError::Http)?;
        if answer.status().is_redirection() {
            let place = elsewhere(&self.url, answer.headers().get(LOCATION));
            return Err(FetchError::Elsewhere(place));
        }
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status()));
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(FetchError::Http)? {
            if body.len() + piece.len() > SET_BYTES_MAX {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&piece);
        }
        keys_of_set(&body, unsaid, Trust::Fetched).map_err(FetchError::Set)
    }
}

/// The time until the next try after so many failures in a row: from 1 s, doubled, up to the period; `random`, from 0 to 1, takes up
/// to half of it away, so that many servers do not come at once.
pub(super) fn back_off(failures: u32, period: Duration, random: f64) -> Duration {
    let doubled = Duration::from_secs(1).saturating_mul(1 << failures.saturating_sub(1).min(20));
    doubled.min(period).mul_f64(1.0 - random / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(url: &str, plain: bool) -> Result<Source, KeyError> {
        Source::new(&IssuerConfig {
            plain,
            ..IssuerConfig::new(url)
        })
    }

    #[test]
    fn a_set_comes_over_https_or_from_this_machine() {
        for url in [
            "https://issuer.example/jwks.json",
            "http://localhost:80/",
            "http://127.0.0.1/",
            "http://[::1]:9/",
        ] {
            assert!(source(url, false).is_ok(), "{url}");
        }
        for url in [
            "http://issuer.example/jwks.json",
            "http://localhost.example/",
            "http://127.0.0.1.example/",
            "file:///etc/keys",
            "issuer.example",
            "",
        ] {
            assert!(source(url, false).is_err(), "{url}");
        }
        assert!(source("http://issuer.example/", true).is_ok());
        assert!(source("ftp://issuer.example/", true).is_err());
    }

    #[test]
    fn the_log_names_a_set_without_what_may_be_secret() {
        let source = source("https://user:word@issuer.example:8443/keys?token=secret#part", false).unwrap();
        assert_eq!(source.shown(), "https://issuer.example:8443/keys");
        for (place, told) in [
            ("https://u:p@other.example/k?sig=secret", "https://other.example/k"),
            ("/new?token=secret", "https://issuer.example:8443/new"),
            ("http://[", "nowhere"),
        ] {
            let place = HeaderValue::from_static(place);
            assert_eq!(elsewhere(&source.url, Some(&place)), told);
        }
        assert_eq!(elsewhere(&source.url, None), "nowhere");
    }

    #[test]
    fn tries_become_rarer_up_to_the_period() {
        let period = Duration::from_secs(300);
        let seconds: Vec<u64> = [1, 2, 3, 9, 10, 4_000_000_000]
            .map(|n| back_off(n, period, 0.0).as_secs())
            .into();
        assert_eq!(seconds, [1, 2, 4, 256, 300, 300]);
        assert_eq!(back_off(3, period, 1.0), Duration::from_secs(2));
    }
}
