//! Tests of the Magento adapter, on bodies written for them.

use serde_json::{Value, json};

use crate::{
    domain::{
        id::Platform,
        order::{Line, LineKind, LooseMoney, Status},
    },
    stage::{
        RejectCode, Rejection, SkipReason,
        platform::{
            Parsed,
            testing::{self, code, earns, facts, money, refund, snapshot},
        },
    },
};

fn read(topic: &str, body: &Value) -> Result<Parsed, Rejection> {
    testing::json(Platform::Magento, topic, body)
}

fn item(id: u32, row_total: impl Into<Value>) -> Value {
    let row_total = row_total.into();
    json!({
        "item_id": id, "sku": "A", "qty_ordered": 2, "product_type": "simple",
        "base_row_total": row_total,
    })
}

fn with(changes: Value) -> Value {
    let mut order = json!({
        "entity_id": 1, "state": "processing", "base_currency_code": "USD",
        "created_at": "2026-08-03 06:00:00", "updated_at": "2026-08-03 06:05:00",
        "base_grand_total": 105, "base_shipping_amount": 5, "base_total_due": 0,
        "items": [item(11, json!(100))],
    });
    if let Value::Object(changes) = changes {
        for (name, value) in changes {
            order[name] = value;
        }
    }
    order
}

#[test]
fn state_and_payment_decide_not_the_status() {
    let status = |changes| snapshot(read("sales.order.updated", &with(changes))).status;
    assert_eq!(status(json!({"status": "shipped_by_boat"})), Status::Paid);
    assert_eq!(status(json!({"base_total_due": 105})), Status::Unpaid);
    assert_eq!(status(json!({"base_total_due": 105, "base_total_paid": 105})), Status::Paid);
    assert_eq!(status(json!({"base_total_due": 45, "base_total_paid": 60})), Status::Unpaid);
    let part_cancelled =
        json!({"base_total_due": 45, "base_total_paid": 60, "base_total_canceled": 45});
    assert_eq!(status(part_cancelled), Status::Paid);
    assert_eq!(status(json!({"base_total_due": null})), Status::Unpaid);
    assert_eq!(status(json!({"base_total_due": null, "state": "complete"})), Status::Paid);
    for state in ["new", "pending_payment", "holded", "payment_review", "custom"] {
        assert_eq!(status(json!({"state": state})), Status::Unpaid, "{state}");
    }
    assert_eq!(status(json!({"state": "canceled"})), Status::Cancelled);
    assert_eq!(status(json!({"state": null, "status": "canceled"})), Status::Cancelled);
}

#[test]
fn every_envelope_is_taken_off() {
    let order = with(json!({}));
    let bodies = [
        order.clone(),
        json!([order]),
        json!({"data": order}),
        json!({"data": [order]}),
        json!({"event": {"data": {"value": order, "source": "x", "_metadata": {}}}}),
        json!({"data": {"value": order}}),
        json!({"specversion": "1.0", "id": "u", "data": {"event": {"data": {"value": order}}}}),
        json!({"event": {"data": {"order": order}}}),
        json!({"order": order, "customer": {"id": 5}, "invoice": {"order_id": 1}}),
        json!({"items": [order], "search_criteria": {}, "total_count": 1}),
    ];
    for body in bodies {
        for topic in ["sales.order.created", "observer.sales_order_save_commit_after", ""] {
            assert_eq!(earns(vec![read(topic, &body)]), money("100"), "{topic} {body}");
        }
    }
    let several = json!({"items": [with(json!({})), with(json!({"entity_id": 2}))]});
    assert_eq!(facts(read("orders", &several)).len(), 2);
    let none = json!({"items": [], "total_count": 0});
    assert_eq!(read("orders", &none), Ok(Parsed::Skip(SkipReason::NothingNew)));
}

