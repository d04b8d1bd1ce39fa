//! What the tests in `served` ask for: here, a server over an engine, in this process.

pub use crate::peer::{Host, PATIENCE, token};
pub use crate::via::{Listener, Stream, Via};

/// The ways that lead here.
pub const WAYS: [Via; 3] = [Via::Sockets, Via::InProcess, Via::V1];

/// How many histories are tried.
pub const CASES: u32 = 16;

/// Makes a test of each function that takes a [`Via`], for each way and both versions.
macro_rules! over_both {
    ($($name:ident)*) => {
        crate::fixture::over_v2! { $($name)* }
        mod in_v1 {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::fixture::Via::V1).await;
            })*
        }
    };
}
pub(crate) use over_both;

/// The same of what only v2 can do.
macro_rules! over_v2 {
    ($($name:ident)*) => {
        mod over_sockets {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::fixture::Via::Sockets).await;
            })*
        }
        mod in_process {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::fixture::Via::InProcess).await;
            })*
        }
    };
}
pub(crate) use over_v2;
