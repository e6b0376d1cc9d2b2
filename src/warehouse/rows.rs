//! Rows of the warehouse, and how a posted revision becomes rows. Pure.

use clickhouse::Row;
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    domain::{
        commission::{Account, Breakage},
        digest::Digest,
        id::DistributorId,
        ledger::Entry,
        money::Money,
    },
    stage::message::Posted,
};

/// A row of `orders_versions`.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize)]
pub struct OrderRow<'a> {
    order_key: &'a str,
    platform: &'static str,
    store: &'a str,
    order_id: &'a str,
    revision: u64,
    status: &'static str,
    currency: &'a str,
    order_ts: i64,
    received_at: i64,
    posted_at: i64,
    referrer: &'a str,
    own_purchase: &'a str,
    total: i128,
    net: i128,
    refunded: i128,
    base: i128,
    paid: i128,
    breakage: i128,
    plan: String,
    payout_currency: &'a str,
}

/// A row of `commission_lines_versions`.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize)]
pub struct LineRow<'a> {
    event_id: (u64, u64),
    order_key: &'a str,
    platform: &'static str,
    store: &'a str,
    order_id: &'a str,
    revision: u64,
    line_id: &'a str,
    component: &'a str,
    level: u16,
    distributor_id: &'a str,
    account: String,
    kind: &'static str,
    amount: i128,
    currency: &'a str,
    breakage: &'static str,
    order_ts: i64,
    posted_at: i64,
}

/// A row of `stage_latencies_versions`; times in microseconds since the edge had the body.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize)]
pub struct LatencyRow<'a> {
    order_key: &'a str,
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
pub struct Rows<'a> {
    /// Orders.
    pub orders: Vec<OrderRow<'a>>,
    /// Ledger entries.
    pub lines: Vec<LineRow<'a>>,
    /// Latencies.
    pub latencies: Vec<LatencyRow<'a>>,
}

/// Six decimal places as an integer: how ClickHouse stores `Decimal(38, 6)`. Amounts have at most
/// six places, so nothing is lost.
pub fn decimal(amount: Money) -> i128 {
    let mut value = amount.as_decimal();
    value.rescale(6);
    value.mantissa()
}

fn micros(at: Option<Timestamp>) -> i64 {
    at.map_or(0, Timestamp::as_microsecond)
}

/// A UUID in the two halves that ClickHouse wants.
pub fn halves(bytes: &[u8; 16]) -> (u64, u64) {
    let all = u128::from_be_bytes(*bytes);
    let high = u64::try_from(all >> 64).unwrap_or_default();
    let low = u64::try_from(all & u128::from(u64::MAX)).unwrap_or_default();
    (high, low)
}

impl<'a> Rows<'a> {
    /// Adds the rows of a posted revision; `key` is the text of its order's key.
    pub fn push(&mut self, key: &'a str, posted: &'a Posted) {
        self.orders.push(order(key, posted));
        self.lines.extend(posted.entries.iter().map(|entry| line(key, posted, entry)));
        self.latencies.extend(latency(key, posted));
    }

    /// The same for the same revisions, and so for the same rows.
    pub fn token(&self) -> Digest {
        let revisions: Vec<u8> =
            self.orders.iter().flat_map(|order| order.revision.to_be_bytes()).collect();
        let keys = self.orders.iter().map(|order| order.order_key.as_bytes());
        Digest::of_fields(std::iter::once(revisions.as_slice()).chain(keys))
    }
}

fn order<'a>(key: &'a str, posted: &'a Posted) -> OrderRow<'a> {
    let order = &posted.order;
    OrderRow {
        order_key: key,
        platform: order.key.platform.as_str(),
        store: order.key.store.as_str(),
        order_id: order.key.order_id.as_str(),
        revision: order.revision,
        status: order.status.as_str(),
        currency: order.currency.as_str(),
        order_ts: order.placed_at.as_microsecond(),
        received_at: posted.trace.received_at.as_microsecond(),
        posted_at: posted.posted_at.as_microsecond(),
        referrer: order.referrer.as_ref().map_or("", DistributorId::as_str),
        own_purchase: order.own_purchase.as_ref().map_or("", DistributorId::as_str),
        total: decimal(order.total),
        net: decimal(order.net),
        refunded: decimal(order.refunded),
        base: decimal(order.base),
        paid: decimal(order.paid),
        breakage: decimal(order.breakage),
        plan: format!("{}@{}", order.plan.id, order.plan.version),
        payout_currency: order.payout_currency.as_str(),
    }
}

fn line<'a>(key: &'a str, posted: &'a Posted, entry: &'a Entry) -> LineRow<'a> {
    let order = &posted.order;
    let position = &entry.position;
    LineRow {
        event_id: halves(entry.event_id.as_bytes()),
        order_key: key,
        platform: order.key.platform.as_str(),
        store: order.key.store.as_str(),
        order_id: order.key.order_id.as_str(),
        revision: order.revision,
        line_id: position.line.as_str(),
        component: position.component.as_str(),
        level: position.level,
        distributor_id: match &position.account {
            Account::Distributor(id) => id.as_str(),
            Account::Breakage => "",
        },
        account: position.account.to_string(),
        kind: entry.kind.as_str(),
        amount: decimal(entry.signed()),
        currency: position.currency.as_str(),
        breakage: entry.breakage.map_or("", Breakage::as_str),
        order_ts: order.placed_at.as_microsecond(),
        posted_at: posted.posted_at.as_microsecond(),
    }
}

/// None for a revision of before the books kept when it passed the stages.
fn latency<'a>(key: &'a str, posted: &'a Posted) -> Option<LatencyRow<'a>> {
    let trace = &posted.trace;
    trace.computed_at?;
    let since = |at: Option<Timestamp>, from: Option<Timestamp>| {
        u64::try_from(micros(at).saturating_sub(micros(from))).unwrap_or(0)
    };
    let received = Some(trace.received_at);
    Some(LatencyRow {
        order_key: key,
        revision: posted.order.revision,
        platform: posted.order.key.platform.as_str(),
        received_at: trace.received_at.as_microsecond(),
        validate_us: since(trace.validated_at, received),
        map_us: since(trace.mapped_at, trace.validated_at),
        commission_us: since(trace.computed_at, trace.mapped_at),
        ledger_us: since(Some(posted.posted_at), trace.computed_at),
        emit_us: since(Some(posted.posted_at), received),
    })
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
