//! Certificates: read from files, checked, and replaced while connections that began with older ones go on.
//!
//! ```text
//! certificates.rs: those in use, looked at ever again ─▶ config.rs: what rustls is told ─▶ validity.rs: until when
//!                                                        files.rs: bytes of the files
//! ```

mod certificates;
mod config;
mod failed;
mod files;
mod validity;

pub use certificates::Certificates;
pub use config::CertificateError;
pub(crate) use failed::{REASONS, reason};
pub use files::{CertificateFiles, ClientCertificates};