#[test]
fn a_broken_order_in_a_search_result_names_its_place() {
    let bad = with(json!({"items": [item(11, json!("a lot"))]}));
    let body = json!({"data": {"items": [with(json!({})), bad]}});
    let expected = "data.items[1].items[0].base_row_total".to_owned();
    assert_eq!(code(read("", &body)), (RejectCode::Value, expected));
}

#[test]
fn what_is_no_order_is_skipped() {
    let skip = |topic, body| read(topic, &body).unwrap();
    let product = json!({"event": {"data": {"value": {"entity_id": "3", "type_id": "simple"}}}});
    for topic in ["observer.catalog_category_save_after", "catalog.category.updated"] {
        assert_eq!(skip(topic, product.clone()), Parsed::Skip(SkipReason::IrrelevantTopic));
    }
    assert_eq!(skip("", product), Parsed::Skip(SkipReason::IrrelevantTopic));
    assert_eq!(skip("sales.quote.saved", json!({})), Parsed::Skip(SkipReason::NotAnOrder));
    let shipment = json!({"data": {"entity_id": 4, "order_id": 1, "items": []}});
    assert_eq!(skip("sales.shipment.created", shipment), Parsed::Skip(SkipReason::Notice));
    let error = json!({"message": "The consumer isn't authorized", "parameters": {}});
    assert_eq!(code(read("sales.order.created", &error)).0, RejectCode::ErrorObject);
    let partial = with(json!({"items": [{"item_id": 11, "sku": "A"}]}));
    assert_eq!(code(read("", &partial)).0, RejectCode::Incomplete);
}

#[test]
fn the_base_currency_counts_and_is_found_by_the_rate_where_it_is_missing() {
    let order = json!({
        "entity_id": 1, "state": "complete", "base_currency_code": "USD",
        "order_currency_code": "UGX", "base_to_order_rate": "2.0000", "grand_total": "72.0000",
        "shipping_amount": 10, "created_at": "2026-08-03 06:00:00",
        "items": [{"item_id": "9", "sku": "A", "row_total": "62.0000", "qty_ordered": 1}],
    });
    let found = snapshot(read("", &order));
    assert_eq!((found.lines[0].net, found.total), (money("31"), money("36")));
    let mut unknown = order;
    unknown["base_to_order_rate"] = json!(null);
    assert_eq!(code(read("", &unknown)).0, RejectCode::Incomplete);
}

#[test]
fn a_child_without_its_parent_row_brings_it_along() {
    let child = json!({
        "item_id": 12, "parent_item_id": 11, "sku": "A", "base_row_total": 0,
        "parent_item": item(11, json!(100)),
    });
    let found = snapshot(read("", &with(json!({"items": [child]}))));
    assert_eq!((found.lines.len(), found.lines[0].id.as_str()), (1, "11"));
    assert_eq!(found.lines[0].net, money("100"));
}

#[test]
fn deep_nesting_is_an_error_and_no_crash() {
    let depth = 100_000;
    let mut body = "{\"parent_item\":".repeat(depth);
    body.push('1');
    body.push_str(&"}".repeat(depth));
    let body =
        format!("{{\"entity_id\":1,\"grand_total\":1,\"state\":\"new\",\"items\":[{body}]}}");
    assert!(testing::read(Platform::Magento, "", body.as_bytes()).is_err());
}

#[test]
fn rows_say_what_was_refunded_of_them() {
    let left = |changes: Value, state: &str| {
        let mut row = item(11, json!(100));
        if let Value::Object(changes) = changes {
            for (name, value) in changes {
                row[name] = value;
            }
        }
        earns(vec![read("", &with(json!({"items": [row], "state": state})))])
    };
    assert_eq!(left(json!({}), "complete"), money("100"));
    assert_eq!(left(json!({"base_amount_refunded": "50.0000"}), "complete"), money("50"));
    assert_eq!(left(json!({"qty_refunded": 1}), "complete"), money("50"));
    assert_eq!(left(json!({"qty_canceled": 1}), "complete"), money("50"));
    assert_eq!(left(json!({}), "closed"), money("0"));
    let all = with(json!({"base_total_refunded": 105}));
    assert_eq!(earns(vec![read("", &all)]), money("0"));
}

