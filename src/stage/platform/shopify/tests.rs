//! Tests of the Shopify adapter, on bodies written for them.

use serde_json::{Value, json};

use crate::{
    domain::{
        id::Platform,
        order::{ChargebackPolicy, Detail, LineKind, RefundPolicy, Status},
    },
    stage::{
        RejectCode, SkipReason,
        platform::{
            Parsed, StorePolicy,
            testing::{self, code, earns, money, refund, snapshot},
        },
    },
};

fn read(topic: &str, body: &Value) -> Result<Parsed, crate::stage::Rejection> {
    testing::json(Platform::Shopify, topic, body)
}

fn order() -> Value {
    json!({
        "id": 1, "currency": "USD", "financial_status": "paid", "total_price": "50.00",
        "cancelled_at": null, "test": false, "refunds": [],
        "created_at": "2026-10-01T10:00:00+02:00", "updated_at": "2026-10-01T10:00:05+02:00",
        "line_items": [{"id": 11, "sku": "A", "quantity": 1, "price": "50.00"}],
    })
}

fn with(changes: Value) -> Value {
    let mut order = order();
    if let Value::Object(changes) = changes {
        for (name, value) in changes {
            order[name] = value;
        }
    }
    order
}

#[test]
fn the_status_is_decided_in_this_order() {
    let status = |changes| snapshot(read("orders/updated", &with(changes))).status;
    let cancelled = json!("2026-10-02T10:00:00Z");
    assert_eq!(status(json!({"test": true, "cancelled_at": cancelled})), Status::Test);
    assert_eq!(status(json!({"cancelled_at": cancelled})), Status::Cancelled);
    assert_eq!(status(json!({"financial_status": "voided"})), Status::Voided);
    for paid in ["paid", "partially_refunded", "refunded"] {
        assert_eq!(status(json!({"financial_status": paid})), Status::Paid);
    }
    for paid in ["PAID", "Partially_Refunded", "REFUNDED"] {
        assert_eq!(status(json!({"financial_status": paid})), Status::Paid);
    }
    for waits in [json!("pending"), json!("authorized"), json!("partially_paid"), json!(null)] {
        assert_eq!(status(json!({"financial_status": waits})), Status::Unpaid);
    }
}

/// The status of `refunded` says that nothing is left, even where the list of refunds falls short.
#[test]
fn refunded_takes_all_in_capitals_too() {
    for word in ["refunded", "REFUNDED", "Refunded"] {
        let order = with(json!({"financial_status": word}));
        assert_eq!(earns(vec![read("orders/updated", &order)]), money("0"), "{word}");
    }
}

/// A subscription with a `fields` filter leaves the list out: then the refunds are not known, and
/// those of older messages stand. An empty list says that there are none.
#[test]
fn an_order_without_its_refunds_gives_nothing_back() {
    let later = |refunds: Option<Value>| {
        let mut order = with(json!({"updated_at": "2026-10-05T10:00:00Z"}));
        match refunds {
            Some(refunds) => order["refunds"] = refunds,
            None => drop(order.as_object_mut().unwrap().remove("refunds")),
        }
        order
    };
    let refunded = with(json!({"refunds": [refund_body(json!({}))], "taxes_included": false}));
    let both = |order: &Value| {
        earns(vec![read("orders/updated", &refunded), read("orders/updated", order)])
    };
    assert_eq!(both(&later(None)), money("0"), "the key is absent");
    assert_eq!(both(&later(Some(Value::Null))), money("0"), "null");
    assert_eq!(both(&later(Some(json!([])))), money("50"), "none are left");
}

/// Without one of these fields a body would say that the order is not cancelled, no test, not paid.
#[test]
fn an_order_without_what_decides_its_status_is_incomplete() {
    for name in ["cancelled_at", "test", "financial_status"] {
        for topic in ["orders/updated", "orders/paid"] {
            let mut order = order();
            order.as_object_mut().unwrap().remove(name);
            let rejection = read(topic, &order).unwrap_err();
            let told = (rejection.code, rejection.path.as_str());
            assert_eq!(told, (RejectCode::Incomplete, name));
            assert!(rejection.message.contains("fields"), "{rejection}");
            order[name] = Value::Null;
            assert!(read(topic, &order).is_ok(), "null of {name} is a value");
        }
    }
}

