//! Rows of what closes of periods posted.

use clickhouse::Row;
use jiff::civil::Date;
use serde::Serialize;

/// A row of `period_lines_versions`.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize)]
pub struct PeriodRow<'a> {
    /// The identity of the entry, in two halves.
    pub event_id: (u64, u64),
    /// The plan.
    pub plan_id: &'a str,
    /// The period.
    pub period: &'a str,
    /// Its beginning, in microseconds since 1970.
    pub starts_at: i64,
    /// Its end, in microseconds since 1970.
    pub ends_at: i64,
    /// When it is paid, in days since 1970.
    pub pays_on: i32,
    /// The component.
    pub component: &'a str,
    /// Whose it is; empty if nobody's.
    pub distributor_id: &'a str,
    /// The account, as the books write it.
    pub account: &'a str,
    /// `earned` or `reversed`.
    pub kind: &'static str,
    /// Signed, with six decimal places.
    pub amount: i128,
    /// In which currency.
    pub currency: &'a str,
    /// Why nobody has it; empty if somebody has.
    pub reason: &'a str,
    /// The closed period that it corrects; empty if none.
    pub corrects: &'a str,
    /// When the period was closed, in microseconds since 1970.
    pub posted_at: i64,
}

/// Days since 1970, as `ClickHouse` stores a `Date32`.
pub fn days(date: Date) -> i32 {
    let since = date.duration_since(Date::constant(1970, 1, 1)).as_hours();
    since.checked_div(24).and_then(|days| i32::try_from(days).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_days() {
        assert_eq!(days(Date::constant(1970, 1, 2)), 1);
        assert_eq!(days(Date::constant(2026, 11, 22)), 20_779);
        assert_eq!(days(Date::constant(1969, 12, 31)), -1);
    }
}
