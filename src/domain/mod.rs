//! The pure core: what an order is, who earns on it and how much.
//!
//! Invariant: no async, no clock, no I/O, no randomness. The same inputs give the same result, to
//! the byte, on every machine.

pub mod article;
pub mod catalog;
pub mod close;
pub mod commission;
pub mod customer;
pub mod digest;
pub mod fx;
pub mod genealogy;
pub mod golden;
pub mod id;
pub mod journal;
pub mod ledger;
pub mod money;
pub mod order;
pub mod placement;
pub mod plan;
pub mod story;
pub mod volume;
