use serde_json::{Value, json};

use super::*;

const PLAN: &str = r#"
id = "sample"
version = 1
title = "Test"
effective_from = "2026-01-01T00:00:00Z"
rounding = "half_even"

[[component]]
kind = "direct"
id = "retail"
inactive_referrer = "roll_up"
rates = { kit = "60 %" }

[[component]]
kind = "fast_start"
id = "fast"
days = 30
orders = "own"
inactive = "passed_over"
walk_limit = 1000
rates = { kit = ["40 %", "10 %"] }
"#;

/// A calculation by a plan that pays nothing, of an order with one line.
fn nothing(people: &Value, line: &Value, idle: &Value) -> Vec<String> {
    let plan = Plan::parse(PLAN).unwrap();
    let hash = "0".repeat(64);
    let order = json!({
        "key": { "platform": "shopify", "store": "acme", "order_id": "1" },
        "revision": 1, "status": "paid", "refund_policy": { "chargebacks": "when_lost" },
        "placed_at": "2026-05-01T10:00:00Z", "currency": "EUR", "total": "100.00",
        "attribution": people, "lines": [line],
        "locks": { "genealogy": { "seq": 1, "hash": hash },
                   "plan": { "id": "sample", "version": 1, "hash": hash }, "catalog": 1 },
    });
    let run = json!({ "engine": "test", "order_hash": hash, "order": order, "walks": {},
                      "lines": [], "totals": {}, "idle": idle });
    let run: Run = serde_json::from_value(run).unwrap();
    let state = state(&run.order).map(|state| format!("state: {state}\n"));
    let text = state.unwrap_or_default() + &tell(&run, &plan);
    text.lines().map(|line| line.trim().to_owned()).collect()
}

fn line(class: &str, refunded: &str, base: &str) -> Value {
    json!({ "id": "1", "quantity": "1", "net": "100.00", "refunded": refunded, "base": base,
            "class": class })
}

#[test]
fn every_component_that_paid_nothing_has_a_reason() {
    let own = json!({ "own_purchase": "302", "won_by": "own_purchase" });
    let sold = json!({ "referrer": "201", "won_by": { "source": "note" } });
    let whole = line("kit", "0.00", "100.00");
    assert_eq!(
        nothing(&own, &whole, &json!({ "fast": { "outside_window": "2026-02-04T00:00:00Z" } })),
        [
            "fast: nothing, because the order was placed 2026-05-01T10:00:00Z, and the 30 days after the \
             enrolment of the buyer were over on 2026-02-04T00:00:00Z",
            "retail: nothing, because 302 bought for themselves, and it pays on what customers buy only",
        ]
    );
    assert_eq!(
        nothing(
            &sold,
            &line("book", "0.00", "100.00"),
            &json!({ "retail": { "excluded_by": "fast" } })
        ),
        [
            "fast: nothing, because it pays on what a new distributor buys for themselves, and this is a \
             customer of 201",
            "retail: nothing, because the fast start fast takes the order in its place",
        ]
    );
    assert_eq!(
        nothing(&own, &line("book", "0.00", "100.00"), &json!({}))[0],
        "fast: nothing, because it has no rate for the class book"
    );
    assert_eq!(
        nothing(&own, &whole, &json!({}))[0],
        "fast: nothing, because nobody in the upline takes a level of it"
    );
    assert_eq!(
        nothing(&json!({ "won_by": "nobody" }), &whole, &json!({}))[1],
        "retail: nothing, because no distributor stands behind the order"
    );
}

#[test]
fn a_refund_is_the_state_of_an_order() {
    let sold = json!({ "referrer": "201", "won_by": { "source": "note" } });
    let told = nothing(&sold, &line("kit", "100.00", "0.00"), &json!({}));
    let state =
        "state: fully refunded: 100.00 of net 100.00 EUR came back: nothing of it earns any more";
    assert_eq!(told[0], state);
    assert_eq!(told[1], "fast: nothing, because no line earns, for the reasons above");
    let told = nothing(&sold, &line("kit", "40.00", "60.00"), &json!({}));
    assert_eq!(told[0], "state: partly refunded: 40.00 of net 100.00 EUR came back");
}
