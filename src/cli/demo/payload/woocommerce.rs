//! The order of WooCommerce (REST v3), as its webhooks carry it.

use jiff::Timestamp;

use super::{Kind, Moment, Phase, Row, Sale, cents::Cents, json::Object, local, people::Person};
use crate::cli::demo::company::Article;

/// The shop's clock, in hours from UTC. Local times carry no offset; the `_gmt` fields count.
const OFFSET: i8 = 1;
const FORMAT: &str = "%Y-%m-%dT%H:%M:%S";
/// The id of the tax rate in the shop's settings.
const RATE_ID: u64 = 75;

/// The body of an `order.*` delivery, with slashes escaped as `WordPress` does it.
pub(crate) fn order(sale: &Sale, moment: &Moment) -> String {
    let body = money(sale, head(sale, moment));
    let mut body = people(sale, body);
    body = dates(body, "date_paid", moment.paid);
    body = dates(body, "date_completed", (moment.phase == Phase::Shipped).then_some(moment.at));
    body.text("cart_hash", &sale.token)
        .list("meta_data", meta(sale))
        .list("line_items", sale.rows.iter().map(|row| line(sale, row)))
        .list("tax_lines", tax_lines(sale))
        .list("shipping_lines", shipping_lines(sale))
        .list("fee_lines", fee_lines(sale))
        .list("coupon_lines", coupon_lines(sale))
        .list("refunds", [])
        .text("payment_url", &format!("https://acme-eu.example.com/checkout/?key={}", sale.token))
        .flag("is_editable", false)
        .flag("needs_payment", moment.paid.is_none())
        .flag("needs_processing", moment.phase == Phase::Paid)
        .text("currency_symbol", "\u{20ac}")
        .object("_links", links(sale))
        .end()
        // Slashes stand in strings only.
        .replace('/', "\\/")
}

fn status(moment: &Moment) -> &'static str {
    match moment.phase {
        Phase::Draft => "checkout-draft",
        Phase::Unpaid => "pending",
        Phase::Paid => "processing",
        Phase::Shipped => "completed",
        Phase::Cancelled => "cancelled",
    }
}

fn dates(body: Object, name: &str, at: Option<Timestamp>) -> Object {
    let text = |hours| at.map(|at| local(at, hours, FORMAT));
    body.text_or_null(name, text(OFFSET).as_deref())
        .text_or_null(&format!("{name}_gmt"), text(0).as_deref())
}

fn head(sale: &Sale, moment: &Moment) -> Object {
    let mut body = Object::new()
        .number("id", sale.id)
        .number("parent_id", 0)
        .text("number", &sale.number.to_string())
        .text("order_key", &format!("wc_order_{}", sale.token.get(..13).unwrap_or_default()))
        .text("created_via", "checkout")
        .text("version", "11.2.0")
        .text("status", status(moment))
        .text("currency", sale.currency);
    body = dates(body, "date_created", Some(sale.placed));
    dates(body, "date_modified", Some(moment.at))
}

fn money(sale: &Sale, body: Object) -> Object {
    body.money("discount_total", sale.discount())
        .money("discount_tax", Cents::ZERO)
        .money("shipping_total", sale.shipping)
        .money("shipping_tax", sale.shipping_tax)
        .money("cart_tax", sale.row_tax())
        .money("total", sale.total())
        .money("total_tax", sale.tax())
        .flag("prices_include_tax", sale.prices_hold_tax)
}

fn people(sale: &Sale, body: Object) -> Object {
    body.number("customer_id", sale.customer)
        .text("customer_ip_address", "192.0.2.44")
        .text("customer_user_agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0")
        .text("customer_note", "")
        .object("billing", contact(sale.person))
        .object("shipping", address(sale.person))
        .text("payment_method", "bacs")
        .text("payment_method_title", "Direct bank transfer")
        .text("transaction_id", "")
}

fn address(person: &Person) -> Object {
    Object::new()
        .text("first_name", person.first)
        .text("last_name", person.last)
        .text("company", "")
        .text("address_1", person.street)
        .text("address_2", "")
        .text("city", person.city)
        .text("state", "")
        .text("postcode", person.zip)
        .text("country", "DE")
}

fn contact(person: &Person) -> Object {
    address(person).text("email", person.mail).text("phone", person.phone)
}

