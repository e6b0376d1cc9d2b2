//! Whether bodies foot, by the identities of the platforms and apart from the adapters.

use rust_decimal::Decimal;
use serde_json::Value;

use crate::cli::demo::traffic::{Secrets, ShotKind, plan};

/// A decimal number that is text or a number.
fn amount(value: &Value) -> Decimal {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Decimal::from_str_exact(&text).unwrap_or_else(|_| panic!("{value} is no amount"))
}

fn sum(list: &Value, of: impl Fn(&Value) -> Decimal) -> Decimal {
    list.as_array().unwrap().iter().map(of).sum()
}

/// Lines less allocations, shipping, tax on top, tips.
fn shopify(body: &Value) {
    let shares = |row: &Value| sum(&row["discount_allocations"], |share| amount(&share["amount"]));
    let list = |row: &Value| amount(&row["price"]) * amount(&row["quantity"]);
    let is_tip = |row: &Value| row.get("tip_payment_gateway").is_some();
    let tip_rows = sum(&body["line_items"], |row| if is_tip(row) { list(row) } else { 0.into() });
    let rows = sum(&body["line_items"], |row| list(row) - shares(row)) - tip_rows;
    let shipping = sum(&body["shipping_lines"], |row| amount(&row["price"]) - shares(row));
    let included = body["taxes_included"].as_bool().unwrap();
    let tax = amount(&body["total_tax"]);
    let tips = amount(&body["total_tip_received"]);
    let on_top = if included { Decimal::ZERO } else { tax };
    assert_eq!(rows, amount(&body["subtotal_price"]));
    assert_eq!(rows + shipping + tips + on_top, amount(&body["total_price"]));
    let line_tax = |row: &Value| sum(&row["tax_lines"], |tax| amount(&tax["price"]));
    let by_rows = sum(&body["line_items"], line_tax) + sum(&body["shipping_lines"], line_tax);
    assert_eq!(by_rows, tax);
    assert_eq!(sum(&body["line_items"], shares), amount(&body["total_discounts"]));
    let code = &body["discount_codes"][0]["amount"];
    assert!(code.is_null() || amount(code) == amount(&body["total_discounts"]));
    let set = &body["total_price_set"]["shop_money"];
    assert_eq!(set["amount"], body["total_price"]);
    assert_eq!(set["currency_code"], body["currency"]);
}

/// Lines after coupons, fees, shipping, tax.
fn woocommerce(body: &Value) {
    let totals = |name: &str| sum(&body[name], |row| amount(&row["total"]));
    let header = |name: &str| amount(&body[name]);
    let rows = totals("line_items") + totals("fee_lines") + header("shipping_total");
    assert_eq!(rows + header("total_tax"), header("total"));
    assert_eq!(header("cart_tax") + header("shipping_tax"), header("total_tax"));
    assert_eq!(totals("shipping_lines"), header("shipping_total"));
    let line_tax = sum(&body["line_items"], |row| amount(&row["total_tax"]));
    assert_eq!(line_tax, header("cart_tax"));
    let before = sum(&body["line_items"], |row| amount(&row["subtotal"]));
    assert_eq!(before - header("discount_total"), totals("line_items"));
}

/// Parents less discounts, shipping, tax; the header's discount is negative.
fn magento(body: &Value) {
    let order = &body["data"];
    let header = |name: &str| amount(&order[name]);
    let parents = |name: &str| {
        sum(&order["items"], |item| match item.get("parent_item_id") {
            Some(_) => Decimal::ZERO,
            None => amount(&item[name]),
        })
    };
    let net = parents("base_row_total") - parents("base_discount_amount");
    assert_eq!(net, header("base_subtotal") + header("base_discount_amount"));
    let beside = header("base_shipping_amount") + header("base_tax_amount");
    assert_eq!(net + beside, header("base_grand_total"));
    let tax = parents("base_tax_amount") + header("base_shipping_tax_amount");
    assert_eq!(tax, header("base_tax_amount"));
    assert!(header("base_discount_amount") <= Decimal::ZERO);
    let open = header("base_grand_total") - header("base_total_due");
    let paid = order.get("base_total_paid").map_or(Decimal::ZERO, amount);
    assert_eq!(open, paid);
    for item in order["items"].as_array().unwrap() {
        if let Some(parent) = item.get("parent_item") {
            assert_eq!(parent["item_id"], item["parent_item_id"]);
            assert_eq!(parent["sku"], item["sku"]);
        }
    }
}

/// Items, tax and shipping are at least the total: the rest is a discount.
fn canonical(body: &Value) {
    let items = sum(&body["items"], |item| amount(&item["unit_price"]) * amount(&item["qty"]));
    let or_zero = |name: &str| body.get(name).map_or(Decimal::ZERO, amount);
    assert!(items + or_zero("tax") + or_zero("shipping") >= amount(&body["total"]));
}

#[test]
fn every_body_foots_and_has_the_size_of_a_real_one() {
    let secrets = Secrets::sample(5);
    let traffic = plan(5, 1_500, &secrets, "2026-11-01T00:00:00Z".parse().unwrap());
    let mut three_lines = Vec::new();
    for shot in &traffic.shots {
        if matches!(shot.kind, ShotKind::Ping | ShotKind::NotAnOrder) {
            continue;
        }
        let body: Value = serde_json::from_slice(&shot.body).unwrap();
        if shot.path.starts_with("/webhooks/shopify") {
            shopify(&body);
            if body["line_items"].as_array().unwrap().len() == 3 {
                three_lines.push(shot.body.len());
            }
        } else if shot.path.starts_with("/webhooks/woocommerce") {
            woocommerce(&body);
        } else if shot.path.starts_with("/webhooks/magento") {
            magento(&body);
        } else if shot.path == "/v1/orders" {
            canonical(&body);
        } else {
            assert!(amount(&body["amount"]) > Decimal::ZERO);
        }
    }
    let mean = three_lines.iter().sum::<usize>() / three_lines.len();
    assert!((8_000..14_000).contains(&mean), "{mean} bytes");
}

#[test]
fn people_are_invented() {
    for person in &super::people::PEOPLE {
        assert!(person.mail.ends_with("@example.com") && person.phone.starts_with("+1 555 01"));
    }
}
