//! Topics and transport keys: how a delivery is called, so that the log knows it again. Pure.
//!
//! Invariant: a key holds the shop, so two shops never share one. A key is at most 512
//! printable ASCII characters without blanks: a part that is longer, or holds anything else, or a
//! colon, is replaced by `~` and its SHA-256, so different parts give different keys.
//!
//! A key only has to recognise the *same delivery* sent again, within the log's window. Two keys
//! for one event cost nothing: order states are joined, and the ledger is unique by business key.
//! One key for two events would lose the second. So when in doubt, the key differs.

use hyper::{HeaderMap, header::HeaderValue};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::{UNKNOWN_TOPIC, route::Form, signature};
use crate::domain::{
    digest::Digest,
    id::{Platform, StoreId},
};

/// The longest key, in bytes.
#[cfg(test)]
const KEY_MAX: usize = 512;
/// The longest part of a key that stays as it is, in bytes.
const PART_MAX: usize = 96;
/// The longest topic that is kept, in bytes.
const TOPIC_MAX: usize = 128;

/// What a delivery is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Transport {
    /// The topic of the envelope.
    pub(super) topic: String,
    /// The transport key.
    pub(super) key: String,
}

/// Names a delivery of a shop platform; `event` is the one in the path, which only Magento has.
pub(super) fn webhook(
    platform: Platform,
    store: &StoreId,
    event: &str,
    headers: &HeaderMap,
    digest: &Digest,
) -> Transport {
    match platform {
        Platform::Shopify => shopify(store, headers, digest),
        Platform::WooCommerce => woocommerce(store, headers, digest),
        Platform::Magento | Platform::Api => magento(store, event, headers, digest),
    }
}

/// `shopify:{store}:{topic}:{webhook id}`, or the body's SHA-256 where there is no id. The id is
/// one per delivery and stays over retries; `X-Shopify-Event-Id` is shared by the topics of one
/// action and would merge them. The shop's domain is left out: the store stands for it.
fn shopify(store: &StoreId, headers: &HeaderMap, digest: &Digest) -> Transport {
    let events = headers.contains_key(signature::SHOPIFY_EVENTS_HMAC);
    let get = |plain: &str, prefixed: &str| {
        let own = if events { headers.get(plain) } else { None };
        own.or_else(|| headers.get(prefixed))
    };
    let name = get("shopify-topic", "x-shopify-topic");
    let id = get("shopify-webhook-id", "x-shopify-webhook-id");
    let mut topic = topic(name);
    if events {
        // The body of an "Events" delivery is another one than the classic topic's.
        topic.insert_str(0, "events:");
    }
    let key = Key::new(if events { "shopify.events" } else { "shopify" }, store)
        .part(bytes(name))
        .id_or_digest(id, digest);
    Transport { topic, key }
}

/// `woo:{store}:{webhook id}:{topic}:{SHA-256 of the body}`. The resource's id is in the body, so
/// in its hash. The delivery id is one per webhook and *second*, shared by different orders, so it
/// cannot replace the hash.
///
/// For `.deleted` the body is nothing but an id, and a restored order may look as it did before: an
/// order deleted, restored and deleted again gives the same bytes twice. There the delivery id is
/// added. That never lets a retry through, for `WooCommerce` has none.
fn woocommerce(store: &StoreId, headers: &HeaderMap, digest: &Digest) -> Transport {
    let name = headers.get("x-wc-webhook-topic");
    let mut key =
        Key::new("woo", store).part(bytes(headers.get("x-wc-webhook-id"))).part(bytes(name));
    if [&b".deleted"[..], b".restored"].iter().any(|end| bytes(name).ends_with(end)) {
        key = key.part(bytes(headers.get("x-wc-webhook-delivery-id")));
    }
    Transport { topic: topic(name), key: key.digest(digest) }
}

/// `mag:{store}:{event}:{SHA-256 of the body}`, or Adobe's event id where there is one. mage-os
/// sends no id of any kind. The hash covers the entity's id and `updated_at`, so naming them as
/// well would make no key more different, and would mean parsing the body.
fn magento(store: &StoreId, event: &str, headers: &HeaderMap, digest: &Digest) -> Transport {
    let key = Key::new("mag", store)
        .part(event.as_bytes())
        .id_or_digest(headers.get("x-adobe-event-id"), digest);
    Transport { topic: event.to_owned(), key }
}

/// `api:{store}:{form}:{Idempotency-Key}`, or the body's SHA-256 where there is none. The caller
/// who sends the header says that equal keys are the same request, so a changed body under a used
/// key is not stored; the answer says `duplicate`.
pub(super) fn api(store: &StoreId, form: Form, headers: &HeaderMap, digest: &Digest) -> Transport {
    let key = Key::new("api", store)
        .part(form.topic().as_bytes())
        .id_or_digest(headers.get("idempotency-key"), digest);
    Transport { topic: form.topic().to_owned(), key }
}

