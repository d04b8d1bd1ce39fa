//! What an answer of a service proves: read strictly, and whatever cannot be read proves nothing.

use std::time::{Duration, SystemTime};

use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, Headers};

use super::clock;
use super::transport::TOO_LARGE;

/// Longest wait that a service may ask for.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// Longest code of an error.
const CODE_MAX: usize = 80;

/// What a conditional write came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Conditional<T> {
    /// This call did it.
    Applied(T),
    /// This call did nothing, and why.
    Not(Refusal),
}

/// Why a conditional write did nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It is there already. It may have been made by an earlier call of whoever made this one.
    Exists,
    /// It is not there.
    Missing,
    /// It is not of the version that the condition names.
    Changed,
}

/// Why a call has no answer that proves what was done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No answer, a broken one, or one that says that the service failed: the call may have been carried out, or may be later.
    #[error("nobody knows whether the storage did it: {0}")]
    Unknown(String),
    /// The answer has more bytes than such an answer may have. Whatever it says, nobody has read it.
    #[error("nobody knows whether the storage did it: its answer is too large")]
    TooLarge,
    /// The service has too much to do (429, 503). This proves as little: a front end may say so of a call that was carried out.
    #[error("the storage asks to wait")]
    Throttled {
        /// How long it asks to wait, at most five minutes.
        after: Option<Duration>,
    },
    /// The service does not accept the credential, or there is none. The call was not carried out.
    #[error(
        "the storage refuses the credential: {0}; look at the account's keys, roles and firewall, and at this machine's clock"
    )]
    Denied(String),
    /// The service does not accept the request. The call was not carried out.
    #[error("the storage refuses the request: {status} {code}")]
    Refused {
        /// The status of the answer.
        status: u16,
        /// The code of the error, if it has one.
        code: String,
    },
    /// The service would not accept the request, so it was not sent.
    #[error("the request was not sent: {0}")]
    NotSent(&'static str),
}

impl CallError {
    /// Whether the call may have been carried out all the same.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_) | Self::TooLarge | Self::Throttled { .. })
    }

    pub(super) fn unreadable(what: &str) -> Self {
        Self::Unknown(format!("its answer cannot be read: {what}"))
    }
}

/// What the status and code of an answer that is no success say.
pub fn judge(status: u16, code: Option<&str>, after: Option<Duration>) -> Result<Refusal, CallError> {
    let code = code.filter(|code| is_code(code));
    match (status, code) {
        (409, Some("EntityAlreadyExists" | "BlobAlreadyExists" | "TableAlreadyExists" | "ContainerAlreadyExists")) => {
            Ok(Refusal::Exists)
        }
        // Of a table or container that is not there, nothing is known of what should be in it.
        (404, Some("ResourceNotFound" | "EntityNotFound" | "BlobNotFound")) => Ok(Refusal::Missing),
        (412, Some("UpdateConditionNotSatisfied" | "ConditionNotMet" | "TargetConditionNotMet")) => {
            Ok(Refusal::Changed)
        }
        (401 | 403, code) => Err(CallError::Denied(match code {
            Some(code) => format!("{status} {code}"),
            None => status.to_string(),
        })),
        (429 | 503, _) => Err(CallError::Throttled { after }),
        // Blocks of an upload that another upload of the same blob has thrown away.
        (400, Some("InvalidBlockList")) => Err(CallError::Unknown("400 InvalidBlockList".to_owned())),
        // What decides about a condition has to say which one.
        (404 | 409 | 412, None) => Err(CallError::unreadable(&format!("{status} without a code"))),
        (408, _) => Err(CallError::Unknown("408".to_owned())),
        (400..=499, code) => Err(CallError::Refused {
            status,
            code: code.unwrap_or_default().to_owned(),
        }),
        (_, code) => Err(CallError::Unknown(
            format!("{status} {}", code.unwrap_or_default()).trim_end().to_owned(),
        )),
    }
}

/// Whether a text can be the code of an error: it is shown to operators.
fn is_code(code: &str) -> bool {
    let is_word = code.bytes().all(|b| b.is_ascii_alphanumeric());
    // The library for blobs puts the status there if the answer has no code.
    let is_status = code.bytes().all(|b| b.is_ascii_digit());
    (1..=CODE_MAX).contains(&code.len()) && is_word && !is_status
}

