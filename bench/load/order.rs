//! Signed `orders/paid` webhooks, made cheaply: a body is rendered once, and for each order only
//! the figures that differ are written over it, at places that are known.
//!
//! Every field that differs has a fixed width, so every request has the same length.

use std::io::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::company::{Company, mix};

/// The secret of all shops.
pub(crate) const SECRET: &str = "the secret of the shops of the bench";
/// The size of the body of an ordinary order, in bytes.
const BODY: usize = 9_000;
/// The first order id of the platform; 13 digits like Shopify's.
const FIRST_ID: u64 = 5_000_000_000_000;
const FIRST_CUSTOMER: u64 = 7_000_000_000_000;
const FIRST_LINE: u64 = 2_000_000_000_000;
/// The most lines of an order.
pub(crate) const MOST_LINES: u64 = 256;
/// Rows beside the one that earns: their price and the shipping, in cents. Together with the largest
/// price they stay below 1,000.00, so that every total has three digits before its point.
const BESIDE: u64 = 150;
const SHIPPING: u64 = 595;

/// Where the figures go: each has a placeholder of its width that occurs nowhere else.
const ID: &str = "9999000000001";
const CUSTOMER: &str = "9999000000002";
const LINE: u64 = 9_999_100_000_000;
const PRICE: &str = "991.71";
const TOTAL: &str = "992.72";
const REFERRER: &str = "99999937";
const STORE: &str = "store-9937";
const SIGNATURE: &str = "SIGNATURE-SIGNATURE-SIGNATURE-SIGNATURE-SIGN";
const DELIVERY: &str = "99993700-d000-4000-8000-000000000000";

/// What is in the orders of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Lines of an order; the first earns, the others have a class without rates.
    pub(crate) lines: u64,
    /// How many shops there are.
    pub(crate) stores: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self { lines: 3, stores: 4 }
    }
}

/// One order, by its number in the run: everything else follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    /// From 0.
    pub(crate) number: u64,
    /// Price of the line that earns, in cents.
    pub(crate) cents: u64,
    /// The distributor who referred it.
    pub(crate) referrer: u32,
    store: u64,
    customer: u64,
}

impl Order {
    /// The order with this number.
    pub(crate) fn new(number: u64, company: Company, shape: Shape) -> Self {
        let everybody = u64::from(company.size()).saturating_mul(10);
        Self {
            number,
            cents: 10_000 + mix(number, 1) % 40_000,
            referrer: company.referrer(mix(number, 2)),
            store: number % shape.stores,
            customer: FIRST_CUSTOMER + mix(number, 3) % everybody,
        }
    }

    /// The number of an order in the ledger.
    pub(crate) fn number_of(key: &str) -> Option<u64> {
        key.rsplit('/').next()?.parse::<u64>().ok()?.checked_sub(FIRST_ID)
    }

    /// The id of the platform.
    pub(crate) fn id(self) -> u64 {
        FIRST_ID + self.number
    }

    /// The line that earns.
    pub(crate) fn earning_line(self) -> String {
        (FIRST_LINE + self.number * MOST_LINES).to_string()
    }
}

/// The name of a shop.
pub(crate) fn store_name(store: u64) -> String {
    format!("store-{store:04}")
}

/// Where a placeholder stands in the request.
type Places = Vec<usize>;

/// A request with places to fill in.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    shape: Shape,
    request: Vec<u8>,
    body: usize,
    id: Places,
    customer: Places,
    lines: Vec<Places>,
    price: Places,
    total: Places,
    referrer: Places,
    store: Places,
    signature: Places,
    delivery: Places,
    mac: Hmac<Sha256>,
}

impl Template {
    /// The template of a shape.
    pub(crate) fn new(shape: Shape) -> anyhow::Result<Self> {
        anyhow::ensure!((1..=MOST_LINES).contains(&shape.lines), "1 to {MOST_LINES} lines");
        anyhow::ensure!((1..10_000).contains(&shape.stores), "1 to 9999 stores");
        let mut body = serde_json::to_string(&body(shape, ""))?;
        if let Some(missing) = BODY.checked_sub(body.len()) {
            body = serde_json::to_string(&self::body(shape, &filler(missing)))?;
        }
        let head = format!(
            "POST /webhooks/shopify/{STORE} HTTP/1.1\r\nhost: shop.example\r\n\
             user-agent: Shopify-Captain-Hook\r\naccept: */*\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\
             x-shopify-topic: orders/paid\r\nx-shopify-hmac-sha256: {SIGNATURE}\r\n\
             x-shopify-shop-domain: {STORE}.example.com\r\nx-shopify-api-version: 2026-07\r\n\
             x-shopify-webhook-id: {DELIVERY}\r\n\r\n",
            body.len()
        );
        let request = format!("{head}{body}");
        let places = |of: &str| {
            let found: Places = request.match_indices(of).map(|(at, _)| at).collect();
            anyhow::ensure!(!found.is_empty(), "the template has no place for {of}");
            Ok(found)
        };
        let lines: anyhow::Result<Vec<Places>> =
            (0..shape.lines).map(|line| places(&(LINE + line).to_string())).collect();
        Ok(Self {
            shape,
            id: places(ID)?,
            customer: places(CUSTOMER)?,
            lines: lines?,
            price: places(PRICE)?,
            total: places(TOTAL)?,
            referrer: places(REFERRER)?,
            store: places(STORE)?,
            signature: places(SIGNATURE)?,
            delivery: places(DELIVERY)?,
            mac: Hmac::new_from_slice(SECRET.as_bytes())?,
            body: head.len(),
            request: request.into_bytes(),
        })
    }

