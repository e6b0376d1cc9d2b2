//! The order of Magento's REST API, as mage-os async events send it: inside `data`.

use jiff::Timestamp;

use super::{Kind, Moment, Phase, Row, Sale, cents::Cents, json::Object, local};

/// The body of a `sales.order.*` event. Amounts are numbers; what is null is absent.
pub(crate) fn order(sale: &Sale, moment: &Moment) -> String {
    let header = money(sale, moment, head(sale, moment));
    let mut items = Vec::with_capacity(sale.rows.len());
    for row in &sale.rows {
        let parent = item(sale, row, moment);
        if matches!(row.kind, Kind::Configurable(_)) {
            items.push(parent.clone());
            items.push(child(sale, row, parent));
        } else {
            items.push(parent);
        }
    }
    let order = header
        .list("items", items)
        .object("billing_address", address(sale))
        .object("payment", payment(sale))
        .list("status_histories", [])
        .object("extension_attributes", attributes(sale));
    Object::new().object("data", order).end()
}

fn time(at: Timestamp) -> String {
    local(at, 0, "%Y-%m-%d %H:%M:%S")
}

/// An order that was paid ends closed, with everything refunded; one that was not, canceled.
fn state(moment: &Moment) -> &'static str {
    match (moment.phase, moment.paid) {
        (Phase::Draft | Phase::Unpaid, _) => "pending_payment",
        (Phase::Paid, _) => "processing",
        (Phase::Shipped, _) => "complete",
        (Phase::Cancelled, Some(_)) => "closed",
        (Phase::Cancelled, None) => "canceled",
    }
}

/// An amount in base currency, and in the currency of the order.
fn twin(body: Object, sale: &Sale, name: &str, base: Cents) -> Object {
    let plain = sale.foreign.map_or(base, |foreign| foreign.of(base));
    body.amount(&format!("base_{name}"), base).amount(name, plain)
}

fn head(sale: &Sale, moment: &Moment) -> Object {
    let person = sale.person;
    let code = sale.foreign.map_or(sale.currency, |foreign| foreign.currency);
    let rate = sale.foreign.map_or_else(|| "1".to_owned(), |f| Cents::new(f.rate).number());
    let body = Object::new()
        .text("base_currency_code", sale.currency)
        .raw("base_to_global_rate", "1")
        .raw("base_to_order_rate", &rate)
        .number("billing_address_id", sale.id.saturating_mul(2))
        .text("created_at", &time(sale.placed))
        .text("customer_email", person.mail)
        .text("customer_firstname", person.first)
        .number("customer_group_id", 1)
        .number("customer_id", sale.customer)
        .number("customer_is_guest", 0)
        .text("customer_lastname", person.last)
        .number("customer_note_notify", 1)
        .number("email_sent", 1)
        .number("entity_id", sale.id)
        .text("global_currency_code", sale.currency)
        .text("increment_id", &format!("{:09}", sale.number))
        .number("is_virtual", 0)
        .text("order_currency_code", code)
        .text("protect_code", &sale.token)
        .number("quote_id", sale.id.saturating_add(70_000))
        .text("remote_ip", "192.0.2.99")
        .text("shipping_description", "Flat Rate - Fixed")
        .text("state", state(moment))
        .text("status", state(moment))
        .text("store_currency_code", sale.currency)
        .number("store_id", 1)
        .text("store_name", "Main Website\nAcme\nDefault Store View")
        .number("store_to_base_rate", 0)
        .number("store_to_order_rate", 0)
        .number("total_item_count", u64::try_from(sale.rows.len()).unwrap_or_default())
        .number("total_qty_ordered", sale.rows.iter().map(|row| row.quantity).sum())
        .text("updated_at", &time(moment.at))
        .number("weight", 1);
    match &sale.marks.code {
        Some(code) => body.text("coupon_code", code).text("applied_rule_ids", "1"),
        None => body,
    }
}

/// In the header a discount is negative, on the items it is positive.
fn money(sale: &Sale, moment: &Moment, mut body: Object) -> Object {
    let (total, zero) = (sale.total(), Cents::ZERO);
    let paid = if moment.paid.is_some() { total } else { zero };
    for (name, amount) in [
        ("discount_amount", sale.discount().negated()),
        ("discount_tax_compensation_amount", zero),
        ("grand_total", total),
        ("shipping_amount", sale.shipping),
        ("shipping_discount_amount", zero),
        ("shipping_incl_tax", sale.shipping.plus(sale.shipping_tax)),
        ("shipping_tax_amount", sale.shipping_tax),
        ("subtotal", sale.list()),
        ("subtotal_incl_tax", sale.list().plus(sale.row_tax())),
        ("tax_amount", sale.tax()),
        ("total_due", total.minus(paid)),
    ] {
        body = twin(body, sale, name, amount);
    }
    body = body.number("base_shipping_discount_tax_compensation_amnt", 0);
    let paid_back = if state(moment) == "closed" { total } else { zero };
    let cancelled = if state(moment) == "canceled" { total } else { zero };
    for (name, amount) in [
        ("total_invoiced", paid),
        ("total_paid", paid),
        ("total_refunded", paid_back),
        ("total_canceled", cancelled),
    ] {
        // Null until it happens, and what is null is absent.
        if amount.is_positive() {
            body = twin(body, sale, name, amount);
        }
    }
    body
}

