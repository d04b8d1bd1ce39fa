//! Signs each request with the account's key. Each try has a signature and a time of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::http::headers::{AUTHORIZATION, CONTENT_LENGTH, HeaderName};
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Request};
use azure_core::time::{OffsetDateTime, to_rfc7231};

use super::key::AccountKey;

/// The service that a request is for: each has its own text to sign.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Service {
    /// Blobs.
    Blob,
    /// Tables.
    Table,
}

/// Puts a signature on each request to a service.
#[derive(Debug)]
pub struct SharedKey {
    account: String,
    key: AccountKey,
    service: Service,
}

impl SharedKey {
    pub(super) fn new(account: &str, key: AccountKey, service: Service) -> Self {
        Self {
            account: account.to_owned(),
            key,
            service,
        }
    }

    /// What is signed of a request with this date.
    fn text(&self, request: &Request, date: &str) -> String {
        let header = |name: &'static str| {
            let name = HeaderName::from_static(name);
            request.headers().get_optional_str(&name).unwrap_or_default()
        };
        let verb = request.method().to_string().to_uppercase();
        // The path of an emulator begins with the account, so that it stands there twice.
        let resource = format!("/{}{}", self.account, request.url().path());
        if self.service == Service::Table {
            let comp = request.url().query_pairs().find(|(name, _)| name == "comp");
            let comp = comp.map(|(_, value)| format!("?comp={value}")).unwrap_or_default();
            return format!(
                "{verb}\n{}\n{}\n{date}\n{resource}{comp}",
                header("content-md5"),
                header("content-type")
            );
        }
        let length = match header("content-length") {
            "0" => "",
            length => length,
        };
        let mut text = format!(
            "{verb}\n{}\n{}\n{length}\n{}\n{}\n\n{}\n{}\n{}\n{}\n{}\n",
            header("content-encoding"),
            header("content-language"),
            header("content-md5"),
            header("content-type"),
            header("if-modified-since"),
            header("if-match"),
            header("if-none-match"),
            header("if-unmodified-since"),
            header("range"),
        );
        let own: BTreeMap<&str, &str> = request
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| name.starts_with("x-ms-"))
            .collect();
        for (name, value) in own {
            text.push_str(&format!("{name}:{}\n", value.trim()));
        }
        text.push_str(&resource);
        let mut query: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in request.url().query_pairs() {
            query.entry(name.to_lowercase()).or_default().push(value.into_owned());
        }
        for (name, mut values) in query {
            values.sort();
            text.push_str(&format!("\n{name}:{}", values.join(",")));
        }
        text
    }
}

#[async_trait]
impl Policy for SharedKey {
    async fn send(&self, context: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        let date = to_rfc7231(&OffsetDateTime::now_utc());
        request.insert_header("x-ms-date", date.clone());
        // It is signed, and whoever made the request may have left it to whoever sends it.
        if let Some(length) = request.body().len().filter(|length| *length > 0) {
            request.insert_header(CONTENT_LENGTH, length.to_string());
        }
        let signature = self.key.sign(&self.text(request, &date));
        request.insert_header(AUTHORIZATION, format!("SharedKey {}:{signature}", self.account));
        next[0].send(context, request, &next[1..]).await
    }
}

#[cfg(test)]
mod tests {
    use azure_core::http::Method;

    use super::super::secret::Secret;
    use super::*;

    fn policy(service: Service) -> SharedKey {
        let key = AccountKey::new(&Secret::new("c2VjcmV0LXNlY3JldC1zZWNyZXQ=".to_owned())).unwrap();
        SharedKey::new("myaccount", key, service)
    }

    /// The examples of the service's documentation.
    #[test]
    fn the_text_to_sign_is_that_of_the_documentation() {
        let url = "https://myaccount.blob.core.windows.net/mycontainer?restype=container&comp=metadata&timeout=20";
        let mut request = Request::new(url.parse().unwrap(), Method::Get);
        request.insert_header("x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT");
        request.insert_header("x-ms-version", "2015-02-21");
        assert_eq!(
            policy(Service::Blob).text(&request, "unused"),
            "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n\
             /myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20"
        );
        let url = "https://myaccount.table.core.windows.net/mytable(PartitionKey='a',RowKey='b')?comp=acl&x=1";
        let mut request = Request::new(url.parse().unwrap(), Method::Put);
        request.insert_header("content-type", "application/json");
        assert_eq!(
            policy(Service::Table).text(&request, "Sun, 11 Oct 2009 19:52:39 GMT"),
            "PUT\n\napplication/json\nSun, 11 Oct 2009 19:52:39 GMT\n/myaccount/mytable(PartitionKey='a',RowKey='b')?comp=acl"
        );
    }
}
