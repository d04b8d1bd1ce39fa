//! The checks, by what they are of.

mod append;
mod batches;
mod channels;
mod conditions;
mod credit;
mod cursors;
mod fields;
mod follow;
mod frames;
mod handshake;
mod invalid;
mod leases;
mod lists;
mod live;
mod read;
mod retries;
mod rights;

use crate::check::Check;

/// All, in the order in which they are tried.
pub const ALL: &[&[Check]] = &[
    handshake::CHECKS,
    frames::CHECKS,
    fields::CHECKS,
    channels::CHECKS,
    credit::CHECKS,
    append::CHECKS,
    conditions::CHECKS,
    retries::CHECKS,
    leases::CHECKS,
    read::CHECKS,
    batches::CHECKS,
    cursors::CHECKS,
    follow::CHECKS,
    lists::CHECKS,
    live::CHECKS,
    invalid::CHECKS,
    rights::CHECKS,
];
