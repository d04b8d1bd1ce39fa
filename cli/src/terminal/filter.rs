//! Which events the log has. The filter may change while the program runs.

use std::sync::OnceLock;

use tracing_subscriber::{EnvFilter, Registry, reload};

/// What is logged unless somebody says otherwise.
pub(crate) const DEFAULT: &str = "warn,streamkit=info";

/// The same in full. What is wrong with a certificate, a command says itself.
const DEFAULT_IN_FULL: &str = "warn,streamkit=info,rustls_platform_verifier=off";

/// What a command logs that only uses what servers are made of: it says itself what fails.
pub(crate) const OF_A_USER: &str =
    "warn,streamkit_server_core=off,streamkit_azure=off,streamkit_engine=off,rustls_platform_verifier=off";

static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Reads a filter, such as `warn` or `streamkit=debug`.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse(text: &str) -> Result<EnvFilter, String> {
    let in_full = if text == DEFAULT { DEFAULT_IN_FULL } else { text };
    EnvFilter::try_new(in_full).map_err(|error| format!("{text:?} is no filter of the log: {error}"))
}

/// A text that is a filter, as it stands.
pub(crate) fn checked(text: &str) -> Result<String, String> {
    parse(text).map(|_| text.to_owned())
}

/// The filter of the log. To be called once: later changes go through [`set`].
pub(crate) fn changeable(filter: EnvFilter) -> reload::Layer<EnvFilter, Registry> {
    let (layer, handle) = reload::Layer::new(filter);
    let _ = FILTER.set(handle);
    layer
}

/// Filters the log by `text` from now on.
///
/// # Errors
/// What is wrong with it; the log goes on as before.
pub(crate) fn set(text: &str) -> Result<(), String> {
    let filter = parse(text)?;
    match FILTER.get() {
        Some(handle) => handle.reload(filter).map_err(|error| error.to_string()),
        None => Ok(()),
    }
}
