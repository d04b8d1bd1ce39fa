//! The log of one store that many hosts share over an Azure storage account. No host owns the store: each may write at any time, and
//! the insert of a **slot** decides who was first.
//!
//! ```text
//!  requests ─▶ driver ─▶ log (a pure state machine) ─▶ medium ─▶ account
//!              driver/   log/                          medium/   account/
//! ```
//!
//! Read [`medium`] first: what is asked of storage, and what each of its answers proves. Everything above stands on these proofs alone.
#![forbid(unsafe_code)]
// The machine alone, for its simulation, has no use for what only an account needs.
#![cfg_attr(not(feature = "account"), allow(dead_code, unused_imports))]

#[cfg(feature = "account")]
pub mod account;
#[cfg(feature = "account")]
pub mod archive;
pub mod collector;
#[cfg(feature = "account")]
pub mod driver;
pub mod ledger;
pub mod log;
pub mod medium;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
#[cfg(feature = "account")]
pub mod store;
#[cfg(feature = "account")]
pub mod tools;