fn meta(sale: &Sale) -> Vec<Object> {
    let entry = |id: u64, key: &str, value: &str| {
        Object::new()
            .number("id", sale.id.saturating_mul(10).saturating_add(id))
            .text("key", key)
            .text("value", value)
    };
    let mut meta = vec![
        entry(1, "_wc_order_attribution_source_type", "utm"),
        entry(2, "_wc_order_attribution_utm_source", "newsletter"),
        entry(3, "_wc_order_attribution_session_entry", "https://acme-eu.example.com/shop/"),
        entry(4, "_wc_order_attribution_session_pages", "7"),
    ];
    meta.extend(sale.marks.meta.iter().map(|id| entry(5, "_upline_ref", id)));
    meta
}

/// What discounts take off is gone from `total` and still in `subtotal`; both are without tax.
fn line(sale: &Sale, row: &Row) -> Object {
    let article = row.kind.article();
    let sku = article.filter(|article| !article.by_id).map_or("", |article| article.sku);
    let product = article.map_or(61_100, Article::woocommerce_product);
    let tax =
        Object::new().number("id", RATE_ID).money("total", row.tax).money("subtotal", row.tax);
    let card = Object::new()
        .number("id", row.id.saturating_add(5))
        .text("key", "wc_gc_giftcard_to")
        .text("value", "somebody");
    Object::new()
        .number("id", row.id)
        .text("name", row.kind.title())
        .number("product_id", product)
        .number("variation_id", 0)
        .number("quantity", row.quantity)
        .text("tax_class", "")
        .money("subtotal", row.list())
        .money("subtotal_tax", row.tax)
        .money("total", row.discounted())
        .money("total_tax", row.tax)
        .list("taxes", (!row.tax.is_zero()).then_some(tax))
        .list("meta_data", (row.kind == Kind::GiftCard).then_some(card))
        .text("sku", sku)
        .text("global_unique_id", "")
        .raw("price", &price(row))
        .object("image", Object::new().text("id", "").text("src", ""))
        .null("parent_name")
        .number("order_item", sale.id)
}

/// The price is a number that PHP divided; it is not for computing.
fn price(row: &Row) -> String {
    let units = rust_decimal::Decimal::from(row.quantity);
    let price = row.discounted().decimal().checked_div(units).unwrap_or_default();
    price.round_dp(14).normalize().to_string()
}

fn tax_lines(sale: &Sale) -> Option<Object> {
    let line = Object::new()
        .number("id", sale.id.saturating_add(3))
        .text("rate_code", "DE-VAT-1")
        .number("rate_id", RATE_ID)
        .text("label", "VAT")
        .flag("compound", false)
        .money("tax_total", sale.row_tax())
        .money("shipping_tax_total", sale.shipping_tax)
        .list("meta_data", []);
    (!sale.tax().is_zero()).then_some(line)
}

fn shipping_lines(sale: &Sale) -> Option<Object> {
    let line = Object::new()
        .number("id", sale.id.saturating_add(4))
        .text("method_title", "Flat rate")
        .text("method_id", "flat_rate")
        .text("instance_id", "1")
        .money("total", sale.shipping)
        .money("total_tax", sale.shipping_tax)
        .list("taxes", [])
        .list("meta_data", []);
    sale.shipping.is_positive().then_some(line)
}

fn fee_lines(sale: &Sale) -> Option<Object> {
    let name = if sale.fee.is_positive() { "Gift wrapping" } else { "Loyalty discount" };
    let line = Object::new()
        .number("id", sale.id.saturating_add(6))
        .text("name", name)
        .text("tax_class", "")
        .text("tax_status", "none")
        .money("amount", sale.fee)
        .money("total", sale.fee)
        .money("total_tax", Cents::ZERO)
        .list("taxes", [])
        .list("meta_data", []);
    (!sale.fee.is_zero()).then_some(line)
}

/// WooCommerce keeps codes in lower case.
fn coupon_lines(sale: &Sale) -> Option<Object> {
    let code = sale.marks.code.as_ref()?;
    let data = Object::new().text("discount_type", "fixed_cart").money("amount", sale.discount());
    let meta = Object::new().number("id", 1).text("key", "coupon_data").object("value", data);
    Some(
        Object::new()
            .number("id", sale.id.saturating_add(7))
            .text("code", &code.to_lowercase())
            .money("discount", sale.discount())
            .money("discount_tax", Cents::ZERO)
            .list("meta_data", [meta]),
    )
}

fn links(sale: &Sale) -> Object {
    let link = |path: String| Object::new().text("href", &path);
    let orders = "https://acme-eu.example.com/wp-json/wc/v3/orders";
    Object::new()
        .list("self", [link(format!("{orders}/{}", sale.id))])
        .list("collection", [link(orders.to_owned())])
}
