//! Tries to break the promises of stores that several hosts share: real processes over one emulated storage account, each behind gates of its
//! own, with writers, readers, followers and holders of leases at all of them.
//!
//! ```text
//!  seed ─▶ run ─┬─ crew (that of the wire's torture) ──▶ hosts ──▶ gates ──▶ emulator
//!               ├─ chaos: SIGKILL, SIGSTOP, gates that cut or go silent ─┘       │
//!               └─ witness ──▶ check ◀── truth: what a fresh host reads ─────────┘
//! ```
//!
//! Beside such runs: clients behind a balancer, while one host after the other goes and comes again.

pub mod account;
pub mod balanced;
pub mod balancer;
pub mod chaos;
#[path = "../../../azure/tests/suite/emulator.rs"]
pub mod emulator;
pub mod gate;
pub mod run;
