//! Streamkit server library.