#[test]
fn topics_are_told_apart_without_the_body() {
    let skip = |topic| read(topic, &json!("anything")).unwrap();
    for topic in ["draft_orders/create", "DRAFT_ORDERS_UPDATE", "checkouts/update", "carts/create"]
    {
        assert_eq!(skip(topic), Parsed::Skip(SkipReason::NotAnOrder), "{topic}");
    }
    for topic in ["orders/edited", "order_transactions/create"] {
        assert_eq!(skip(topic), Parsed::Skip(SkipReason::Notice), "{topic}");
    }
    for topic in
        ["collections/update", "customers/delete", "fulfillments/create", "", "app/uninstalled"]
    {
        assert_eq!(skip(topic), Parsed::Skip(SkipReason::IrrelevantTopic), "{topic}");
    }
    assert_eq!(code(read("events:orders/update", &order())).0, RejectCode::UnsupportedForm);
    assert_eq!(earns(vec![read("ORDERS_PAID", &order())]), money("50"));
}

#[test]
fn envelopes_are_taken_off() {
    assert_eq!(earns(vec![read("orders/paid", &json!({"order": order()}))]), money("50"));
    assert_eq!(earns(vec![read("orders/paid", &json!({"orders": [order()]}))]), money("50"));
    let cut = json!({"order": {"id": 5}});
    assert_eq!(
        code(read("orders/paid", &cut)),
        (RejectCode::Incomplete, "order.line_items".to_owned())
    );
}

#[test]
fn a_deletion_needs_only_an_id() {
    for body in
        [json!({"id": 7}), json!({"id": "gid://shopify/Order/7"}), json!({"order": {"id": 7}})]
    {
        assert_eq!(testing::facts(read("orders/delete", &body))[0].0, "7");
    }
}

#[test]
fn odd_types_where_nothing_depends_on_them_are_harmless() {
    let odd = json!({
        "customer": [], "note_attributes": {"a": "b"}, "discount_codes": "x", "tags": 5,
        "shipping_lines": null, "refunds": null, "landing_site": {"x": 1}, "name": ["#1"],
        "total_tip_received": null, "total_tax": false, "processed_at": "",
    });
    assert_eq!(earns(vec![read("orders/paid", &with(odd))]), money("50"));
}

#[test]
fn what_money_or_identity_needs_is_refused_with_its_place() {
    let bad = |changes| code(read("orders/paid", &with(changes)));
    let items = |line| json!({ "line_items": line });
    assert_eq!(bad(items(json!("x"))), (RejectCode::Shape, "line_items".to_owned()));
    assert_eq!(bad(items(json!([4]))), (RejectCode::Shape, "line_items[0]".to_owned()));
    assert_eq!(
        bad(items(json!([{"id": 1, "price": {"amount": 1}}]))),
        (RejectCode::Shape, "line_items[0].price".to_owned())
    );
    assert_eq!(
        bad(items(json!([{"id": null, "price": "1"}]))),
        (RejectCode::Shape, "line_items[0].id".to_owned())
    );
    assert_eq!(bad(json!({"id": 9.1e17})), (RejectCode::Value, "id".to_owned()));
    assert_eq!(bad(json!({"currency": "Dollars"})), (RejectCode::Value, "currency".to_owned()));
    assert_eq!(bad(json!({"updated_at": "now"})), (RejectCode::Value, "updated_at".to_owned()));
    let errors = json!({"errors": "[API] Invalid API key"});
    assert_eq!(code(read("orders/paid", &errors)).0, RejectCode::ErrorObject);
}

#[test]
fn old_orders_state_discounts_on_the_line_or_only_in_the_header() {
    let line =
        |off: &str| json!([{"id": 11, "quantity": 1, "price": "50.00", "total_discount": off}]);
    let on_line = with(json!({"line_items": line("5.00"), "total_price": "45.00"}));
    assert_eq!(earns(vec![read("orders/paid", &on_line)]), money("45"));
    let in_header = with(json!({
        "line_items": line("0.00"), "total_discounts": "10.00", "total_price": "40.00",
    }));
    let snapshot = snapshot(read("orders/paid", &in_header));
    assert_eq!((snapshot.lines[0].net, snapshot.footing.holds()), (money("40"), true));
    let shipping = with(json!({
        "line_items": line("0.00"), "total_discounts": "4.00", "total_price": "50.00",
        "shipping_lines": [{"price": "4.00", "discount_allocations": [{"amount": "4.00"}]}],
    }));
    assert_eq!(earns(vec![read("orders/paid", &shipping)]), money("50"));
}

#[test]
fn duties_and_rounding_are_in_the_footing_and_a_miss_does_not_block() {
    let set = |amount: &str| json!({"shop_money": {"amount": amount, "currency_code": "USD"}});
    let duties = with(json!({"total_price": "57.50", "original_total_duties_set": set("7.50")}));
    assert!(snapshot(read("orders/paid", &duties)).footing.holds());
    let unknown = snapshot(read("orders/paid", &with(json!({"total_price": "58.00"}))));
    assert!(!unknown.footing.holds());
    assert_eq!(unknown.lines[0].net, money("50"));
}

