//! Analytics in ClickHouse: posted revisions as rows.
//!
//! The warehouse may be down for a day and catches up; nothing in the pipeline waits for it. A
//! batch that is written twice carries the same deduplication token, and what slips through (other
//! batch bounds after a crash) is merged away by key: analysts query views that hold each thing
//! once.

pub mod clickhouse;
pub mod rows;
