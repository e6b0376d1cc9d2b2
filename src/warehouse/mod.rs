//! Analytics in ClickHouse: posted revisions and closed periods as rows.
//!
//! The warehouse follows the blocks of the ledger, so it may be down for as long as it likes and
//! catches up, and can be made again from the books; nothing in the pipeline waits for it. A
//! batch that is written twice carries the same deduplication token, and what slips through (other
//! batch bounds after a crash) is merged away by key: analysts query views that hold each thing
//! once.

pub mod clickhouse;
pub mod period;
pub mod recent;
pub mod rows;