/// Two units for 100.00 and one of them cancelled: one is sold and none was refunded, so a memo for it
/// takes the one that is left. Of an order cancelled as a whole the lines stay as they were ordered.
#[test]
fn cancelled_units_are_neither_sold_nor_refunded() {
    let order = |canceled: u32, state: &str| {
        let mut row = item(11, json!(100));
        row["qty_canceled"] = json!(canceled);
        row["base_tax_amount"] = json!(10);
        with(
            json!({"items": [row], "state": state, "base_grand_total": 115, "base_tax_amount": 10}),
        )
    };
    let line = |canceled, state| snapshot(read("", &order(canceled, state))).lines.remove(0);
    let figures = |line: &Line| (line.quantity, line.net, line.gross, line.refunded);
    let one = line(1, "processing");
    assert_eq!(figures(&one), (1.into(), money("50"), money("55"), money("0")));
    let none = line(2, "processing");
    assert_eq!(figures(&none), (0.into(), money("0"), money("0"), money("0")));
    let whole = line(2, "canceled");
    assert_eq!(figures(&whole), (2.into(), money("100"), money("110"), money("0")));
    let memo = json!({
        "entity_id": 7, "order_id": 1, "state": 2, "base_currency_code": "USD",
        "base_grand_total": 55, "adjustment": 0,
        "items": [{"order_item_id": 11, "qty": 1, "base_row_total": 50, "base_tax_amount": 5}],
    });
    let memo = || read("sales.creditmemo.created", &memo);
    assert_eq!(earns(vec![read("", &order(1, "processing")), memo()]), money("0"));
}

/// A bundle of 90.00 with a child of 50.00 under a header of 120.00: both sums are for the person who
/// has to find what is missing.
#[test]
fn a_bundle_that_adds_up_in_no_reading_says_both_sums() {
    let mut bundle = item(9, json!(90));
    bundle["product_type"] = json!("bundle");
    let mut child = item(10, json!(50));
    child["parent_item_id"] = json!(9);
    let order = with(json!({
        "items": [bundle, child], "base_grand_total": 120, "base_shipping_amount": 0,
    }));
    let footing = snapshot(read("", &order)).footing;
    assert_eq!((footing.rows, footing.parents), (money("50"), Some(money("90"))));
    let plain = with(json!({"base_grand_total": 120}));
    assert_eq!(snapshot(read("", &plain)).footing.parents, None, "there is one reading");
}

#[test]
fn shipping_discounts_wrapping_and_product_taxes_are_in_the_footing() {
    let wrapped = with(json!({
        "base_grand_total": 111, "base_tax_amount": 3, "base_shipping_discount_amount": 2,
        "extension_attributes": {"gw_base_price": "5.0000", "shipping_assignments": [{}]},
    }));
    assert!(snapshot(read("", &wrapped)).footing.holds());
    let mut row = item(11, json!(100));
    row["base_weee_tax_applied_row_amnt"] = json!(4);
    let weee = with(json!({"base_grand_total": 109, "items": [row]}));
    assert!(snapshot(read("", &weee)).footing.holds());
}

#[test]
fn bundles_of_both_kinds_in_one_order() {
    let bundle = |id: u32, total: u32| {
        let mut row = item(id, json!(total));
        row["product_type"] = json!("bundle");
        row
    };
    let child = |id: u32, parent: u32, total: u32| {
        let mut row = item(id, json!(total));
        row["parent_item_id"] = json!(parent.to_string());
        row
    };
    let items =
        json!([bundle(1, 30), child(2, 1, 0), bundle(3, 70), child(4, 3, 20), child(5, 3, 50),]);
    let found = snapshot(read("", &with(json!({ "items": items }))));
    let ids: Vec<_> = found.lines.iter().map(|line| line.id.as_str()).collect();
    assert_eq!(ids, ["1", "4", "5"]);
    assert!(found.footing.holds());
    let folded: Vec<_> = found.folded.iter().map(crate::domain::id::LineId::as_str).collect();
    assert_eq!(folded, ["2", "3"]);
}

