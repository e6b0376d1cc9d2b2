//! Signs a body and puts the headers on it that its shop would.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;

use super::{HttpVersion, Secrets, Shot, ShotKind};
use crate::cli::demo::payload::Shop;

/// What is said beside the body.
#[derive(Debug, Clone)]
pub(super) struct Envelope {
    /// Where it comes from.
    pub(super) shop: Shop,
    /// The topic (Shopify, WooCommerce), the event (Magento), the form (API).
    pub(super) topic: &'static str,
    /// The id of the delivery, where the shop gives one.
    pub(super) delivery: Option<String>,
    /// What happened when, for Shopify.
    pub(super) event: String,
    /// When it happened.
    pub(super) triggered_at: Timestamp,
}

/// How a body is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signed {
    /// As the shop does it.
    Rightly,
    /// With the secret before the rotation, where there is one.
    WithTheOldSecret,
    /// With a secret that is not the shop's.
    Wrongly,
    /// Not at all.
    Not,
}

/// HMAC-SHA256.
pub(super) fn hmac(secret: &str, body: &[u8]) -> Vec<u8> {
    // A key of any length is one, so there is always a value.
    Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .map(|mac| mac.chain_update(body).finalize().into_bytes().to_vec())
        .unwrap_or_default()
}

impl Envelope {
    /// The request.
    pub(super) fn shot(&self, body: Vec<u8>, signed: Signed, secrets: &Secrets) -> Shot {
        let secret = match (signed, self.shop) {
            (Signed::Not, _) => None,
            (Signed::Wrongly, _) => Some("not-the-secret-of-this-shop"),
            (Signed::WithTheOldSecret, Shop::Shopify) => Some(secrets.shopify_old.as_str()),
            (_, Shop::Shopify) => Some(secrets.shopify.as_str()),
            (_, Shop::WooCommerce) => Some(secrets.woocommerce.as_str()),
            (_, Shop::Magento) => Some(secrets.magento.as_str()),
            (_, Shop::Api) => Some(secrets.api.as_str()),
        };
        let mut headers = self.headers();
        if let Some(secret) = secret {
            headers.push(self.proof(secret, &body));
        }
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let good = matches!(signed, Signed::Rightly | Signed::WithTheOldSecret);
        Shot {
            method: "POST",
            path: self.path(),
            http: match self.shop {
                Shop::WooCommerce => HttpVersion::Http10,
                Shop::Shopify | Shop::Magento | Shop::Api => HttpVersion::Http11,
            },
            headers,
            body,
            expect_status: match (good, self.shop) {
                (false, _) => 401,
                // The API says that nothing was looked at yet.
                (true, Shop::Api) => 202,
                (true, _) => 200,
            },
            kind: if good { ShotKind::Order } else { ShotKind::BadSignature },
            order: None,
            at: None,
        }
    }

    fn path(&self) -> String {
        match self.shop {
            Shop::Shopify => "/webhooks/shopify/acme-us".to_owned(),
            Shop::WooCommerce => "/webhooks/woocommerce/acme-eu".to_owned(),
            Shop::Magento => format!("/webhooks/magento/acme-mx/{}", self.topic),
            Shop::Api if self.topic == "short" => "/api/mlm/orders".to_owned(),
            Shop::Api => "/v1/orders".to_owned(),
        }
    }

    fn proof(&self, secret: &str, body: &[u8]) -> (&'static str, String) {
        let base64 = || STANDARD.encode(hmac(secret, body));
        match self.shop {
            Shop::Shopify => ("X-Shopify-Hmac-Sha256", base64()),
            Shop::WooCommerce => ("X-WC-Webhook-Signature", base64()),
            Shop::Magento => ("x-magento-signature", hex::encode(hmac(secret, body))),
            Shop::Api => ("Authorization", format!("Bearer {secret}")),
        }
    }

    fn headers(&self) -> Vec<(&'static str, String)> {
        let json = ("Content-Type", "application/json".to_owned());
        let delivery = self.delivery.clone().unwrap_or_default();
        match self.shop {
            Shop::Shopify => vec![
                json,
                ("User-Agent", "Shopify-Captain-Hook".to_owned()),
                ("X-Shopify-Topic", self.topic.to_owned()),
                ("X-Shopify-Shop-Domain", "acme-us.myshopify.com".to_owned()),
                ("X-Shopify-API-Version", "2026-10".to_owned()),
                ("X-Shopify-Webhook-Id", delivery),
                ("X-Shopify-Event-Id", self.event.clone()),
                ("X-Shopify-Triggered-At", self.triggered_at.to_string()),
            ],
            Shop::WooCommerce => {
                let (resource, event) = self.topic.split_once('.').unwrap_or((self.topic, ""));
                let (resource, event) = (resource.to_owned(), event.to_owned());
                let agent = "WooCommerce/11.2.0 Hookshot (WordPress/6.9)";
                let id = if event == "created" { "11" } else { "12" };
                vec![
                    json,
                    ("User-Agent", agent.to_owned()),
                    ("X-WC-Webhook-Source", "https://acme-eu.example.com/".to_owned()),
                    ("X-WC-Webhook-Topic", self.topic.to_owned()),
                    ("X-WC-Webhook-Resource", resource),
                    ("X-WC-Webhook-Event", event),
                    ("X-WC-Webhook-ID", id.to_owned()),
                    ("X-WC-Webhook-Delivery-ID", delivery),
                ]
            }
            Shop::Magento => vec![json, ("User-Agent", "GuzzleHttp/7".to_owned())],
            Shop::Api => {
                let key = self.delivery.clone().map(|key| ("Idempotency-Key", key));
                [json].into_iter().chain(key).collect()
            }
        }
    }
}

/// The greeting that WooCommerce sends when a webhook is saved: a form, and nothing signed.
pub(super) fn ping(webhook: u64) -> Shot {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Shot {
        method: "POST",
        path: "/webhooks/woocommerce/acme-eu".to_owned(),
        http: HttpVersion::Http10,
        headers: vec![
            header("Content-Type", "application/x-www-form-urlencoded"),
            header("User-Agent", "WooCommerce/11.2.0 Hookshot (WordPress/6.9)"),
        ],
        body: format!("webhook_id={webhook}").into_bytes(),
        expect_status: 200,
        kind: ShotKind::Ping,
        order: None,
        at: None,
    }
}
