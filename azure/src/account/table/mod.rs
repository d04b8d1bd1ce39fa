//! A client of tables: conditional writes with typed outcomes, transactions of one partition, reads page by page.
//!
//! No call is repeated here: whoever makes it knows whether that is safe.

mod batch;
mod key;
mod multipart;
mod partitions;
mod query;
mod row;
mod transaction;

use azure_core::Uuid;
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::{Context, Method, Pipeline, PipelineSendOptions, RawResponse, Request, Url};
use bytes::Bytes;

use super::answer::{CallError, Conditional, Refusal, failed, judge, retry_after};
use super::clock::{ServiceDate, read as read_date};

pub use batch::Transacted;
pub use key::{Condition, RowVersion, TableKey};
use query::Keyed;
pub use query::{Page, PlaceOfPage, Range};
pub use row::{BINARY_MAX, Cell, Cells, ROW_MAX, Row};
pub use transaction::{RowTransaction, WRITES_MAX, Write};

/// The version of the service's interface.
const VERSION: &str = "2020-12-06";
const JSON: &str = "application/json";
const ACCEPT: &str = "application/json;odata=minimalmetadata";

/// Reads the answer to a transaction of so many writes, for those that try it with hostile bytes.
#[doc(hidden)]
pub fn read_transaction(content_type: &str, body: &[u8], writes: usize) -> Result<Transacted, CallError> {
    batch::read(content_type, body, writes)
}

/// One table of an account.
#[derive(Clone, Debug)]
pub struct AccountTable {
    /// Without a `/` at its end.
    address: String,
    name: String,
    pipeline: Pipeline,
}

impl AccountTable {
    pub(super) fn new(endpoint: &Url, name: &str, pipeline: Pipeline) -> Self {
        Self {
            address: endpoint.as_str().trim_end_matches('/').to_owned(),
            name: name.to_owned(),
            pipeline,
        }
    }

    /// Makes the table. That it is there already is no refusal to worry about: [`Conditional::Not`] with `Exists`.
    ///
    /// # Errors
    /// [`CallError`], here and below.
    ///
    /// # Cancel safety
    /// Dropping a call's future leaves its outcome unknown, here and below.
    pub async fn create(&self) -> Result<Conditional<()>, CallError> {
        let body = format!("{{\"TableName\":\"{}\"}}", self.name);
        let request = self.request(Method::Post, "Tables", Some(body.into()))?;
        let answer = self.send(request).await?;
        Ok(match self.applied(&answer, &[201, 204])? {
            Conditional::Applied(_) => Conditional::Applied(()),
            Conditional::Not(refusal) => Conditional::Not(refusal),
        })
    }

    /// Writes one row. The new version, if the row is there then.
    pub async fn write(
        &self,
        partition: &TableKey,
        write: &Write,
    ) -> Result<Conditional<Option<RowVersion>>, CallError> {
        write.check(partition).map_err(CallError::NotSent)?;
        let parts = write.request(&self.name, partition);
        let method = match parts.method {
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "PATCH" => Method::Patch,
            _ => Method::Delete,
        };
        let mut request = self.request(method, &parts.path, parts.body.map(Bytes::from))?;
        if let Some(condition) = parts.condition {
            request.insert_header("if-match", condition.to_owned());
        }
        let answer = self.send(request).await?;
        let successes: &[u16] = if write.is_insert() { &[201, 204] } else { &[204] };
        self.applied(&answer, successes)
    }

    /// Writes the rows of a transaction, all or none.
    pub async fn transact(&self, transaction: &RowTransaction) -> Result<Transacted, CallError> {
        let id = Uuid::new_v4().to_string();
        let body = batch::body(transaction, &self.address, &self.name, &id)?;
        let mut request = self.request(Method::Post, "$batch", None)?;
        request.insert_header("accept", JSON);
        let kind = format!("multipart/mixed; boundary={}", batch::batch_boundary(&id));
        request.insert_header("content-type", kind);
        request.insert_header("content-length", body.len().to_string());
        request.set_body(body);
        let answer = self.send(request).await?;
        if answer.status() != 202 {
            // The conditions are those of its parts: the whole has none.
            self.refusal(&answer)?;
            return Err(CallError::unreadable("a transaction without parts"));
        }
        let kind = header(answer.headers(), "content-type").unwrap_or_default();
        batch::read(kind, answer.body(), transaction.len())
    }

