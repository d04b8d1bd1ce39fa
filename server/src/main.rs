//! The `streamkit` command line.
fn main() {}
