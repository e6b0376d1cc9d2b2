//! Tests of the WooCommerce adapter, on bodies written for them.

use serde_json::{Value, json};

use crate::{
    domain::{
        id::Platform,
        order::{Fact, LineKind, LooseMoney, Status},
    },
    stage::{
        RejectCode, Rejection, SkipReason,
        platform::{
            Parsed,
            testing::{self, code, earns, money, refund, snapshot},
        },
    },
};

fn read(topic: &str, body: &Value) -> Result<Parsed, Rejection> {
    testing::json(Platform::WooCommerce, topic, body)
}

fn with(changes: Value) -> Value {
    let mut order = json!({
        "id": 1, "status": "processing", "currency": "EUR", "total": "100.00",
        "date_created_gmt": "2026-09-01T10:00:00", "date_modified_gmt": "2026-09-01T10:00:05",
        "line_items": [
            {"id": 11, "quantity": 1, "total": "60.00", "total_tax": "0.00"},
            {"id": 12, "quantity": 1, "total": "40.00", "total_tax": "0.00"},
        ],
    });
    if let Value::Object(changes) = changes {
        for (name, value) in changes {
            order[name] = value;
        }
    }
    order
}

#[test]
fn every_status_has_its_meaning() {
    let status = |word: &str, paid: Value| {
        let order = with(json!({"status": word, "date_paid_gmt": paid}));
        snapshot(read("order.updated", &order)).status
    };
    let table = [
        ("processing", Status::Paid),
        ("completed", Status::Paid),
        ("wc-completed", Status::Paid),
        ("refunded", Status::Paid),
        ("pending", Status::Unpaid),
        ("on-hold", Status::Unpaid),
        ("failed", Status::Voided),
        ("cancelled", Status::Cancelled),
        ("trash", Status::Deleted),
        ("checkout-draft", Status::Draft),
        ("auto-draft", Status::Draft),
        ("ready-to-ship", Status::Unpaid),
    ];
    for (word, expected) in table {
        assert_eq!(status(word, json!(null)), expected, "{word}");
    }
    let paid = json!("2026-09-01T10:00:04");
    assert_eq!(status("ready-to-ship", paid.clone()), Status::Paid);
    for part in [
        "partially-paid",
        "wc-partially-paid",
        "partial-payment",
        "partial-paid",
        "Partial_Payment",
        "deposit-paid",
    ] {
        assert_eq!(status(part, paid.clone()), Status::Unpaid, "{part}");
    }
    for whole in
        ["partial-shipped", "partially-shipped", "partially-refunded", "processing-partial"]
    {
        assert_eq!(status(whole, paid.clone()), Status::Paid, "{whole}");
        assert_eq!(status(whole, json!(null)), Status::Unpaid, "{whole} without a payment");
    }
    assert_eq!(status("on-hold", paid), Status::Unpaid);
}

#[test]
fn topics_that_are_no_orders_are_skipped() {
    let skip = |topic| read(topic, &json!({"id": 1})).unwrap();
    for topic in ["coupon.updated", "coupon.deleted", "customer.deleted", "webhook.updated"] {
        assert_eq!(skip(topic), Parsed::Skip(SkipReason::IrrelevantTopic), "{topic}");
    }
    assert_eq!(skip("action.woocommerce_add_to_cart"), Parsed::Skip(SkipReason::Notice));
    assert_eq!(skip("subscription.updated"), Parsed::Skip(SkipReason::NotAnOrder));
    assert_eq!(code(read("order.updated", &json!({"id": 1}))).0, RejectCode::Incomplete);
    let body = b"webhook_id=12";
    assert_eq!(code(testing::read(Platform::WooCommerce, "", body)).0, RejectCode::Malformed);
}

/// The body of a restored order says when it was last changed, which was before it was deleted; with
/// slow deliveries the receipt of the deletion is later than both.
#[test]
fn a_restored_order_is_a_fact_of_its_own() {
    let facts = testing::facts(read("order.restored", &with(json!({}))));
    let [(of, Fact::Snapshot(snapshot)), (restored, Fact::Restored)] = &*facts else {
        panic!("{facts:?}");
    };
    assert_eq!((&**of, &**restored, snapshot.status), ("1", "1", Status::Paid));
    let told =
        vec![read("order.deleted", &json!({"id": 1})), read("order.restored", &with(json!({})))];
    assert_eq!(earns(told), money("100"));
    let trash = with(json!({"status": "trash"}));
    assert_eq!(earns(vec![read("order.restored", &trash)]), money("0"), "in the bin again");
}

#[test]
fn a_list_with_gaps_is_an_object_of_numbers() {
    let mut order = with(json!({}));
    order["line_items"] = json!({"0": order["line_items"][0], "3": order["line_items"][1]});
    assert_eq!(earns(vec![read("order.created", &order)]), money("100"));
}

#[test]
fn the_header_decides_what_a_negative_fee_is() {
    let fee = json!([{"id": 3, "total": "-10.00", "total_tax": "0.00"}]);
    let discount = with(json!({"fee_lines": fee, "total": "90.00"}));
    let found = snapshot(read("order.updated", &discount));
    assert_eq!([found.lines[0].net, found.lines[1].net], [money("54"), money("36")]);
    let shown_only = with(json!({"fee_lines": fee, "total": "100.00"}));
    assert_eq!(earns(vec![read("order.updated", &shown_only)]), money("100"));
}