    /// Reads a row.
    pub async fn get(&self, partition: &TableKey, key: &TableKey) -> Result<Option<Row>, CallError> {
        let path = transaction::row_path(&self.name, partition, key);
        let answer = self.send(self.request(Method::Get, &path, None)?).await?;
        match answer.status().into() {
            200u16 => {
                let mut json: serde_json::Value =
                    serde_json::from_slice(answer.body()).map_err(|_| CallError::unreadable("it is no JSON"))?;
                if let (Some(row), Some(version)) = (json.as_object_mut(), header(answer.headers(), "etag")) {
                    row.insert("odata.etag".to_owned(), version.into());
                }
                let row = row::from_json(partition, &json).map_err(CallError::unreadable)?;
                match row.key == *key {
                    true => Ok(Some(row)),
                    false => Err(CallError::unreadable("another row")),
                }
            }
            _ => match self.refusal(&answer)? {
                Refusal::Missing => Ok(None),
                _ => Err(CallError::unreadable("a refusal to read")),
            },
        }
    }

    /// Reads a page of at most so many rows (1 to 1 000), from the beginning or from where the last one ended.
    pub async fn page(&self, range: &Range, rows: usize, place: Option<&PlaceOfPage>) -> Result<Page, CallError> {
        self.query(range, rows, place).await
    }

    /// The same of their keys alone.
    pub async fn keys(
        &self,
        range: &Range,
        rows: usize,
        place: Option<&PlaceOfPage>,
    ) -> Result<Page<TableKey>, CallError> {
        self.query(range, rows, place).await
    }

    async fn query<T: Keyed>(
        &self,
        range: &Range,
        rows: usize,
        place: Option<&PlaceOfPage>,
    ) -> Result<Page<T>, CallError> {
        let mut request = self.request(Method::Get, &format!("{}()", self.name), None)?;
        request.url_mut().set_query(Some(&range.query(T::KIND, rows, place)));
        let answer = self.send(request).await?;
        match answer.status().into() {
            200u16 => range.read(answer.headers(), answer.body(), rows),
            _ => {
                self.refusal(&answer)?;
                Err(CallError::unreadable("a refusal to read"))
            }
        }
    }

    /// The service's time at some moment of this call.
    pub async fn time(&self, partition: &TableKey, key: &TableKey) -> Result<ServiceDate, CallError> {
        let path = transaction::row_path(&self.name, partition, key);
        let sent = std::time::SystemTime::now();
        let answer = self.send(self.request(Method::Get, &path, None)?).await?;
        let received = std::time::SystemTime::now();
        if u16::from(answer.status()) != 200 {
            // A row that is not there has a time, too.
            self.refusal(&answer)?;
        }
        let date = header(answer.headers(), "date").and_then(read_date);
        let date = date.ok_or_else(|| CallError::unreadable("it has no date"))?;
        Ok(ServiceDate { date, sent, received })
    }

    fn request(&self, method: Method, path: &str, body: Option<Bytes>) -> Result<Request, CallError> {
        let url = Url::parse(&format!("{}/{path}", self.address));
        let url = url.map_err(|_| CallError::NotSent("its address is none"))?;
        let mut request = Request::new(url, method);
        request.insert_header("x-ms-version", VERSION);
        request.insert_header("dataserviceversion", "3.0;");
        request.insert_header("accept", ACCEPT);
        if let Some(body) = body {
            request.insert_header("content-type", JSON);
            request.insert_header("prefer", "return-no-content");
            request.insert_header("content-length", body.len().to_string());
            request.set_body(body);
        }
        Ok(request)
    }

    async fn send(&self, mut request: Request) -> Result<RawResponse, CallError> {
        // Whatever the status: what an answer proves is read here.
        let options = PipelineSendOptions {
            skip_checks: true,
            ..Default::default()
        };
        let answer = self.pipeline.send(&Context::new(), &mut request, Some(options)).await;
        answer.map_err(|error| failed(&error))
    }

    /// The version that a write made, or why it was refused.
    fn applied(&self, answer: &RawResponse, successes: &[u16]) -> Result<Conditional<Option<RowVersion>>, CallError> {
        if successes.contains(&answer.status().into()) {
            return match header(answer.headers(), "etag").map(RowVersion::new) {
                Some(None) => Err(CallError::unreadable("a version that is none")),
                version => Ok(Conditional::Applied(version.flatten())),
            };
        }
        self.refusal(answer).map(Conditional::Not)
    }

    /// What an answer says that is not the success that was asked for.
    fn refusal(&self, answer: &RawResponse) -> Result<Refusal, CallError> {
        let code = batch::error_code(answer.body());
        let after = retry_after(answer.headers());
        judge(answer.status().into(), code.as_deref(), after)
    }
}

fn header<'a>(headers: &'a Headers, name: &'static str) -> Option<&'a str> {
    headers.get_optional_str(&HeaderName::from_static(name))
}
