//! Rows of the warehouse, and how a posted revision becomes rows. Pure.

use clickhouse::Row;
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    domain::{commission::Account, id::DistributorId, ledger::Entry, money::Money},
    stage::message::Posted,
};

/// A row of `orders_versions`.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize)]
pub struct OrderRow {
    order_key: String,
    platform: &'static str,
    store: String,
    order_id: String,
    revision: u64,
    status: &'static str,
    currency: String,
    order_ts: i64,
    received_at: i64,
    posted_at: i64,
    referrer: String,
    own_purchase: String,
    total: i128,
    net: i128,
    refunded: i128,
    base: i128,
    paid: i128,
    breakage: i128,
    plan: String,
    payout_currency: String,
}

/// A row of `commission_lines_versions`.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize)]
pub struct LineRow {
    event_id: (u64, u64),
    order_key: String,
    platform: &'static str,
    store: String,
    order_id: String,
    revision: u64,
    line_id: String,
    component: String,
    level: u16,
    distributor_id: String,
    account: String,
    kind: &'static str,
    amount: i128,
    currency: String,
    breakage: &'static str,
    order_ts: i64,
    posted_at: i64,
}

/// A row of `stage_latencies_versions`; times in microseconds since the edge had the body.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize)]
pub struct LatencyRow {
    order_key: String,
    revision: u64,
    platform: &'static str,
    received_at: i64,
    validate_us: u64,
    map_us: u64,
    commission_us: u64,
    ledger_us: u64,
    emit_us: u64,
}

/// The rows of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// Orders.
    pub orders: Vec<OrderRow>,
    /// Ledger entries.
    pub lines: Vec<LineRow>,
    /// Latencies.
    pub latencies: Vec<LatencyRow>,
}

/// Six decimal places as an integer: how ClickHouse stores `Decimal(38, 6)`. Amounts have at most
/// six places, so nothing is lost.
fn decimal(amount: Money) -> i128 {
    let mut value = amount.as_decimal();
    value.rescale(6);
    value.mantissa()
}

fn micros(at: Option<Timestamp>) -> i64 {
    at.map_or(0, Timestamp::as_microsecond)
}

/// A UUID in the two halves that ClickHouse wants.
fn halves(bytes: &[u8; 16]) -> (u64, u64) {
    let all = u128::from_be_bytes(*bytes);
    let high = u64::try_from(all >> 64).unwrap_or_default();
    let low = u64::try_from(all & u128::from(u64::MAX)).unwrap_or_default();
    (high, low)
}

impl Rows {
    /// Adds the rows of a posted revision.
    pub fn push(&mut self, posted: &Posted) {
        self.orders.push(order(posted));
        self.lines.extend(posted.entries.iter().map(|entry| line(posted, entry)));
        self.latencies.push(latency(posted));
    }
}

fn order(posted: &Posted) -> OrderRow {
    let order = &posted.order;
    let text =
        |id: &Option<DistributorId>| id.as_ref().map(ToString::to_string).unwrap_or_default();
    OrderRow {
        order_key: order.key.to_string(),
        platform: order.key.platform.as_str(),
        store: order.key.store.to_string(),
        order_id: order.key.order_id.to_string(),
        revision: order.revision,
        status: order.status.as_str(),
        currency: order.currency.to_string(),
        order_ts: order.placed_at.as_microsecond(),
        received_at: posted.trace.received_at.as_microsecond(),
        posted_at: micros(posted.trace.posted_at),
        referrer: text(&order.referrer),
        own_purchase: text(&order.own_purchase),
        total: decimal(order.total),
        net: decimal(order.net),
        refunded: decimal(order.refunded),
        base: decimal(order.base),
        paid: decimal(order.paid),
        breakage: decimal(order.breakage),
        plan: format!("{}@{}", order.plan.id, order.plan.version),
        payout_currency: order.payout_currency.to_string(),
    }
}

fn line(posted: &Posted, entry: &Entry) -> LineRow {
    let order = &posted.order;
    LineRow {
        event_id: halves(entry.event_id.as_bytes()),
        order_key: order.key.to_string(),
        platform: order.key.platform.as_str(),
        store: order.key.store.to_string(),
        order_id: order.key.order_id.to_string(),
        revision: order.revision,
        line_id: entry.position.line.to_string(),
        component: entry.position.component.to_string(),
        level: entry.position.level,
        distributor_id: match &entry.position.account {
            Account::Distributor(id) => id.to_string(),
            Account::Breakage => String::new(),
        },
        account: entry.position.account.to_string(),
        kind: entry.kind.as_str(),
        amount: decimal(entry.signed()),
        currency: entry.position.currency.to_string(),
        breakage: entry.breakage.map_or("", crate::domain::commission::Breakage::as_str),
        order_ts: order.placed_at.as_microsecond(),
        posted_at: micros(posted.trace.posted_at),
    }
}

fn latency(posted: &Posted) -> LatencyRow {
    let trace = &posted.trace;
    let since = |at: Option<Timestamp>, from: Option<Timestamp>| {
        u64::try_from(micros(at).saturating_sub(micros(from))).unwrap_or(0)
    };
    let received = Some(trace.received_at);
    LatencyRow {
        order_key: posted.order.key.to_string(),
        revision: posted.order.revision,
        platform: posted.order.key.platform.as_str(),
        received_at: trace.received_at.as_microsecond(),
        validate_us: since(trace.validated_at, received),
        map_us: since(trace.mapped_at, trace.validated_at),
        commission_us: since(trace.computed_at, trace.mapped_at),
        ledger_us: since(trace.posted_at, trace.computed_at),
        emit_us: since(trace.posted_at, received),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_written_with_six_places() {
        let amount = |text: &str| decimal(Money::parse(text).unwrap());
        assert_eq!(amount("19.80"), 19_800_000);
        assert_eq!(amount("-0.000001"), -1);
    }

    #[test]
    fn a_uuid_keeps_its_order_of_bytes() {
        let bytes: [u8; 16] = std::array::from_fn(|n| u8::try_from(n).unwrap());
        assert_eq!(halves(&bytes), (0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f));
    }
}
