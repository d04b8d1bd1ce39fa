//! The body of a transaction, and its answer: each of its parts is read, since the status of the whole says nothing.

use bytes::Bytes;
use serde_json::Value;

use super::super::answer::{CallError, Refusal, judge};
use super::key::RowVersion;
use super::multipart::{HttpPart, boundary, http_part, parts};
use super::transaction::RowTransaction;

/// Most bytes of a transaction's request.
pub const BODY_MAX: usize = 4 * 1024 * 1024;

/// What became of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Transacted {
    /// All writes were done; the new version of each row that is there.
    Applied(Vec<Option<RowVersion>>),
    /// None was done, because of one.
    Not {
        /// Why.
        refusal: Refusal,
        /// Which one, from 0, if the answer says so.
        write: Option<usize>,
    },
}

/// The body of a transaction's request.
///
/// # Errors
/// [`CallError::NotSent`] if the service would not take it.
pub fn body(transaction: &RowTransaction, address: &str, table: &str, id: &str) -> Result<Bytes, CallError> {
    transaction.check().map_err(CallError::NotSent)?;
    let (batch, changes) = (batch_boundary(id), format!("changeset_{id}"));
    let mut body = format!("--{batch}\r\nContent-Type: multipart/mixed; boundary={changes}\r\n\r\n");
    for (at, write) in transaction.writes.iter().enumerate() {
        let request = write.request(table, &transaction.partition);
        body.push_str(&format!(
            "--{changes}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n\
             {} {address}/{} HTTP/1.1\r\nContent-ID: {at}\r\nAccept: application/json;odata=minimalmetadata\r\n\
             DataServiceVersion: 3.0;\r\n",
            request.method, request.path
        ));
        if let Some(condition) = request.condition {
            body.push_str(&format!("If-Match: {condition}\r\n"));
        }
        match request.body {
            Some(json) => body.push_str(&format!(
                "Content-Type: application/json\r\nPrefer: return-no-content\r\nContent-Length: {}\r\n\r\n{json}\r\n",
                json.len()
            )),
            None => body.push_str("\r\n"),
        }
        if body.len() > BODY_MAX {
            break;
        }
    }
    body.push_str(&format!("--{changes}--\r\n--{batch}--\r\n"));
    match body.len() <= BODY_MAX {
        true => Ok(body.into()),
        false => Err(CallError::NotSent("a transaction has more than 4 MiB")),
    }
}

/// What stands between the parts of a request.
pub fn batch_boundary(id: &str) -> String {
    format!("batch_{id}")
}

/// Reads the answer to a transaction of so many writes, whose whole was answered with 202.
///
/// # Errors
/// [`CallError`]; [`CallError::Unknown`] if any part of it cannot be read, or one is missing.
pub fn read(content_type: &str, body: &[u8], writes: usize) -> Result<Transacted, CallError> {
    let outer = boundary(content_type).ok_or_else(|| CallError::unreadable("it has no boundary"))?;
    let outer = parts(body, outer, 1).map_err(CallError::unreadable)?;
    let [outer] = outer.as_slice() else {
        return Err(CallError::unreadable("it has not one part"));
    };
    let inner = outer.header("content-type").and_then(boundary);
    let answers = match inner {
        Some(inner) => parts(outer.body, inner, writes).map_err(CallError::unreadable)?,
        // A transaction that failed may be answered without a row of parts.
        None => vec![*outer],
    };
    let answers = answers.iter().map(http_part).collect::<Result<Vec<_>, _>>();
    let answers = answers.map_err(CallError::unreadable)?;
    let Some(failed) = answers.iter().find(|answer| !(200..300).contains(&answer.status)) else {
        if answers.len() != writes {
            return Err(CallError::unreadable("it has not an answer to each write"));
        }
        let version = |answer: &HttpPart<'_>| match answer.header("etag") {
            None => Ok(None),
            Some(text) => RowVersion::new(text)
                .map(Some)
                .ok_or_else(|| CallError::unreadable("a version that is none")),
        };
        return answers
            .iter()
            .map(version)
            .collect::<Result<_, _>>()
            .map(Transacted::Applied);
    };
    let (code, write) = error_of(failed.body, writes);
    let refusal = judge(failed.status, code.as_deref(), None)?;
    Ok(Transacted::Not { refusal, write })
}

/// The code of an error, and the number of the write that it is about: its message begins with that.
fn error_of(body: &[u8], writes: usize) -> (Option<String>, Option<usize>) {
    let Some(error) = error(body) else {
        return (None, None);
    };
    let message = error["message"]["value"].as_str().unwrap_or_default();
    let write = message.split(':').next().and_then(|number| number.parse().ok());
    (
        error["code"].as_str().map(str::to_owned),
        write.filter(|write| *write < writes),
    )
}

/// The code of an error in the body of an answer.
pub fn error_code(body: &[u8]) -> Option<String> {
    error(body)?["code"].as_str().map(str::to_owned)
}

fn error(body: &[u8]) -> Option<Value> {
    let mut json: Value = serde_json::from_slice(body.trim_ascii()).ok()?;
    Some(json.get_mut("odata.error")?.take())
}

#[cfg(test)]
mod tests;
