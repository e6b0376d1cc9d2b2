//! Upline: from cart to commission. `src/ARCHITECTURE.md` is the map.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod domain;
pub mod stage;
