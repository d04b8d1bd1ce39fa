//! Streamkit wire protocol, version 1.
