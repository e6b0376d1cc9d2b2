//! The order of Shopify, as in the classic `orders/*` webhooks.

use jiff::Timestamp;

use super::{Kind, Moment, Phase, Row, Sale, cents::Cents, json::Object, local, people::Person};
use crate::cli::demo::company::Article;

/// The shop's clock, in hours from UTC: bodies carry an offset, and versions must be compared as
/// instants.
const OFFSET: i8 = -5;

/// The body of an `orders/*` delivery.
pub(crate) fn order(sale: &Sale, moment: &Moment) -> String {
    let mut body = head(sale, moment);
    body = totals(sale, moment, body);
    body = middle(sale, body);
    body = body
        .object("billing_address", address(sale.person))
        .object("customer", customer(sale))
        .list("discount_applications", applications(sale))
        .list("fulfillments", fulfillments(sale, moment))
        .list("line_items", sale.rows.iter().map(|row| line(sale, row, moment)))
        .null("payment_terms")
        .list("refunds", [])
        .object("shipping_address", address(sale.person))
        .list("shipping_lines", shipping_lines(sale))
        .list("returns", []);
    body.end()
}

/// The body of a `draft_orders/create` delivery: not an order yet.
pub(crate) fn draft(sale: &Sale, moment: &Moment) -> String {
    Object::new()
        .number("id", sale.id)
        .null("note")
        .text("email", sale.person.mail)
        .flag("taxes_included", sale.prices_hold_tax)
        .text("currency", sale.currency)
        .null("invoice_sent_at")
        .text("created_at", &time(sale.placed))
        .text("updated_at", &time(moment.at))
        .flag("tax_exempt", false)
        .null("completed_at")
        .text("name", &format!("#D{}", sale.number))
        .text("status", "open")
        .list("line_items", sale.rows.iter().map(|row| line(sale, row, moment)))
        .object("shipping_address", address(sale.person))
        .object("billing_address", address(sale.person))
        .null("order_id")
        .money("subtotal_price", sale.subtotal())
        .money("total_price", sale.total())
        .money("total_tax", sale.tax())
        .object("customer", customer(sale))
        .end()
}

fn time(at: Timestamp) -> String {
    local(at, OFFSET, "%Y-%m-%dT%H:%M:%S%:z")
}

/// An amount in both currencies.
fn set(sale: &Sale, amount: Cents) -> Object {
    let side = |amount: Cents, code: &str| {
        Object::new().money("amount", amount).text("currency_code", code)
    };
    let presentment = match sale.foreign {
        Some(foreign) => side(foreign.of(amount), foreign.currency),
        None => side(amount, sale.currency),
    };
    Object::new()
        .object("shop_money", side(amount, sale.currency))
        .object("presentment_money", presentment)
}

/// An amount, and beside it the set of it.
fn twice(body: Object, sale: &Sale, name: &str, amount: Cents) -> Object {
    body.money(name, amount).object(&format!("{name}_set"), set(sale, amount))
}

fn head(sale: &Sale, moment: &Moment) -> Object {
    let cancelled = moment.phase == Phase::Cancelled;
    let when = time(moment.at);
    let client = Object::new()
        .text("accept_language", "en-US")
        .null("browser_height")
        .text("browser_ip", "192.0.2.17")
        .nulls(&["browser_width", "session_hash"])
        .text(
            "user_agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        );
    Object::new()
        .number("id", sale.id)
        .text("admin_graphql_api_id", &format!("gid://shopify/Order/{}", sale.id))
        .number("app_id", 580_111)
        .text("browser_ip", "192.0.2.17")
        .flag("buyer_accepts_marketing", false)
        .text_or_null("cancel_reason", cancelled.then_some("customer"))
        .text_or_null("cancelled_at", cancelled.then_some(&when))
        .text("cart_token", &sale.token)
        .number("checkout_id", sale.id.saturating_add(31_000_000_000_000))
        .text("checkout_token", &sale.token)
        .object("client_details", client)
        .nulls(&["closed_at", "company"])
        .text("confirmation_number", &sale.token.to_uppercase().chars().take(9).collect::<String>())
        .flag("confirmed", true)
        .text("contact_email", sale.person.mail)
        .text("created_at", &time(sale.placed))
        .text("currency", sale.currency)
}

fn totals(sale: &Sale, moment: &Moment, mut body: Object) -> Object {
    // What is current is zero once all of it was cancelled; the plain fields keep the original.
    let current = |amount: Cents| {
        if moment.phase == Phase::Cancelled { Cents::ZERO } else { amount }
    };
    let due = if moment.paid.is_some() { Cents::ZERO } else { sale.total() };
    for (name, amount) in [
        ("current_subtotal_price", current(sale.subtotal())),
        ("current_total_discounts", current(sale.discount())),
        ("current_total_price", current(sale.total())),
        ("current_total_tax", current(sale.tax())),
        ("subtotal_price", sale.subtotal()),
        ("total_discounts", sale.discount()),
        ("total_line_items_price", sale.list()),
        ("total_price", sale.total()),
        ("total_tax", sale.tax()),
    ] {
        body = twice(body, sale, name, amount);
    }
    body.nulls(&["current_total_additional_fees_set", "current_total_duties_set"])
        .object("current_shipping_price_set", set(sale, current(sale.shipping)))
        .object("total_shipping_price_set", set(sale, sale.shipping))
        .object("total_cash_rounding_payment_adjustment_set", set(sale, Cents::ZERO))
        .object("total_cash_rounding_refund_adjustment_set", set(sale, Cents::ZERO))
        .money("total_outstanding", due)
        .money("total_tip_received", sale.tips())
        .number("total_weight", 640)
        .text("financial_status", financial_status(moment))
        .text_or_null("fulfillment_status", (moment.phase == Phase::Shipped).then_some("fulfilled"))
        .text("updated_at", &time(moment.at))
}

/// An order that is cancelled stays paid until its refund: the cancellation is its date.
fn financial_status(moment: &Moment) -> &'static str {
    match moment.paid {
        Some(_) => "paid",
        None => "pending",
    }
}

