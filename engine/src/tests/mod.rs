//! Tests of the whole engine, with access to its internals.

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
#[cfg(test)]
mod replica;
