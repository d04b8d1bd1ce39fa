//! Access to a storage account, tried on a real emulator: what it answers, what it does when answers are lost, and what no answer proves.

mod archive;
mod blobs;
mod conformance;
mod credentials;
mod deletion;
mod driver;
mod emulator;
mod ends;
mod gone;
mod hosts;
mod identities;
mod laid_out;
mod lost;
mod medium;
mod probe;
mod proxy;
mod races;
mod rows;
mod stores;
mod support;
mod tools;
mod transactions;
