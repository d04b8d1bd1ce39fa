//! Client of Streamkit.