#[test]
fn a_line_of_negative_worth_is_a_discount_on_the_others() {
    let mut order = with(json!({"total": "80.00"}));
    let minus = json!({"id": 13, "quantity": 1, "total": "-20.00", "total_tax": "0.00"});
    order["line_items"].as_array_mut().unwrap().push(minus);
    let found = snapshot(read("order.updated", &order));
    let nets: Vec<_> = found.lines.iter().map(|line| line.net).collect();
    assert_eq!(nets, [money("48"), money("32"), money("0")]);
    assert!(found.footing.holds());
}

#[test]
fn what_pays_a_part_does_not_lower_the_merchandise() {
    let card = with(json!({"total": "75.00", "gift_cards": [{"amount": 25}]}));
    let credit = with(json!({"total": "75.00", "coupon_lines": [{"code": "c", "discount": "25"}]}));
    for order in [card, credit] {
        let found = snapshot(read("order.updated", &order));
        assert!(found.footing.holds());
        assert_eq!(found.lines[0].net, money("60"));
    }
}

#[test]
fn repeated_ids_count_as_the_header_counts_them() {
    let twice = |total: &str| {
        let line = json!({"id": 7, "quantity": 1, "total": "25.00", "total_tax": "0.00"});
        snapshot(read("order.updated", &with(json!({"total": total, "line_items": [line, line]}))))
    };
    assert_eq!(twice("25.00").lines[0].net, money("25"));
    let both = twice("50.00");
    assert_eq!((both.lines.len(), both.lines[0].net), (1, money("50")));
}

#[test]
fn a_sold_gift_card_is_no_merchandise() {
    let meta = json!([{"key": "_wc_gc_giftcard_to", "value": "x"}]);
    let line = json!({"id": 7, "quantity": 1, "total": "100.00", "meta_data": meta});
    let found = snapshot(read("order.updated", &with(json!({"line_items": [line]}))));
    assert_eq!(found.lines[0].kind, LineKind::GiftCard);
}

#[test]
fn a_price_is_never_read() {
    let mut order = with(json!({}));
    order["line_items"][0]["price"] = json!("not a number");
    assert_eq!(earns(vec![read("order.updated", &order)]), money("100"));
}

#[test]
fn a_refund_follows_its_amount() {
    let body = |amount: &str, line: Value| {
        json!({
            "id": 80, "order_id": 1, "amount": amount, "date_created_gmt": "2026-09-02T10:00:00",
            "line_items": [line],
        })
    };
    let meta = json!([{"key": "_refunded_item_id", "value": "11"}]);
    let line = |total: &str| json!({"quantity": -1, "total": total, "meta_data": meta});
    let less = refund(read("refund", &body("45.00", line("-60.00"))));
    assert_eq!((less.lines[0].net, less.loose.len()), (money("45"), 0));
    let more = refund(read("refund", &body("70.00", line("-60.00"))));
    assert_eq!(more.loose, [LooseMoney { gross: money("10"), against: None }]);
    let nothing = refund(read("refund", &body("10.00", line("0.00"))));
    assert_eq!(nothing.loose[0].against, Some(less.lines[0].line.clone()));
    let unnamed = json!({"quantity": -1, "total": "-60.00", "meta_data": []});
    let unnamed = refund(read("order.refunded", &body("60.00", unnamed)));
    assert_eq!(unnamed.loose, [LooseMoney { gross: money("60"), against: None }]);
    let orphan = json!({"id": 80, "amount": "1.00", "line_items": []});
    assert_eq!(code(read("refund", &orphan)), (RejectCode::Incomplete, "order_id".to_owned()));
    let list = json!([body("45.00", line("-60.00")), body("1.00", line("-1.00"))]);
    assert_eq!(testing::facts(read("refund", &list)).len(), 2);
}

#[test]
fn a_deleted_refund_gives_back_what_it_took() {
    let before = with(json!({"refunds": [{"id": 80, "total": "-50.00"}]}));
    let after = with(json!({"refunds": [], "date_modified_gmt": "2026-09-05T10:00:00"}));
    let read = |order| read("order.updated", order);
    assert_eq!(earns(vec![read(&before)]), money("50"));
    assert_eq!(earns(vec![read(&before), read(&after)]), money("100"));
}

/// The body of an older API or of a proxy leaves the list out: then the refunds are not known, and
/// those of other messages stand.
#[test]
fn an_order_without_its_refunds_gives_nothing_back() {
    let before = with(json!({"refunds": [{"id": 80, "total": "-50.00"}]}));
    let mut after = with(json!({"date_modified_gmt": "2026-09-05T10:00:00"}));
    let read = |order: &Value| read("order.updated", order);
    assert_eq!(earns(vec![read(&before), read(&after)]), money("50"), "the key is absent");
    after["refunds"] = Value::Null;
    assert_eq!(earns(vec![read(&before), read(&after)]), money("50"), "null");
}

/// The refund is as old as its receipt, which is after the order's last change.
#[test]
fn an_undated_refund_counts_from_its_receipt() {
    let order = with(json!({"refunds": []}));
    let undated = json!({"id": 80, "order_id": 1, "amount": "40.00", "line_items": []});
    let told = vec![read("order.updated", &order), read("refund", &undated)];
    assert_eq!(earns(told), money("60"));
}

#[test]
fn a_personal_reason_goes_nowhere() {
    let order = with(json!({
        "refunds": [{"id": 80, "reason": "Jane moved", "total": "-50.00"}],
        "billing": {"first_name": "Jane"}, "customer_note": "Jane",
    }));
    assert!(!format!("{:?}", read("order.updated", &order)).contains("Jane"));
}
