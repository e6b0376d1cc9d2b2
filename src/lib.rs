//! Upline: from cart to commission. `src/ARCHITECTURE.md` is the map.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod ingest;
pub mod metric;
pub mod pipeline;
pub mod sink;
pub mod stack;
pub mod stage;
pub mod store;
pub mod stream;
pub mod telemetry;
pub mod warehouse;
