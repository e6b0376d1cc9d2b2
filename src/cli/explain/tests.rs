use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::*;
use crate::store::postgres::{PostedRun, Story};

/// A calculation of an order in euro that pays in dollars.
fn calculation(revision: u64, changed: &[(&str, Value)]) -> Run {
    let hash = "0".repeat(64);
    let mut order = json!({
        "key": { "platform": "shopify", "store": "acme", "order_id": "1" },
        "revision": revision, "status": "paid", "placed_at": "2026-05-01T10:00:00Z",
        "currency": "EUR", "total": "100.00", "attribution": { "won_by": "nobody" },
        "locks": {
            "genealogy": { "seq": 1, "hash": hash },
            "plan": { "id": "sample", "version": 1, "hash": hash },
            "catalog": 1,
            "rate": { "from": "EUR", "to": "USD", "rate": "1.1",
                      "effective_from": "2026-01-01T00:00:00Z", "seq": 1 },
        },
        "lines": [{ "id": "1", "quantity": Decimal::ONE, "net": "100.00", "refunded": "0.00",
                    "base": "100.00", "payout_base": "110.00", "zero": "no_referrer" }],
    });
    for (path, value) in changed {
        *order.pointer_mut(path).unwrap() = value.clone();
    }
    let run = json!({ "engine": "test", "order_hash": hash, "order": order, "walks": {},
                      "lines": [], "totals": {} });
    serde_json::from_value(run).unwrap()
}

#[test]
fn the_currencies_the_rate_and_what_is_paid_on_are_shown() {
    let text = explain(&calculation(1, &[]));
    for part in [
        "currency EUR, commission in USD at 1 EUR = 1.1 USD, in force from 2026-01-01T00:00:00Z",
        "earns on    in USD",
        "    100.00      110.00  no referrer",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let same = [("/locks/rate", Value::Null), ("/lines/0/payout_base", Value::Null)];
    let text = explain(&calculation(1, &same));
    assert!(text.contains("  currency EUR\n"), "{text}");
    assert!(!text.contains("USD"), "{text}");
}

#[test]
fn a_change_of_currency_is_told() {
    let dollars = [
        ("/currency", json!("USD")),
        ("/locks/rate/from", json!("USD")),
        ("/locks/rate/rate", json!("1")),
        ("/lines/0/payout_base", json!("100.00")),
    ];
    let posted = |run| PostedRun { posted_at: Timestamp::UNIX_EPOCH, run, entries: Vec::new() };
    let story = Story {
        order: "shopify/acme/1".to_owned(),
        outcome: "ready".to_owned(),
        revision: 2,
        waits: Vec::new(),
        events: Vec::new(),
        runs: vec![posted(calculation(1, &[])), posted(calculation(2, &dollars))],
    };
    let text = story::tell(&story);
    let told = "posted revision 2: currency EUR -> USD; exchange rate 1 EUR = 1.1 USD -> \
                1 USD = 1 USD; line 1 paid on 110.00 USD -> 100.00 USD\n";
    assert!(text.contains(told), "{text}");
}