/// A row. The child of a configurable product has the same SKU and no money.
fn item(sale: &Sale, row: &Row, moment: &Moment) -> Object {
    let article = row.kind.article();
    let (sku, product) = match article {
        Some(article) => (article.sku, article.magento_product()),
        None => ("GIFTCARD", 3_300),
    };
    let kind = match row.kind {
        Kind::Configurable(_) => "configurable",
        Kind::Goods(_) => "simple",
        Kind::GiftCard | Kind::Tip => "giftcard",
    };
    let units = |yes: bool| if yes { row.quantity } else { 0 };
    let closed = state(moment) == "closed";
    let back = |amount: Cents| if closed { amount } else { Cents::ZERO };
    let mut item = Object::new();
    for (name, amount) in [
        ("amount_refunded", back(row.list())),
        ("discount_amount", row.discount),
        ("discount_invoiced", Cents::ZERO),
        ("discount_refunded", back(row.discount)),
        ("discount_tax_compensation_amount", Cents::ZERO),
        ("original_price", row.unit),
        ("price", row.unit),
        ("price_incl_tax", row.unit.plus(row.unit.tax_on_top(sale.tax_rate))),
        ("row_invoiced", if moment.paid.is_some() { row.list() } else { Cents::ZERO }),
        ("row_total", row.list()),
        ("row_total_incl_tax", row.list().plus(row.tax)),
        ("tax_amount", row.tax),
        ("tax_invoiced", Cents::ZERO),
    ] {
        item = twin(item, sale, name, amount);
    }
    item.text("created_at", &time(sale.placed))
        .number("discount_percent", 0)
        .number("free_shipping", 0)
        .number("is_qty_decimal", 0)
        .number("is_virtual", 0)
        .number("item_id", row.id)
        .text("name", row.kind.title())
        .number("no_discount", 0)
        .number("order_id", sale.id)
        .number("product_id", product)
        .text("product_type", kind)
        .number("qty_canceled", units(state(moment) == "canceled"))
        .number("qty_invoiced", units(moment.paid.is_some()))
        .number("qty_ordered", row.quantity)
        .number("qty_refunded", units(closed))
        .number("qty_shipped", units(moment.phase == Phase::Shipped))
        .number("quote_item_id", row.id.saturating_add(500_000))
        .number("row_weight", 1)
        .text("sku", sku)
        .number("store_id", 1)
        .raw("tax_percent", &Cents::new(sale.tax_rate).number())
        .text("updated_at", &time(moment.at))
        .number("weight", 1)
}

fn child(sale: &Sale, row: &Row, parent: Object) -> Object {
    let article = row.kind.article();
    let mut item = Object::new();
    for name in ["amount_refunded", "discount_amount", "price", "row_total", "tax_amount"] {
        item = twin(item, sale, name, Cents::ZERO);
    }
    item.text("created_at", &time(sale.placed))
        .number("item_id", row.id.saturating_add(1))
        .text("name", &format!("{}, blue", row.kind.title()))
        .number("order_id", sale.id)
        .number("parent_item_id", row.id)
        .number("product_id", article.map_or(0, |a| a.magento_product().saturating_add(40)))
        .text("product_type", "simple")
        .number("qty_ordered", row.quantity)
        .number("qty_refunded", 0)
        .text("sku", article.map_or("", |article| article.sku))
        .number("store_id", 1)
        .object("parent_item", parent)
}

fn address(sale: &Sale) -> Object {
    let person = sale.person;
    Object::new()
        .text("address_type", "billing")
        .text("city", person.city)
        .text("country_id", "MX")
        .text("email", person.mail)
        .number("entity_id", sale.id.saturating_mul(2))
        .text("firstname", person.first)
        .text("lastname", person.last)
        .number("parent_id", sale.id)
        .text("postcode", person.zip)
        .raw("street", "[\"Calle Ejemplo 1\"]")
        .text("telephone", person.phone)
}

fn payment(sale: &Sale) -> Object {
    let body = Object::new()
        .raw("additional_information", "[\"Check / Money order\"]")
        .number("entity_id", sale.id)
        .text("method", "checkmo")
        .number("parent_id", sale.id);
    let body = twin(body, sale, "amount_ordered", sale.total());
    twin(body, sale, "shipping_amount", sale.shipping)
}

fn attributes(sale: &Sale) -> Object {
    let body = Object::new().list("shipping_assignments", []).raw("applied_taxes", "[]");
    match &sale.marks.meta {
        Some(id) => body.text("distributor_id", id),
        None => body,
    }
}
