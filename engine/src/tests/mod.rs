//! Tests of the whole engine, with access to its internals.

#[cfg(test)]
mod archived;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod failure;
mod figures;
#[cfg(test)]
mod flight;
#[cfg(test)]
mod io_thread;
mod leases;
#[cfg(test)]
mod opening;
#[cfg(test)]
mod refused;
mod replica;