/// When Shopify says that the event happened.
pub(super) fn triggered_at(headers: &HeaderMap) -> Option<Timestamp> {
    let value =
        headers.get("shopify-triggered-at").or_else(|| headers.get("x-shopify-triggered-at"))?;
    value.to_str().ok()?.parse().ok()
}

/// Whether these are the headers and the body of the greeting that `WooCommerce` sends when a
/// webhook is saved: a form with one number, none of its usual headers, no signature.
pub(super) fn is_ping(headers: &HeaderMap, body: &[u8]) -> bool {
    may_be_ping(headers)
        && body
            .strip_prefix(b"webhook_id=")
            .is_some_and(|id| matches!(id.len(), 1..=20) && id.iter().all(u8::is_ascii_digit))
}

/// Whether the headers alone allow it to be a ping.
pub(super) fn may_be_ping(headers: &HeaderMap) -> bool {
    bytes(headers.get("content-type"))
        .get(..33)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"application/x-www-form-urlencoded"))
        && !headers.keys().any(|name| name.as_str().starts_with("x-wc-webhook-"))
}

/// The longest body that can be a ping, in bytes: the name, the sign and twenty digits.
pub(super) const PING_MAX: usize = 31;

fn bytes(value: Option<&HeaderValue>) -> &[u8] {
    value.map(HeaderValue::as_bytes).unwrap_or_default()
}

fn topic(value: Option<&HeaderValue>) -> String {
    value
        .and_then(|value| value.to_str().ok())
        .filter(|text| matches!(text.len(), 1..=TOPIC_MAX))
        .filter(|text| text.bytes().all(|b| b.is_ascii_graphic()))
        .unwrap_or(UNKNOWN_TOPIC)
        .to_owned()
}

/// A key in the making.
struct Key(String);

impl Key {
    fn new(scheme: &str, store: &StoreId) -> Self {
        // Room for most keys at once: a UUID or a hash, and a topic.
        let mut text = String::with_capacity(160);
        text.push_str(scheme);
        text.push(':');
        // A store's name holds letters, digits, `-` and `_` only.
        text.push_str(store.as_str());
        Self(text)
    }

    fn part(mut self, part: &[u8]) -> Self {
        self.0.push(':');
        match std::str::from_utf8(part) {
            Ok(text) if is_plain(text) => self.0.push_str(text),
            _ => {
                self.0.push('~');
                push_hex(&mut self.0, &Sha256::digest(part));
            }
        }
        self
    }

    fn digest(mut self, digest: &Digest) -> String {
        self.0.push(':');
        push_hex(&mut self.0, digest.as_bytes());
        self.0
    }

    fn id_or_digest(self, id: Option<&HeaderValue>, digest: &Digest) -> String {
        match bytes(id) {
            [] => self.digest(digest),
            id => self.part(id).0,
        }
    }
}