/// What an error of the library for requests proves.
pub fn failed(error: &azure_core::Error) -> CallError {
    match error.kind() {
        ErrorKind::Credential => CallError::Denied(short(error.to_string())),
        _ if error.to_string().contains(TOO_LARGE) => CallError::TooLarge,
        _ => CallError::Unknown(short(error.to_string())),
    }
}

/// The same of a call on blobs, whose library has read the answer: refusals, and everything else.
pub fn refused(error: &azure_core::Error) -> Result<Refusal, CallError> {
    match error.kind() {
        ErrorKind::HttpResponse {
            status,
            error_code,
            raw_response,
        } => {
            let after = raw_response.as_ref().and_then(|raw| retry_after(raw.headers()));
            judge((*status).into(), error_code.as_deref(), after)
        }
        _ => Err(failed(error)),
    }
}

/// The beginning of a text: an answer may be long.
fn short(text: String) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// How long a service asks to wait.
pub fn retry_after(headers: &Headers) -> Option<Duration> {
    let header = |name| headers.get_optional_str(&HeaderName::from_static(name));
    let millis = header("x-ms-retry-after-ms").or_else(|| header("retry-after-ms"));
    if let Some(millis) = millis.and_then(|millis| millis.trim().parse().ok()) {
        return Some(Duration::from_millis(millis).min(WAIT_MAX));
    }
    let text = header("retry-after")?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds).min(WAIT_MAX)),
        Err(_) => {
            let wait = clock::read(text)?.duration_since(SystemTime::now());
            Some(wait.unwrap_or_default().min(WAIT_MAX))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_status_with_its_code_decides_about_a_condition() {
        assert_eq!(judge(409, Some("EntityAlreadyExists"), None), Ok(Refusal::Exists));
        assert_eq!(judge(404, Some("ResourceNotFound"), None), Ok(Refusal::Missing));
        assert_eq!(
            judge(412, Some("UpdateConditionNotSatisfied"), None),
            Ok(Refusal::Changed)
        );
        for status in [404, 409, 412] {
            for code in [None, Some(""), Some("a b"), Some("<html>"), Some("404")] {
                assert!(judge(status, code, None).unwrap_err().is_unknown(), "{status} {code:?}");
            }
        }
        for (status, code) in [
            (404, "TableNotFound"),
            (409, "TableBeingDeleted"),
            (404, "ContainerNotFound"),
        ] {
            let error = judge(status, Some(code), None).unwrap_err();
            assert!(matches!(error, CallError::Refused { .. }), "{error}");
        }
    }

    #[test]
    fn what_proves_nothing_is_unknown() {
        for status in [0, 100, 200, 202, 204, 301, 304, 408, 500, 501, 502, 504, 599, 999] {
            assert!(
                matches!(judge(status, None, None), Err(CallError::Unknown(_))),
                "{status}"
            );
        }
        for status in [429, 503] {
            assert!(judge(status, Some("ServerBusy"), None).unwrap_err().is_unknown());
        }
        for status in [400, 405, 411, 413, 415] {
            assert!(!judge(status, None, None).unwrap_err().is_unknown(), "{status}");
        }
        assert!(matches!(
            judge(403, Some("AuthenticationFailed"), None),
            Err(CallError::Denied(_))
        ));
    }

    #[test]
    fn a_wait_is_read_in_each_of_its_forms() {
        let wait = |name: &'static str, value: &'static str| {
            let mut headers = Headers::new();
            headers.insert(name, value);
            retry_after(&headers)
        };
        assert_eq!(wait("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("x-ms-retry-after-ms", "250"), Some(Duration::from_millis(250)));
        assert_eq!(wait("retry-after", "99999999999"), Some(WAIT_MAX));
        assert_eq!(
            wait("retry-after", "Fri, 26 Jun 2015 23:39:12 GMT"),
            Some(Duration::ZERO)
        );
        assert_eq!(wait("retry-after", "soon"), None);
        assert_eq!(wait("retry-after", "-1"), None);
    }
}
