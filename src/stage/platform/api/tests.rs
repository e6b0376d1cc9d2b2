//! Tests of the API forms, on bodies written for them.

use serde_json::{Value, json};

use crate::{
    domain::{
        id::{Platform, StoreId},
        money::Currency,
        order::Status,
    },
    stage::{
        RejectCode,
        platform::StorePolicy,
        platform::testing::{self, code, earns, money, snapshot},
    },
};

fn canonical(changes: Value) -> Value {
    let mut body = json!({
        "platform": "shopify", "platform_order_id": 587_364_120, "status": "paid",
        "order_ts": "2026-09-14T08:30:00Z", "currency": "USD", "distributor_ref": "D-1",
        "items": [{"platform_sku": "KIT", "qty": 1, "unit_price": 99.00}], "total": 96.92,
    });
    if let Value::Object(changes) = changes {
        for (name, value) in changes {
            body[name] = value;
        }
    }
    body
}

fn read(body: &Value) -> Result<super::Parsed, crate::stage::Rejection> {
    testing::json(Platform::Api, "canonical", body)
}

#[test]
fn the_status_that_ends_an_order_wins_in_any_order_of_arrival() {
    let paid = canonical(json!({}));
    for last in ["cancelled", "refunded", "test"] {
        let end = canonical(json!({ "status": last }));
        assert_eq!(earns(vec![read(&end), read(&paid)]), money("0"), "{last}");
        assert_eq!(earns(vec![read(&paid), read(&end)]), money("0"), "{last}");
    }
    let later = canonical(json!({"updated_at": "2026-09-15T08:30:00Z"}));
    let end = canonical(json!({"status": "cancelled"}));
    assert_eq!(earns(vec![read(&later), read(&end)]), money("96.92"));
}

#[test]
fn errors_name_the_field() {
    let cases = [
        (json!({"platform": "ebay"}), RejectCode::Value, "platform"),
        (json!({"platform_order_id": ""}), RejectCode::Shape, "platform_order_id"),
        (json!({"order_ts": null}), RejectCode::Shape, "order_ts"),
        (json!({"status": "shipped"}), RejectCode::Value, "status"),
        (json!({"currency": null}), RejectCode::Shape, "currency"),
        (json!({"distributor_ref": "Jane Doe"}), RejectCode::Value, "distributor_ref"),
        (json!({"customer_id": "jane@example.com"}), RejectCode::Value, "customer_id"),
        (json!({"items": []}), RejectCode::Value, "items"),
        (json!({"items": [{"platform_sku": "A"}]}), RejectCode::Shape, "items[0].qty"),
        (json!({"total": "100.00"}), RejectCode::Unfooted, "total"),
        (json!({"total": -1}), RejectCode::Value, "total"),
        (json!({"total": 1, "tax": 2, "shipping": 3}), RejectCode::Unfooted, "total"),
        (json!({"store": "a/b"}), RejectCode::Value, "store"),
        (json!({"updated_at": "9999-01-01T00:00:00Z"}), RejectCode::Value, "updated_at"),
    ];
    for (change, expected, path) in cases {
        assert_eq!(code(read(&canonical(change))), (expected, path.to_owned()));
    }
}

#[test]
fn an_order_belongs_to_the_shop_that_is_named_or_that_the_store_speaks_for() {
    let shop = |shop: Option<&str>, changes: Value| {
        let shop = shop.map(|name| StoreId::parse(name).unwrap());
        let policy = StorePolicy { shop, ..StorePolicy::default() };
        let body = canonical(changes).to_string();
        let parsed = testing::read_by(Platform::Api, "canonical", body.as_bytes(), &policy);
        let Ok(super::Parsed::Facts(events)) = parsed else { panic!("no facts") };
        events[0].key.to_string()
    };
    assert_eq!(shop(None, json!({})), "shopify/acme/587364120");
    assert_eq!(shop(Some("acme-us"), json!({})), "shopify/acme-us/587364120");
    let named = json!({"store": "acme-eu"});
    assert_eq!(shop(Some("acme-us"), named), "shopify/acme-eu/587364120");
}

#[test]
fn the_short_form_is_a_paid_shopify_order_in_dollars() {
    let body = json!({"shopify_order_id": "gid://shopify/Order/301", "sku": 7, "amount": "9"});
    let parsed = testing::json(Platform::Shopify, "short", &body);
    assert_eq!(testing::facts(parsed.clone())[0].0, "301");
    let found = snapshot(parsed);
    assert_eq!((found.status, found.currency.as_str()), (Status::Paid, "USD"));
    let missing = json!({"shopify_order_id": 301, "amount": "9"});
    let outcome = testing::json(Platform::Api, "short", &missing);
    assert_eq!(code(outcome), (RejectCode::Shape, "sku".to_owned()));
}

#[test]
fn the_currency_of_the_short_form_is_that_of_the_body_or_of_the_store() {
    let currency = |store: Option<&str>, stated: Value| {
        let currency = store.map(|code| Currency::parse(code).unwrap());
        let policy = StorePolicy { currency, ..StorePolicy::default() };
        let body = json!({"shopify_order_id": 301, "sku": "A", "amount": 9, "currency": stated});
        let body = body.to_string();
        let parsed = testing::read_by(Platform::Api, "short", body.as_bytes(), &policy);
        snapshot(parsed).currency.to_string()
    };
    assert_eq!(currency(None, Value::Null), "USD");
    assert_eq!(currency(Some("EUR"), Value::Null), "EUR");
    assert_eq!(currency(Some("EUR"), json!("GBP")), "GBP");
}
