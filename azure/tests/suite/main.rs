//! Access to a storage account, tried on a real emulator: what it answers, what it does when answers are lost, and what no answer proves.

mod blobs;
mod credentials;
mod driver;
mod emulator;
mod identities;
mod lost;
mod medium;
mod probe;
mod proxy;
mod races;
mod rows;
mod support;
mod transactions;
