//! Signed deliveries, as each platform sends them.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hmac::{Hmac, Mac as _};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use sha2::Sha256;

use super::{MAGENTO_SECRET, SHOPIFY_SECRET, TOKEN, WOO_SECRET, eventually};

/// What the program answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: String,
}

/// A request to the edge, ready to be sent as often as wanted.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

fn signature(secret: &str, body: &str) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.chain_update(body.as_bytes()).finalize().into_bytes().to_vec()
}

impl Delivery {
    /// A webhook of Shopify; `id` is the delivery.
    pub(crate) fn shopify(topic: &str, id: &str, body: &Value) -> Self {
        Self::shopify_raw(topic, id, body.to_string())
    }

    /// A webhook of Shopify with a body that need not be JSON.
    pub(crate) fn shopify_raw(topic: &str, id: &str, body: String) -> Self {
        let signed = STANDARD.encode(signature(SHOPIFY_SECRET, &body));
        let headers = vec![
            ("x-shopify-topic", topic.to_owned()),
            ("x-shopify-webhook-id", id.to_owned()),
            ("x-shopify-hmac-sha256", signed),
        ];
        Self { path: "/webhooks/shopify/acme".to_owned(), headers, body }
    }

    /// A webhook of WooCommerce.
    pub(crate) fn woocommerce(topic: &str, body: &Value) -> Self {
        let body = body.to_string();
        let signed = STANDARD.encode(signature(WOO_SECRET, &body));
        let headers = vec![
            ("x-wc-webhook-topic", topic.to_owned()),
            ("x-wc-webhook-id", "7".to_owned()),
            ("x-wc-webhook-delivery-id", "d0".to_owned()),
            ("x-wc-webhook-signature", signed),
        ];
        Self { path: "/webhooks/woocommerce/acme".to_owned(), headers, body }
    }

    /// An asynchronous event of mage-os.
    pub(crate) fn magento(event: &str, body: &Value) -> Self {
        let body = body.to_string();
        let signed = hex::encode(signature(MAGENTO_SECRET, &body));
        let headers = vec![("x-magento-signature", signed)];
        Self { path: format!("/webhooks/magento/acme/{event}"), headers, body }
    }

    /// An order of the company's own systems; `path` names the form.
    pub(crate) fn api(path: &str, body: &Value) -> Self {
        let headers = vec![("authorization", format!("Bearer {TOKEN}"))];
        Self { path: path.to_owned(), headers, body: body.to_string() }
    }

    /// A paid Shopify order of one line; `minute` is when it was last changed.
    pub(crate) fn order(id: u64, minute: u8, sku: &str, price: &str, referrer: &str) -> Self {
        let body = shopify_order(id, minute, "paid", sku, price, referrer);
        Self::shopify("orders/updated", &format!("delivery-{id}-{minute}"), &body)
    }
}

/// The body of a Shopify order of one line, placed in the year before.
pub(crate) fn shopify_order(
    id: u64,
    minute: u8,
    status: &str,
    sku: &str,
    price: &str,
    referrer: &str,
) -> Value {
    serde_json::json!({
        "id": id, "currency": "USD", "test": false, "taxes_included": false,
        "created_at": "2026-10-02T09:00:00Z", "processed_at": "2026-10-02T09:00:00Z",
        "updated_at": format!("2026-10-02T10:{minute:02}:00Z"), "cancelled_at": null,
        "financial_status": status, "total_price": price, "total_tax": "0.00",
        "note_attributes": [{ "name": "ref", "value": referrer }],
        "line_items": [{
            "id": 1, "sku": sku, "variant_id": 4, "product_id": 5, "quantity": 1, "price": price,
            "total_discount": "0.00", "gift_card": false, "discount_allocations": [],
            "tax_lines": [],
        }],
        "shipping_lines": [], "refunds": [],
    })
}

/// An HTTP client that keeps its connections.
pub(crate) struct Client(legacy::Client<HttpConnector, Full<Bytes>>);

impl Client {
    pub(super) fn new() -> Self {
        Self(legacy::Client::builder(TokioExecutor::new()).build_http())
    }

    /// Sends a delivery; an error means that there was no answer.
    pub(crate) async fn try_post(
        &self,
        to: SocketAddr,
        delivery: &Delivery,
    ) -> Result<Answer, String> {
        let uri = format!("http://{to}{}", delivery.path);
        let mut request = Request::builder().method(Method::POST).uri(uri);
        for (name, value) in &delivery.headers {
            request = request.header(*name, value);
        }
        let body = Full::new(Bytes::from(delivery.body.clone()));
        self.send(request.body(body).unwrap()).await
    }

    /// Sends a delivery that is answered.
    pub(crate) async fn post(&self, to: SocketAddr, delivery: &Delivery) -> Answer {
        self.try_post(to, delivery).await.unwrap()
    }

    /// Sends a delivery that is taken.
    pub(crate) async fn deliver(&self, to: SocketAddr, delivery: &Delivery) {
        let answer = self.post(to, delivery).await;
        assert!(matches!(answer.status, 200 | 202), "{answer:?} to {delivery:?}");
    }

    /// Sends a delivery again and again until it is taken, as a shop does.
    pub(crate) async fn insist(&self, to: impl Fn() -> SocketAddr, delivery: &Delivery) {
        eventually("a delivery is taken", async || {
            let answer = self.try_post(to(), delivery).await;
            answer.is_ok_and(|answer| matches!(answer.status, 200 | 202)).then_some(())
        })
        .await;
    }

    /// Sends deliveries, several at a time, each until it is taken.
    pub(crate) async fn insist_all(&self, to: impl Fn() -> SocketAddr, deliveries: &[Delivery]) {
        let next = AtomicUsize::new(0);
        let senders = (0..8).map(|_| async {
            while let Some(delivery) = deliveries.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.insist(&to, delivery).await;
            }
        });
        futures_util::future::join_all(senders).await;
    }

    /// Reads a page.
    pub(crate) async fn get(&self, from: SocketAddr, path: &str) -> Answer {
        let request = Request::builder().uri(format!("http://{from}{path}"));
        self.send(request.body(Full::default()).unwrap()).await.unwrap()
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let response = self.0.request(request).await.map_err(|error| format!("{error:?}"))?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        let retry_after = head.headers.get("retry-after").map(|v| v.to_str().unwrap().to_owned());
        Ok(Answer {
            status: head.status.as_u16(),
            retry_after,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }
}
