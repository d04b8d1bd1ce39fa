//! How a command fails: what happened and why on standard error, and an exit code a script can act on.

use std::process::ExitCode;

use streamkit_client::Error;

/// A failure to report.
pub(crate) struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// Exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: 1,
        }
    }

    /// Exit code 6.
    pub(crate) fn damage(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: 6,
        }
    }

    /// Exit code 130.
    pub(crate) fn interrupted() -> Self {
        Self {
            message: "interrupted".to_owned(),
            code: 130,
        }
    }

    /// Puts what was being done before the message.
    pub(crate) fn during(mut self, what: impl std::fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Says it in other words.
    pub(crate) fn because(mut self, message: String) -> Self {
        self.message = message;
        self
    }

    /// Adds what to do next.
    pub(crate) fn hint(mut self, next: impl std::fmt::Display) -> Self {
        self.message = format!("{}; {next}", self.message);
        self
    }

    pub(crate) fn report(self) -> ExitCode {
        if self.code != 0 {
            eprintln!("streamkit: {}", self.message);
        }
        ExitCode::from(self.code)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        // Whoever reads our output may stop at any time: `streamkit consume … | head`.
        let code = if error.kind() == std::io::ErrorKind::BrokenPipe {
            0
        } else {
            1
        };
        Self {
            message: error.to_string(),
            code,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (code, next) = match &error {
            Error::Conflict { .. } => (3, ""),
            Error::Unauthorized => (4, "; get a fresh one with `streamkit token` and set STREAMKIT_TOKEN"),
            Error::AccessDenied => (4, "; check STREAMKIT_STORE, or get a token with another scope"),
            Error::Connect { .. } => (5, "; is the server running, and is STREAMKIT_URL right?"),
            Error::Unknown(_) => (5, "; peek before you try again"),
            Error::ConnectionLost(_) | Error::Timeout(_) | Error::Unavailable(_) => (5, "; try again"),
            _ => (1, ""),
        };
        let message = format!("{error}{next}");
        Self { message, code }
    }
}

impl From<streamkit_engine::OpenError> for Failure {
    fn from(error: streamkit_engine::OpenError) -> Self {
        Self::new(error.to_string())
    }
}
