//! What the tests of the adapters share.

use jiff::Timestamp;
use serde_json::Value;

use super::{Parsed, RawEvent, StorePolicy, parse};
use crate::{
    domain::{
        digest::Digest,
        id::{Platform, StoreId},
        money::Money,
        order::{Fact, OrderState, Refund, Snapshot},
    },
    stage::{RejectCode, Rejection},
};

pub(crate) fn read(platform: Platform, topic: &str, body: &[u8]) -> Result<Parsed, Rejection> {
    read_by(platform, topic, body, &StorePolicy::default())
}

pub(crate) fn read_by(
    platform: Platform,
    topic: &str,
    body: &[u8],
    policy: &StorePolicy,
) -> Result<Parsed, Rejection> {
    read_at(platform, topic, body, policy, "d-1", "2026-11-21T10:00:00Z".parse().unwrap())
}

pub(crate) fn read_at(
    platform: Platform,
    topic: &str,
    body: &[u8],
    policy: &StorePolicy,
    delivery: &str,
    received_at: Timestamp,
) -> Result<Parsed, Rejection> {
    let store = StoreId::parse("acme").unwrap();
    let event = RawEvent {
        platform,
        store: &store,
        topic,
        delivery,
        received_at,
        digest: Digest::ZERO,
        body,
    };
    parse(&event, policy)
}

pub(crate) fn json(platform: Platform, topic: &str, body: &Value) -> Result<Parsed, Rejection> {
    read(platform, topic, body.to_string().as_bytes())
}

pub(crate) fn code(outcome: Result<Parsed, Rejection>) -> (RejectCode, String) {
    let rejection = outcome.unwrap_err();
    (rejection.code, rejection.path)
}

/// The facts of a delivery with their order ids.
pub(crate) fn facts(outcome: Result<Parsed, Rejection>) -> Vec<(String, Fact)> {
    match outcome.unwrap() {
        Parsed::Facts(events) => {
            events.into_iter().map(|e| (e.key.order_id.to_string(), e.fact)).collect()
        }
        Parsed::Customer(event) => panic!("about a customer: {event:?}"),
        Parsed::Articles(events) => panic!("articles: {events:?}"),
        Parsed::Skip(reason) => panic!("skipped: {reason:?}"),
    }
}

pub(crate) fn snapshot(outcome: Result<Parsed, Rejection>) -> Snapshot {
    match facts(outcome).remove(0).1 {
        Fact::Snapshot(snapshot) => *snapshot,
        other @ (Fact::Refund(_)
        | Fact::Chargeback(_)
        | Fact::Deleted
        | Fact::Decision(_)
        | Fact::Restored
        | Fact::Recheck) => {
            panic!("no snapshot: {other:?}")
        }
    }
}

pub(crate) fn refund(outcome: Result<Parsed, Rejection>) -> Refund {
    match facts(outcome).pop().unwrap().1 {
        Fact::Refund(refund) => refund,
        other @ (Fact::Snapshot(_)
        | Fact::Chargeback(_)
        | Fact::Deleted
        | Fact::Decision(_)
        | Fact::Restored
        | Fact::Recheck) => {
            panic!("no refund: {other:?}")
        }
    }
}

/// What all these deliveries together come to.
pub(crate) fn earns(outcomes: Vec<Result<Parsed, Rejection>>) -> Money {
    let mut state = OrderState::default();
    for outcome in outcomes {
        if let Ok(Parsed::Facts(events)) = outcome {
            state = events.into_iter().map(OrderState::of).fold(state, OrderState::join);
        }
    }
    state.effective().iter().map(|line| line.net).sum()
}

pub(crate) fn money(text: &str) -> Money {
    Money::parse(text).unwrap()
}
