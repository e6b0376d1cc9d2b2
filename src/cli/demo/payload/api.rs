//! The two forms of the API.

use super::{Moment, Phase, Row, Sale, json::Object};

/// The status words of the API.
fn status(sale: &Sale, moment: &Moment) -> &'static str {
    if sale.test {
        return "test";
    }
    match moment.phase {
        Phase::Draft | Phase::Unpaid => "pending",
        Phase::Paid | Phase::Shipped => "paid",
        Phase::Cancelled => "cancelled",
    }
}

/// The short form: one line, its amount net already. The amount is a number with two places.
pub(crate) fn short(sale: &Sale, moment: &Moment) -> String {
    let row = sale.rows.first();
    let sku = row.and_then(|row| row.kind.article()).map_or("", |article| article.sku);
    let mut body = Object::new()
        .number("shopify_order_id", sale.id)
        .text("sku", sku)
        .number("customer_id", sale.customer);
    if let Some(id) = &sale.marks.meta {
        // Numbers where the id is one: callers send both.
        body = if id.bytes().all(|b| b.is_ascii_digit()) {
            body.raw("referrer_id", id)
        } else {
            body.text("referrer_id", id)
        };
    }
    body.raw("amount", &row.map(Row::discounted).unwrap_or_default().to_string())
        .text("currency", sale.currency)
        .number("quantity", row.map_or(1, |row| row.quantity))
        .text("status", status(sale, moment))
        .text("order_ts", &sale.placed.to_string())
        .text("updated_at", &moment.at.to_string())
        .end()
}

/// The canonical form. A discount is not stated: the total is lower than its parts.
pub(crate) fn canonical(sale: &Sale, moment: &Moment) -> String {
    let items = sale.rows.iter().map(|row| {
        Object::new()
            .text("platform_sku", row.kind.article().map_or("", |article| article.sku))
            .number("qty", row.quantity)
            .raw("unit_price", &row.unit.to_string())
    });
    let mut body = Object::new()
        .text("platform", "api")
        .text("platform_order_id", &sale.id.to_string())
        .text("order_ts", &sale.placed.to_string())
        .text("updated_at", &moment.at.to_string())
        .text("status", status(sale, moment))
        .text("currency", sale.currency);
    if let Some(id) = &sale.marks.meta {
        body = body.text("distributor_ref", id);
    }
    body.text("customer_id", &sale.customer.to_string())
        .list("items", items)
        .raw("tax", &sale.tax().to_string())
        .raw("shipping", &sale.shipping.to_string())
        .raw("total", &sale.total().to_string())
        .end()
}