    /// The shape that it was made for.
    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// The size of the body in bytes.
    pub(crate) fn body_len(&self) -> usize {
        self.request.len() - self.body
    }

    /// A buffer for [`Self::write`].
    pub(crate) fn buffer(&self) -> Vec<u8> {
        self.request.clone()
    }

    /// Makes a buffer the signed request of an order. The same order gives the same bytes.
    pub(crate) fn write(&self, order: Order, buffer: &mut [u8]) {
        let mut text = Text { bytes: [0; 40] };
        fill(buffer, &self.id, text.of(format_args!("{}", order.id())));
        fill(buffer, &self.customer, text.of(format_args!("{}", order.customer)));
        for (line, places) in (0u64..).zip(&self.lines) {
            let id = FIRST_LINE + order.number * MOST_LINES + line;
            fill(buffer, places, text.of(format_args!("{id}")));
        }
        fill(buffer, &self.price, text.money(order.cents));
        fill(buffer, &self.total, text.money(order.cents + beside(self.shape)));
        fill(buffer, &self.referrer, text.of(format_args!("{}", Company::id(order.referrer))));
        fill(buffer, &self.store, text.of(format_args!("store-{:04}", order.store)));
        let delivery = format_args!("{:08x}-d000-4000-8000-{:012}", order.store, order.number);
        fill(buffer, &self.delivery, text.of(delivery));
        let mut mac = self.mac.clone();
        mac.update(buffer.get(self.body..).unwrap_or_default());
        let mut encoded = [0; 44];
        // 32 bytes are 44 characters, always.
        STANDARD.encode_slice(mac.finalize().into_bytes(), &mut encoded).ok();
        fill(buffer, &self.signature, &encoded);
    }
}

/// A few digits on the stack.
struct Text {
    bytes: [u8; 40],
}

impl Text {
    fn of(&mut self, text: std::fmt::Arguments<'_>) -> &[u8] {
        let mut rest = self.bytes.as_mut_slice();
        // The widest is the delivery with 36 characters.
        rest.write_fmt(text).ok();
        let left = rest.len();
        self.bytes.split_at(self.bytes.len() - left).0
    }

    fn money(&mut self, cents: u64) -> &[u8] {
        self.of(format_args!("{:03}.{:02}", cents / 100, cents % 100))
    }
}

fn fill(buffer: &mut [u8], places: &[usize], text: &[u8]) {
    for place in places {
        if let Some(slot) = buffer.get_mut(*place..place + text.len()) {
            slot.copy_from_slice(text);
        }
    }
}

/// What the order costs beside the line that earns, in cents.
fn beside(shape: Shape) -> u64 {
    (shape.lines - 1) * BESIDE + SHIPPING
}

fn filler(length: usize) -> String {
    "utm_source=newsletter&utm_medium=email&utm_campaign=autumn&"
        .chars()
        .cycle()
        .take(length)
        .collect()
}