/// Whether a part may stand in a key as it is.
fn is_plain(part: &str) -> bool {
    part.len() <= PART_MAX
        && !part.starts_with('~')
        && part.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    let mut digits = [0; 64];
    if hex::encode_to_slice(bytes, &mut digits).is_ok() {
        text.extend(digits.map(char::from));
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderName;
    use proptest::prelude::*;

    use super::*;

    const SHA_OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn store() -> StoreId {
        StoreId::parse("acme").unwrap()
    }

    fn named(
        platform: Platform,
        event: &str,
        headers: &[(&'static str, &str)],
    ) -> (String, String) {
        let headers = headers
            .iter()
            .map(|(name, value)| {
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                (HeaderName::from_static(name), value)
            })
            .collect();
        let found = webhook(platform, &store(), event, &headers, &Digest::of(b"abc"));
        (found.topic, found.key)
    }

    #[test]
    fn shopify_is_named_by_topic_and_webhook_id() {
        let headers = [("x-shopify-topic", "orders/paid"), ("x-shopify-webhook-id", "b54557e4")];
        let (topic, key) = named(Platform::Shopify, "", &headers);
        assert_eq!((&*topic, &*key), ("orders/paid", "shopify:acme:orders/paid:b54557e4"));
        let (_, key) = named(Platform::Shopify, "", &headers[..1]);
        assert_eq!(key, format!("shopify:acme:orders/paid:{SHA_OF_ABC}"));
        let (topic, _) = named(Platform::Shopify, "", &headers[1..]);
        assert_eq!(topic, "unknown");
    }

    #[test]
    fn shopify_events_are_kept_apart_from_classic_topics() {
        let headers = [
            ("shopify-hmac-sha256", "x"),
            ("shopify-topic", "orders/paid"),
            ("x-shopify-topic", "other"),
            ("x-shopify-webhook-id", "7"),
        ];
        let (topic, key) = named(Platform::Shopify, "", &headers);
        assert_eq!(topic, "events:orders/paid");
        assert_eq!(key, "shopify.events:acme:orders/paid:7");
        // Without the signature of that family its other headers mean nothing.
        assert_eq!(named(Platform::Shopify, "", &headers[1..]).0, "other");
    }

    #[test]
    fn woocommerce_deliveries_of_one_second_differ_by_their_bodies() {
        let headers = |topic| {
            [
                ("x-wc-webhook-topic", topic),
                ("x-wc-webhook-id", "12"),
                ("x-wc-webhook-delivery-id", "c0ffee"),
            ]
        };
        let (topic, key) = named(Platform::WooCommerce, "", &headers("order.updated"));
        assert_eq!(topic, "order.updated");
        assert_eq!(key, format!("woo:acme:12:order.updated:{SHA_OF_ABC}"));
        let (_, key) = named(Platform::WooCommerce, "", &headers("order.deleted"));
        assert_eq!(key, format!("woo:acme:12:order.deleted:c0ffee:{SHA_OF_ABC}"));
    }

    #[test]
    fn magento_is_named_by_path_and_body_or_by_adobes_id() {
        let (topic, key) = named(Platform::Magento, "sales.order.created", &[]);
        assert_eq!(topic, "sales.order.created");
        assert_eq!(key, format!("mag:acme:sales.order.created:{SHA_OF_ABC}"));
        let (_, key) = named(Platform::Magento, "e", &[("x-adobe-event-id", "f1-2")]);
        assert_eq!(key, "mag:acme:e:f1-2");
    }

    #[test]
    fn the_api_is_named_by_its_idempotency_key() {
        let mut headers = HeaderMap::new();
        let digest = Digest::of(b"abc");
        let name = |headers: &HeaderMap| api(&store(), Form::Canonical, headers, &digest).key;
        assert_eq!(name(&headers), format!("api:acme:canonical:{SHA_OF_ABC}"));
        headers.insert("idempotency-key", HeaderValue::from_static("order-1"));
        assert_eq!(name(&headers), "api:acme:canonical:order-1");
    }

    #[test]
    fn parts_cannot_be_shifted_between_each_other() {
        let of = |topic, id| {
            named(
                Platform::Shopify,
                "",
                &[("x-shopify-topic", topic), ("x-shopify-webhook-id", id)],
            )
            .1
        };
        assert_ne!(of("a:b", "c"), of("a", "b:c"));
        let hashed = of("a", "b c").rsplit(':').next().unwrap().to_owned();
        assert_ne!(of("a", &hashed), of("a", "b c"));
    }

    #[test]
    fn only_the_greeting_is_a_ping() {
        let form = |value: &'static str| {
            HeaderMap::from_iter([(hyper::header::CONTENT_TYPE, HeaderValue::from_static(value))])
        };
        let plain = form("application/x-www-form-urlencoded; charset=utf-8");
        assert!(is_ping(&plain, b"webhook_id=7"));
        assert!(is_ping(&plain, b"webhook_id=12345678901234567890"));
        for body in
            [&b"webhook_id="[..], b"webhook_id=a", b"id=7", b"webhook_id=123456789012345678901"]
        {
            assert!(!is_ping(&plain, body));
        }
        assert!(!is_ping(&form("application/json"), b"webhook_id=7"));
        let mut signed = plain;
        signed.insert("x-wc-webhook-topic", HeaderValue::from_static("order.created"));
        assert!(!is_ping(&signed, b"webhook_id=7"));
    }

    #[test]
    fn the_time_of_the_event_is_read_if_it_is_one() {
        let at = |value: &'static str| {
            let value = HeaderValue::from_static(value);
            triggered_at(&HeaderMap::from_iter([(
                HeaderName::from_static("x-shopify-triggered-at"),
                value,
            )]))
        };
        assert_eq!(at("2026-11-21T10:00:00.250+02:00"), "2026-11-21T08:00:00.25Z".parse().ok());
        assert_eq!(at("yesterday"), None);
    }

    proptest! {
        #[test]
        fn a_key_is_bounded_and_printable_whatever_the_headers_say(
            values in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..300),
                7,
            ),
            body in any::<[u8; 8]>(),
        ) {
            let names = [
                "x-shopify-topic", "x-shopify-webhook-id", "x-wc-webhook-topic", "x-wc-webhook-id",
                "x-wc-webhook-delivery-id", "x-adobe-event-id", "idempotency-key",
            ];
            let headers: HeaderMap = names
                .into_iter()
                .zip(&values)
                .filter_map(|(name, value)| {
                    Some((HeaderName::from_static(name), HeaderValue::from_bytes(value).ok()?))
                })
                .collect();
            let store = StoreId::parse(&"s".repeat(64)).unwrap();
            let digest = Digest::of(&body);
            let event = "e".repeat(128);
            let mut all: Vec<Transport> = Platform::ALL[..3]
                .iter()
                .map(|platform| webhook(*platform, &store, &event, &headers, &digest))
                .collect();
            all.push(api(&store, Form::Short, &headers, &digest));
            for Transport { topic, key } in all {
                prop_assert!(key.len() <= KEY_MAX && key.contains(store.as_str()));
                prop_assert!(key.bytes().all(|b| b.is_ascii_graphic()));
                prop_assert!(matches!(topic.len(), 1..=TOPIC_MAX));
                prop_assert!(topic.bytes().all(|b| b.is_ascii_graphic()));
            }
        }
    }
}