fn middle(sale: &Sale, body: Object) -> Object {
    let marks = &sale.marks;
    let landing = match &marks.landing {
        Some(id) => format!("/collections/all?utm_source=newsletter&ref={id}"),
        None => "/collections/all?utm_source=newsletter".to_owned(),
    };
    let code = marks.code.as_ref().map(|code| {
        Object::new()
            .text("code", code)
            .money("amount", sale.discount())
            .text("type", "fixed_amount")
    });
    let note = |name: &str, value: &str| Object::new().text("name", name).text("value", value);
    let notes = marks.note.iter().map(|id| note("ref", id));
    let digest = format!("{}/orders/{}", "https://acme-us.example.com/61000000001", sale.token);
    body.text("customer_locale", "en")
        .null("device_id")
        .list("discount_codes", code)
        .flag("duties_included", false)
        .text("email", sale.person.mail)
        .flag("estimated_taxes", false)
        .text("landing_site", &landing)
        .text_or_null("landing_site_ref", marks.landing.as_deref())
        .nulls(&["location_id", "merchant_of_record_app_id"])
        .text("name", &format!("#{}", sale.number))
        .null("note")
        .list("note_attributes", notes.chain([note("gift message", "Enjoy, see you soon")]))
        .number("number", sale.number.saturating_sub(1000))
        .number("order_number", sale.number)
        .text("order_status_url", &format!("{digest}/authenticate?key={}", sale.token))
        .nulls(&["original_total_additional_fees_set", "original_total_duties_set"])
        .raw("payment_gateway_names", r#"["bogus"]"#)
        .nulls(&["phone", "po_number"])
        .text("presentment_currency", sale.foreign.map_or(sale.currency, |f| f.currency))
        .text("processed_at", &time(sale.placed))
        .nulls(&["reference", "source_identifier", "source_url", "user_id"])
        .text("referring_site", "https://www.example.com/")
        .text("source_name", "web")
        .text("tags", "")
        .flag("tax_exempt", false)
        .list("tax_lines", tax_lines(sale, sale.tax()))
        .flag("taxes_included", sale.prices_hold_tax)
        .flag("test", sale.test)
        .text("token", &sale.token)
}

fn tax_lines(sale: &Sale, tax: Cents) -> Option<Object> {
    let line = Object::new()
        .flag("channel_liable", false)
        .money("price", tax)
        .object("price_set", set(sale, tax))
        .raw("rate", &rust_decimal::Decimal::new(sale.tax_rate, 4).normalize().to_string())
        .text("title", if sale.prices_hold_tax { "VAT" } else { "State Tax" });
    (!tax.is_zero()).then_some(line)
}

fn address(person: &Person) -> Object {
    Object::new()
        .text("first_name", person.first)
        .text("address1", person.street)
        .text("phone", person.phone)
        .text("city", person.city)
        .text("zip", person.zip)
        .text("province", "Oregon")
        .text("country", "United States")
        .text("last_name", person.last)
        .text("address2", "")
        .nulls(&["company", "latitude", "longitude"])
        .text("name", &format!("{} {}", person.first, person.last))
        .text("country_code", "US")
        .text("province_code", "OR")
}

fn customer(sale: &Sale) -> Object {
    let person = sale.person;
    let consent = Object::new()
        .text("state", "not_subscribed")
        .text("opt_in_level", "single_opt_in")
        .null("consent_updated_at");
    Object::new()
        .number("id", sale.customer)
        .text("email", person.mail)
        .text("created_at", &time(sale.placed))
        .text("updated_at", &time(sale.placed))
        .text("first_name", person.first)
        .text("last_name", person.last)
        .text("state", "disabled")
        .null("note")
        .flag("verified_email", true)
        .null("multipass_identifier")
        .flag("tax_exempt", false)
        .text("phone", person.phone)
        .object("email_marketing_consent", consent)
        .null("sms_marketing_consent")
        .text("tags", sale.marks.tags.as_deref().unwrap_or("newsletter"))
        .text("currency", sale.currency)
        .list("tax_exemptions", [])
        .text("admin_graphql_api_id", &format!("gid://shopify/Customer/{}", sale.customer))
        .object("default_address", address(person))
}

fn applications(sale: &Sale) -> Option<Object> {
    let application = Object::new()
        .text("target_type", "line_item")
        .text("type", if sale.marks.code.is_some() { "discount_code" } else { "automatic" })
        .money("value", sale.discount())
        .text("value_type", "fixed_amount")
        .text("allocation_method", "across")
        .text("target_selection", "all");
    let application = match &sale.marks.code {
        Some(code) => application.text("code", code),
        None => application.text("title", "Season"),
    };
    sale.discount().is_positive().then_some(application)
}

fn fulfillments(sale: &Sale, moment: &Moment) -> Option<Object> {
    let fulfillment = Object::new()
        .number("id", sale.id.saturating_add(900))
        .text("created_at", &time(moment.at))
        .text("name", &format!("#{}.1", sale.number))
        .number("order_id", sale.id)
        .text("service", "manual")
        .text("status", "success")
        .text("tracking_company", "Example Parcel")
        .text("tracking_number", &sale.number.to_string());
    (moment.phase == Phase::Shipped).then_some(fulfillment)
}

fn number_or_null(number: Option<u64>) -> String {
    number.map_or_else(|| "null".to_owned(), |number| number.to_string())
}

fn line(sale: &Sale, row: &Row, moment: &Moment) -> Object {
    let article = row.kind.article();
    let (title, tip) = (row.kind.title(), row.kind == Kind::Tip);
    let shipped = moment.phase == Phase::Shipped;
    // Articles that the shop sells without a SKU map by their variant.
    let sku = article.filter(|article| !article.by_id).map_or("", |article| article.sku);
    let mut line = Object::new()
        .number("id", row.id)
        .text("admin_graphql_api_id", &format!("gid://shopify/LineItem/{}", row.id))
        .list("attributed_staffs", [])
        .number("current_quantity", row.quantity)
        .number("fulfillable_quantity", if shipped { 0 } else { row.quantity })
        .text("fulfillment_service", "manual")
        .text_or_null("fulfillment_status", shipped.then_some("fulfilled"))
        .flag("gift_card", row.kind == Kind::GiftCard)
        .number("grams", 320)
        .text("name", title);
    line = twice(line, sale, "price", row.unit)
        .flag("product_exists", article.is_some())
        .raw("product_id", &number_or_null(article.map(Article::shopify_product)))
        .list("properties", [])
        .number("quantity", row.quantity)
        .flag("requires_shipping", article.is_some())
        .text("sku", sku)
        .flag("taxable", !row.tax.is_zero())
        .text("title", title);
    if tip {
        line = line.text("tip_payment_gateway", "bogus").text("tip_payment_method", "Bogus");
    }
    // The field says 0.00 whatever the discount is; only the allocations are right.
    twice(line, sale, "total_discount", Cents::ZERO)
        .raw("variant_id", &number_or_null(article.map(Article::shopify_variant)))
        .text("variant_inventory_management", "shopify")
        .null("variant_title")
        .text("vendor", "Acme")
        .list("tax_lines", tax_lines(sale, row.tax))
        .list("duties", [])
        .list("discount_allocations", allocations(sale, row))
}

/// What a discount takes off the row; the share of a discount that is rounded to nothing is not
/// listed.
fn allocations(sale: &Sale, row: &Row) -> Option<Object> {
    let share = Object::new()
        .money("amount", row.discount)
        .object("amount_set", set(sale, row.discount))
        .number("discount_application_index", 0);
    row.discount.is_positive().then_some(share)
}

fn shipping_lines(sale: &Sale) -> Option<Object> {
    let mut line = Object::new()
        .number("id", sale.id.saturating_sub(1_000_000_000_000))
        .null("carrier_identifier")
        .text("code", "Standard");
    line = twice(line, sale, "discounted_price", sale.shipping).flag("is_removed", false);
    line = twice(line.null("phone"), sale, "price", sale.shipping)
        .null("requested_fulfillment_service_id")
        .text("source", "shopify")
        .text("title", "Standard")
        .list("tax_lines", tax_lines(sale, sale.shipping_tax))
        .list("discount_allocations", []);
    sale.shipping.is_positive().then_some(line)
}
