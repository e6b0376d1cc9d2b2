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
mod disorder;
mod edges;
mod faults;
mod handed;
mod journal;
mod late_returns;
mod letters;
mod money;
mod period_story;
mod pipeline;
mod placed_books;
mod placements;
mod posting;
mod ranks;
mod refunds;
mod simulation;
mod story;
mod support;
mod tidy;