#[test]
fn a_memo_that_names_parent_and_children_is_taken_once() {
    let mut bundle = item(3, 70);
    bundle["product_type"] = json!("bundle");
    let child = |id: u32, total: u32| {
        let mut row = item(id, total);
        row["parent_item_id"] = json!(3);
        row
    };
    let order =
        || read("", &with(json!({ "items": [bundle, child(4, 20), child(5, 50), item(6, 30)] })));
    let memo = |rows: &[(u32, u32)]| {
        let row = |(id, total): &(u32, u32)| json!({ "order_item_id": id, "qty": 1, "base_row_total": total });
        let items: Vec<Value> = rows.iter().map(row).collect();
        let memo = json!({ "entity_id": 5, "order_id": 1, "state": 2, "base_currency_code": "USD",
                           "items": items });
        read("sales.creditmemo.created", &json!({ "data": memo }))
    };
    assert_eq!(earns(vec![order()]), money("100"));
    assert_eq!(earns(vec![order(), memo(&[(3, 70), (4, 20), (5, 50)])]), money("30"));
    assert_eq!(earns(vec![order(), memo(&[(99, 25)])]), money("75"), "no row of the order");
    assert_eq!(earns(vec![order(), memo(&[(3, 70), (4, 20), (5, 50), (6, 30)])]), money("0"));
}

#[test]
fn a_sold_gift_card_is_no_merchandise() {
    let mut card = item(11, json!(100));
    card["product_type"] = json!("giftcard");
    let found = snapshot(read("", &with(json!({"items": [card]}))));
    assert_eq!(found.lines[0].kind, LineKind::GiftCard);
}

#[test]
fn a_credit_memo_is_told_by_its_shape() {
    let memo = |state: u32| {
        json!({
            "entity_id": 5, "order_id": 1, "state": state, "base_currency_code": "USD",
            "adjustment_positive": 3, "base_adjustment_positive": 3, "adjustment_negative": 0,
            "items": [
                {"order_item_id": 11, "qty": 1, "base_row_total": 100,
                 "base_discount_amount": -10, "base_tax_amount": 9},
                {"order_item_id": 12, "qty": 1},
            ],
        })
    };
    let found = refund(read("", &json!({"data": memo(2)})));
    assert_eq!((found.lines.len(), found.lines[0].net), (1, money("90")));
    assert_eq!(found.lines[0].gross, money("99"));
    assert_eq!(found.loose, [LooseMoney { gross: money("3"), against: None }]);
    assert_eq!(read("", &memo(1)), Ok(Parsed::Skip(SkipReason::Notice)));
    assert_eq!(read("", &memo(3)), Ok(Parsed::Skip(SkipReason::NothingNew)));
    let order = with(json!({}));
    let both = json!({"order": order, "creditmemo": memo(2)});
    assert_eq!(facts(read("sales.creditmemo.created", &both)).len(), 2);
}

/// The increment id is another number than the entity id, so a memo that comes by both ways, once
/// with each of them, would be two refunds.
#[test]
fn a_credit_memo_without_its_id_is_incomplete() {
    let mut memo = json!({
        "entity_id": 31, "increment_id": "000000031", "order_id": 18, "state": 2,
        "base_currency_code": "USD", "base_grand_total": 10, "base_adjustment_positive": 10,
        "items": [],
    });
    let by = |memo: &Value| read("sales.creditmemo.created", &json!({ "data": memo }));
    assert_eq!(refund(by(&memo)).id.as_str(), "31");
    memo.as_object_mut().unwrap().remove("entity_id");
    let told = code(by(&memo));
    assert_eq!(told, (RejectCode::Incomplete, "data.entity_id".to_owned()));
}
