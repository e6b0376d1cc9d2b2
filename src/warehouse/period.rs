//! Rows of what closes of periods posted. Pure.

use clickhouse::Row;
use jiff::{Timestamp, civil::Date};
use serde::Serialize;

use super::rows::{decimal, halves};
use crate::domain::{
    commission::Account,
    id::DistributorId,
    ledger::EventId,
    money::{Currency, Money},
};

/// What the closes of a block posted is one page of this many entries after the other.
pub const PAGE: u32 = 50_000;

/// An entry of a closed period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodLine {
    /// Its number in the period.
    pub number: u32,
    /// Its identity.
    pub event_id: EventId,
    /// The component.
    pub component: String,
    /// Whose it is, as the books write it: `distributor:ID`, `breakage`, `capped:CAP`, `carried`.
    pub account: String,
    /// Signed.
    pub amount: Money,
    /// In which currency.
    pub currency: Currency,
    /// Why nobody has it.
    pub reason: Option<String>,
    /// The closed period that it corrects.
    pub corrects: Option<String>,
}

/// A period that was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedPeriod {
    /// The plan.
    pub plan: String,
    /// The period.
    pub period: String,
    /// Its beginning.
    pub starts_at: Timestamp,
    /// Its end.
    pub ends_at: Timestamp,
    /// When it is paid.
    pub pays_on: Date,
    /// When it was closed.
    pub closed_at: Timestamp,
}

/// A row of `period_lines_versions`.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize)]
pub struct PeriodRow<'a> {
    event_id: (u64, u64),
    plan_id: &'a str,
    period: &'a str,
    starts_at: i64,
    ends_at: i64,
    pays_on: i32,
    component: &'a str,
    distributor_id: &'a str,
    account: &'a str,
    kind: &'static str,
    amount: i128,
    currency: &'a str,
    reason: &'a str,
    corrects: &'a str,
    posted_at: i64,
}

impl<'a> PeriodRow<'a> {
    /// The row of an entry.
    pub fn of(period: &'a ClosedPeriod, line: &'a PeriodLine) -> Self {
        Self {
            event_id: halves(line.event_id.as_bytes()),
            plan_id: &period.plan,
            period: &period.period,
            starts_at: period.starts_at.as_microsecond(),
            ends_at: period.ends_at.as_microsecond(),
            pays_on: days(period.pays_on),
            component: &line.component,
            distributor_id: line.account.strip_prefix("distributor:").unwrap_or_default(),
            account: &line.account,
            kind: if line.amount < Money::ZERO { "reversed" } else { "earned" },
            amount: decimal(line.amount),
            currency: line.currency.as_str(),
            reason: line.reason.as_deref().unwrap_or_default(),
            corrects: line.corrects.as_deref().unwrap_or_default(),
            posted_at: period.closed_at.as_microsecond(),
        }
    }
}

/// Days since 1970, as `ClickHouse` stores a `Date32`.
fn days(date: Date) -> i32 {
    let epoch = Date::constant(1970, 1, 1);
    date.duration_since(epoch).as_hours().checked_div(24).and_then(|d| i32::try_from(d).ok()).unwrap_or(0)
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
