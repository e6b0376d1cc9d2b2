//! The integration tests: over memory with scripted faults, and over the real servers of the local
//! stack.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected has failed"
)]

mod books;
mod catalogue;
mod closes;
mod commit;
mod crash;
mod customers;
mod decisions;
mod deployment;
mod disorder;
mod edges;
mod faults;
mod journal;
mod letters;
mod money;
mod moving;
mod moving_periods;
mod period_story;
mod pipeline;
mod placed_books;
mod placements;
mod plan_rules;
mod posting;
mod rank_facts;
mod ranks;
mod refunds;
mod simulation;
mod story;
mod support;
mod tidy;
mod told;
mod unpaired;