fn money(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// An amount in both currencies.
fn set(amount: &str) -> Value {
    let side = json!({ "amount": amount, "currency_code": "USD" });
    json!({ "shop_money": side, "presentment_money": side })
}

fn address() -> Value {
    json!({
        "first_name": "Robin", "last_name": "Miller", "address1": "12 Juniper Street",
        "address2": "", "phone": "+1 555 0100", "city": "Portland", "zip": "97201",
        "province": "Oregon", "country": "United States", "company": null, "latitude": null,
        "longitude": null, "name": "Robin Miller", "country_code": "US", "province_code": "OR",
    })
}

fn line(number: u64) -> Value {
    let (sku, price) = if number == 0 {
        ("BENCH-EARNS".to_owned(), PRICE.to_owned())
    } else {
        (format!("BENCH-BESIDE-{}", number % 2), money(BESIDE))
    };
    let id = LINE + number;
    json!({
        "id": id, "admin_graphql_api_id": format!("gid://shopify/LineItem/{id}"),
        "attributed_staffs": [], "current_quantity": 1, "fulfillable_quantity": 1,
        "fulfillment_service": "manual", "fulfillment_status": null, "gift_card": false,
        "grams": 320, "name": "Wellness capsules, 60 pieces", "price": price,
        "price_set": set(&price), "product_exists": true, "product_id": 7_100_000_000_000_u64 + number,
        "properties": [], "quantity": 1, "requires_shipping": true, "sku": sku, "taxable": false,
        "title": "Wellness capsules", "total_discount": "0.00", "total_discount_set": set("0.00"),
        "variant_id": 4_100_000_000_000_u64 + number, "variant_inventory_management": "shopify",
        "variant_title": "60 pieces", "vendor": "Acme", "tax_lines": [], "duties": [],
        "discount_allocations": [],
    })
}

/// The head of the body with placeholders.
fn head(filler: &str) -> Value {
    json!({
        "admin_graphql_api_id": format!("gid://shopify/Order/{ID}"), "app_id": 580_111,
        "browser_ip": "192.0.2.17", "buyer_accepts_marketing": false, "cancel_reason": null,
        "cancelled_at": null, "cart_token": "hWN2hGQ0b1wF9xT0rEPd", "closed_at": null,
        "client_details": {
            "accept_language": "en-US", "browser_height": null, "browser_ip": "192.0.2.17",
            "browser_width": null, "session_hash": null,
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        },
        "company": null, "confirmation_number": "HWN2HGQ0B", "confirmed": true,
        "contact_email": "robin@example.com", "created_at": "2026-10-02T09:15:00-04:00",
        "currency": "USD", "customer_locale": "en", "device_id": null, "discount_codes": [],
        "discount_applications": [], "duties_included": false, "email": "robin@example.com",
        "estimated_taxes": false, "financial_status": "paid", "fulfillment_status": null,
        "landing_site": format!("/collections/all?{filler}"), "landing_site_ref": null,
        "location_id": null, "merchant_of_record_app_id": null, "name": format!("#{ID}"),
        "note": null, "number": 1001, "order_number": 2001,
        "order_status_url": "https://shop.example.com/61000000001/orders/hWN2hGQ0b1wF9xT0rEPd",
    })
}

/// The rest of the body with placeholders.
fn rest(shape: Shape) -> Value {
    let rows: Vec<Value> = (0..shape.lines).map(line).collect();
    json!({
        "payment_gateway_names": ["bogus"], "phone": null, "po_number": null,
        "presentment_currency": "USD", "processed_at": "2026-10-02T09:14:58-04:00",
        "reference": null, "referring_site": "https://www.example.com/", "source_name": "web",
        "source_identifier": null, "source_url": null, "tags": "", "tax_exempt": false,
        "tax_lines": [], "taxes_included": false, "test": false, "token": "hWN2hGQ0b1wF9xT0rEPd",
        "total_outstanding": "0.00", "total_tip_received": "0.00", "total_weight": 960,
        "updated_at": "2026-10-02T09:15:04-04:00", "user_id": null,
        "billing_address": address(), "shipping_address": address(), "fulfillments": [],
        "payment_terms": null, "refunds": [], "returns": [], "line_items": rows,
        "note_attributes": [
            { "name": "ref", "value": REFERRER },
            { "name": "gift message", "value": "Enjoy, see you soon" },
        ],
    })
}

fn shipping_line(price: &str) -> Value {
    json!({
        "id": 4_200_000_000_001_u64, "carrier_identifier": null, "code": "Standard",
        "discounted_price": price, "discounted_price_set": set(price), "is_removed": false,
        "phone": null, "price": price, "price_set": set(price),
        "requested_fulfillment_service_id": null, "source": "shopify", "title": "Standard",
        "tax_lines": [], "discount_allocations": [],
    })
}

/// The body with placeholders: the fields of a real `orders/paid`.
fn body(shape: Shape, filler: &str) -> Value {
    let shipping = money(SHIPPING);
    // Numbers without quotes, as wide as what takes their place.
    let number = |text: &str| text.parse::<u64>().map_or(Value::Null, Value::from);
    let fields = [
        ("id", number(ID)),
        ("checkout_id", number(ID)),
        (
            "customer",
            json!({
                "id": number(CUSTOMER), "email": "robin@example.com", "state": "disabled",
                "created_at": "2026-09-01T10:00:00-04:00", "note": null, "currency": "USD",
                "updated_at": "2026-10-02T09:15:00-04:00", "first_name": "Robin",
                "last_name": "Miller", "verified_email": true, "multipass_identifier": null,
                "tax_exempt": false, "phone": null, "tags": "newsletter", "tax_exemptions": [],
                "admin_graphql_api_id": format!("gid://shopify/Customer/{CUSTOMER}"),
                "default_address": address(),
            }),
        ),
    ];
    let subtotal = ["total_line_items_price", "subtotal_price", "current_subtotal_price"];
    let totals = ["total_price", "current_total_price"];
    let none = ["total_discounts", "total_tax", "current_total_discounts", "current_total_tax"];
    // The subtotal is stated as the whole: nobody computes with it, and it saves a placeholder.
    let amounts = subtotal
        .iter()
        .chain(&totals)
        .map(|name| (*name, TOTAL))
        .chain(none.map(|name| (name, "0.00")))
        .chain([("total_shipping_price", shipping.as_str())]);
    let mut body = head(filler);
    if let (Value::Object(body), Value::Object(rest)) = (&mut body, rest(shape)) {
        body.extend(rest);
        body.insert("shipping_lines".to_owned(), json!([shipping_line(&shipping)]));
        for (name, amount) in amounts {
            body.insert(name.to_owned(), amount.into());
            body.insert(format!("{name}_set"), set(amount));
        }
        body.extend(fields.map(|(name, value)| (name.to_owned(), value)));
    }
    body
}