#[test]
fn tips_are_marked_by_either_form() {
    let tip = json!({"id": 12, "quantity": 1, "price": "2.00", "tip": {"payment_method": "x"}});
    let order =
        with(json!({"total_price": "52.00", "line_items": [order()["line_items"][0], tip]}));
    let snapshot = snapshot(read("orders/paid", &order));
    assert_eq!(snapshot.lines[1].kind, LineKind::Tip);
    assert!(snapshot.footing.holds());
}

#[test]
fn of_two_states_of_one_second_the_one_further_on_wins() {
    let pending = with(json!({"financial_status": "pending"}));
    let paid = order();
    let refunded = with(json!({"refunds": [{"id": 1, "refund_line_items": [
        {"line_item_id": 11, "quantity": 1, "subtotal": 50.0, "total_tax": 0.0},
    ]}]}));
    let cancelled = with(json!({"cancelled_at": "2026-10-01T10:00:05+02:00"}));
    let both = |a: &Value, b: &Value| {
        let there = earns(vec![read("orders/updated", a), read("orders/updated", b)]);
        let back = earns(vec![read("orders/updated", b), read("orders/updated", a)]);
        assert_eq!(there, back);
        there
    };
    assert_eq!(both(&pending, &paid), money("50"));
    assert_eq!(both(&paid, &refunded), money("0"));
    assert_eq!(both(&paid, &cancelled), money("0"));
}

fn refund_body(changes: Value) -> Value {
    let mut body = json!({
        "id": 90, "order_id": 1, "created_at": "2026-10-03T10:00:00Z", "order_adjustments": [],
        "transactions": [], "refund_line_items": [
            {"line_item_id": 11, "quantity": 1, "subtotal": 50.0, "total_tax": 5.0},
        ],
    });
    if let Value::Object(changes) = changes {
        for (name, value) in changes {
            body[name] = value;
        }
    }
    body
}

/// Without a time of its own a refund is as old as its receipt; else no order without it in the list
/// would be too old to know it.
#[test]
fn an_undated_refund_counts_from_its_receipt() {
    let mut undated = refund_body(json!({}));
    undated.as_object_mut().unwrap().remove("created_at");
    let told = |updated: &str| {
        let order = with(json!({"updated_at": updated, "taxes_included": false}));
        earns(vec![read("orders/updated", &order), read("refunds/create", &undated)])
    };
    assert_eq!(told("2026-11-21T09:00:00Z"), money("0"), "the order is older than the receipt");
    assert_eq!(told("2026-11-21T11:00:00Z"), money("50"), "a younger order does not list it");
}

fn dispute(status: &Value) -> Value {
    json!({
        "id": 70, "order_id": 1, "type": "chargeback", "status": status, "amount": "50.00",
        "currency": "USD",
    })
}

#[test]
fn a_prevented_dispute_takes_nothing() {
    let policy = StorePolicy {
        refunds: RefundPolicy { chargebacks: ChargebackPolicy::WhenOpened, ..Default::default() },
        ..StorePolicy::default()
    };
    let read = |topic, body: &Value| {
        testing::read_by(Platform::Shopify, topic, body.to_string().as_bytes(), &policy)
    };
    let order = || read("orders/paid", &order());
    let told = |status: &str| read("disputes/update", &dispute(&json!(status)));
    assert_eq!(earns(vec![order(), told("needs_response")]), money("0"));
    assert!(told("prevented").is_ok());
    assert_eq!(earns(vec![order(), told("needs_response"), told("prevented")]), money("50"));
}

#[test]
fn an_unknown_dispute_is_refused_in_plain_words() {
    let unknown = "\"odd\" is no known status";
    for (status, said) in [(json!("odd"), unknown), (json!(null), "is missing")] {
        let rejection = read("disputes/update", &dispute(&status)).unwrap_err();
        assert_eq!((rejection.code, rejection.path.as_str()), (RejectCode::Value, "status"));
        assert!(rejection.message.contains(said), "{rejection}");
        assert!(!rejection.message.contains("Some") && !rejection.message.contains("None"));
    }
}

fn paid(amount: &str, status: &str, currency: &str) -> Value {
    json!([{"kind": "refund", "status": status, "amount": amount, "currency": currency}])
}

fn discrepancy(amount: &str) -> Value {
    json!([{"kind": "refund_discrepancy", "amount": amount}])
}

