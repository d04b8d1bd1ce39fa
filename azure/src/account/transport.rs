//! Sends requests and receives answers, each within a deadline and a bound of bytes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Method, Request, StatusCode};
use azure_core::{Bytes, Error, Result};
use reqwest::redirect::Policy;

use super::clock::ServiceClock;
use super::settings_error::SettingsError;

/// How long a new connection may take, of the time that its call has.
const CONNECT: Duration = Duration::from_secs(2);
/// Idle connections that are kept for the next calls.
const IDLE: usize = 64;
/// How long they are kept: less than a load balancer keeps them, which would lose the request that comes then.
const IDLE_TIME: Duration = Duration::from_secs(60);

/// One pool of connections for all services of an account.
///
/// # Errors
/// [`SettingsError::Http`] if the certificates to trust are none.
pub fn connections(trusted: Option<&[u8]>) -> std::result::Result<reqwest::Client, SettingsError> {
    let wrong = |error: reqwest::Error| SettingsError::Http(error.without_url().to_string());
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .pool_max_idle_per_host(IDLE)
        .pool_idle_timeout(IDLE_TIME)
        .tcp_nodelay(true)
        // A redirected write could reach what it was not meant for, and a credential whom it was not meant for.
        .redirect(Policy::none());
    if let Some(pem) = trusted {
        let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(wrong)?;
        if certificates.is_empty() {
            return Err(SettingsError::Http("there is no certificate".to_owned()));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(wrong)
}

/// How requests to one service are sent.
#[derive(Debug)]
pub struct Transport {
    pub(super) http: reqwest::Client,
    /// How long a request and its answer may take together.
    pub(super) deadline: Duration,
    /// Most bytes of an answer.
    pub(super) answer_max: usize,
    pub(super) clock: Arc<ServiceClock>,
}

#[async_trait]
impl HttpClient for Transport {
    async fn execute_request(&self, request: &Request) -> Result<AsyncRawResponse> {
        match tokio::time::timeout(self.deadline, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(io(format!("no answer within {} ms", self.deadline.as_millis()))),
        }
    }
}

impl Transport {
    async fn exchange(&self, request: &Request) -> Result<AsyncRawResponse> {
        let Body::Bytes(body) = request.body() else {
            return Err(io("a body that is not in memory".to_owned()));
        };
        let mut own = self.http.request(method(request.method())?, request.url().clone());
        for (name, value) in request.headers().iter() {
            own = own.header(name.as_str(), value.as_str());
        }
        // Its host alone: the address may have a signature in it.
        let host = request.url().host_str().unwrap_or_default();
        let failed = |error: reqwest::Error| io(format!("{host}: {}", chain(&error.without_url())));
        let sent = SystemTime::now();
        let mut answer = own.body(body.clone()).send().await.map_err(failed)?;
        let received = SystemTime::now();
        let headers = headers(answer.headers());
        if let Some(date) = headers.get_optional_str(&HeaderName::from_static("date")) {
            self.clock.note(date, sent, received);
        }
        let status = StatusCode::from(answer.status().as_u16());
        // It grows with what comes, and not with what the answer says of its length.
        let mut collected = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(failed)? {
            if collected.len() + piece.len() > self.answer_max {
                return Err(io(TOO_LARGE.to_owned()));
            }
            collected.extend_from_slice(&piece);
        }
        Ok(AsyncRawResponse::from_bytes(status, headers, Bytes::from(collected)))
    }
}

/// What an error says of an answer that has too many bytes.
pub const TOO_LARGE: &str = "its answer is too large";

fn io(text: String) -> Error {
    Error::with_message(ErrorKind::Io, text)
}

/// An error with its causes: the first one alone says little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn headers(from: &reqwest::header::HeaderMap) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in from {
        if let Ok(value) = value.to_str() {
            headers.insert(name.as_str().to_owned(), value.to_owned());
        }
    }
    headers
}

fn method(method: Method) -> Result<reqwest::Method> {
    Ok(match method {
        Method::Delete => reqwest::Method::DELETE,
        Method::Get => reqwest::Method::GET,
        Method::Head => reqwest::Method::HEAD,
        Method::Patch => reqwest::Method::PATCH,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        _ => return Err(io("a method that is none of HTTP's".to_owned())),
    })
}
