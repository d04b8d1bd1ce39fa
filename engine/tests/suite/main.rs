//! What users of the engine rely on. `conformance` is written against the [`Stores`](streamkit_engine::Stores) boundary
//! alone, so any implementation can run it; the rest is about this one's files.

mod conformance;
mod files;
mod format_example;
mod gated;
mod lifetime;
mod scans;