#[test]
fn a_refund_alone_finds_out_whether_prices_hold_tax() {
    let of = |changes| refund(read("refunds/create", &refund_body(changes)));
    let sums = |r: crate::domain::order::Refund| (r.detail, r.lines[0].net, r.lines[0].gross);
    let by_money = of(json!({"transactions": paid("50.00", "success", "USD")}));
    assert_eq!(sums(by_money), (Detail::Full, money("45"), money("50")));
    let on_top = of(json!({"transactions": paid("55.00", "success", "USD")}));
    assert_eq!(sums(on_top), (Detail::Full, money("50"), money("55")));
    // Nothing tells: a summary, so that the order's own description wins.
    assert_eq!(sums(of(json!({}))), (Detail::Summary, money("50"), money("55")));
}

#[test]
fn only_a_stated_discrepancy_makes_a_refund_smaller() {
    let net = |changes| {
        let refund = refund(read("refunds/create", &refund_body(changes)));
        let loose: crate::domain::money::Money = refund.loose.iter().map(|l| l.gross).sum();
        (refund.lines[0].net, loose)
    };
    let lines = json!([{"line_item_id": 11, "quantity": 1, "subtotal": "50.00", "total_tax": 0}]);
    let case = |transactions: Value, adjustments: Value| {
        net(json!({
            "refund_line_items": lines, "transactions": transactions,
            "order_adjustments": adjustments,
        }))
    };
    let none = json!([]);
    let full = (money("50"), money("0"));
    assert_eq!(case(paid("20.00", "success", "USD"), none.clone()), full);
    // A payment under way: the platform calls all of it a discrepancy.
    assert_eq!(case(paid("50.00", "pending", "USD"), discrepancy("50.00")), full);
    // No payment at all: the units left the order, whatever the discrepancy says.
    assert_eq!(case(none.clone(), discrepancy("50.00")), full);
    assert_eq!(case(none, discrepancy("-2.40")), full);
    let kept = (money("44.50"), money("0"));
    assert_eq!(case(paid("44.50", "success", "USD"), discrepancy("5.50")), kept);
    // The sign varies between bodies; the money does not.
    assert_eq!(case(paid("44.50", "success", "USD"), discrepancy("-5.50")), kept);
    let extra = (money("50"), money("2.40"));
    assert_eq!(case(paid("52.40", "success", "USD"), discrepancy("-2.40")), extra);
    assert_eq!(case(paid("52.40", "success", "USD"), json!([])), extra);
}

/// The buyer of a refund whose payments all failed has nothing back. Another payment is another state
/// of the same refund, whichever message comes first.
#[test]
fn a_refund_whose_payments_all_failed_takes_nothing() {
    let of = |transactions: Value| {
        let refund = refund_body(json!({"transactions": transactions}));
        let at = "2026-10-04T10:00:00Z";
        with(json!({"updated_at": at, "taxes_included": false, "refunds": [refund]}))
    };
    let earned = |transactions: Value| earns(vec![read("orders/updated", &of(transactions))]);
    let one = |status: &str| paid("55.00", status, "USD")[0].clone();
    for failed in [json!([one("failure")]), json!([one("error"), one("failure")])] {
        assert_eq!(earned(failed.clone()), money("50"), "{failed}");
        let alone = refund(read("refunds/create", &refund_body(json!({"transactions": failed}))));
        assert_eq!((alone.lines, alone.loose), (vec![], vec![]));
    }
    for other in ["success", "pending", "awaiting_response"] {
        assert_eq!(earned(json!([one("failure"), one(other)])), money("0"), "{other}");
    }
    assert_eq!(earned(json!([])), money("0"), "no payment: the units left the order");
    // Pending when the refund was made, failed when the order was sent.
    let under_way = refund_body(json!({"transactions": [one("pending")]}));
    let told = || {
        [read("refunds/create", &under_way), read("orders/updated", &of(json!([one("failure")])))]
    };
    assert_eq!(earns(told().into_iter().collect()), money("50"));
    assert_eq!(earns(told().into_iter().rev().collect()), money("50"));
}

#[test]
fn money_in_the_buyers_currency_at_an_unknown_rate_is_a_summary() {
    let set = json!({"shop_money": {"amount": "0.00", "currency_code": "USD"}});
    let body = refund_body(json!({
        "refund_line_items": [], "total_duties_set": set,
        "transactions": paid("40.00", "success", "CAD"),
    }));
    let found = refund(read("refunds/create", &body));
    assert_eq!((found.detail, found.loose), (Detail::Summary, vec![]));
    let rate = |amount: &str, code: &str| json!({"amount": amount, "currency_code": code});
    let order = with(json!({
        "refunds": [body],
        "total_price_set": {
            "shop_money": rate("50.00", "USD"), "presentment_money": rate("80.00", "CAD"),
        },
    }));
    assert_eq!(earns(vec![read("orders/updated", &order)]), money("25"));
}
