//! The edge over real sockets: who is believed, and what is answered.

mod admission;
mod adobe;
mod lifecycle;
mod limits;
mod support;

use support::{Mood, SECRET, Server, TOKEN, base64_of, config, hex_of, post, shopify, stores};

use super::{Edge, EdgeError, Outcome};
use crate::{
    clock::Clock,
    domain::{digest::Digest, id::Platform},
};

#[tokio::test]
async fn a_delivery_is_in_the_log_when_the_answer_comes() {
    let server = Server::start().await;
    let reply = server.send(shopify("order-1")).await;
    assert_eq!((reply.status, &*reply.body), (200, r#"{"status":"accepted"}"#));
    assert_eq!(reply.header("content-type"), Some("application/json"));

    let [envelope] = <[_; 1]>::try_from(server.log.taken()).unwrap();
    assert_eq!((envelope.platform, envelope.store.as_str()), (Platform::Shopify, "acme"));
    assert_eq!(
        (&*envelope.topic, &*envelope.delivery),
        ("orders/paid", "shopify:acme:orders/paid:order-1")
    );
    assert_eq!((&*envelope.body, envelope.digest), (&b"order-1"[..], Digest::of(b"order-1")));
    assert_eq!(envelope.received_at, support::NOW.parse().unwrap());

    let again = server.send(shopify("order-1")).await;
    assert_eq!((again.status, &*again.body), (200, r#"{"status":"duplicate"}"#));
    assert_eq!(
        server.recorder.outcomes(),
        [("shopify", Outcome::Accepted), ("shopify", Outcome::Duplicate)]
    );
    assert_eq!(*server.recorder.bytes.lock().unwrap(), [7, 7]);
    assert_eq!(*server.recorder.lags.lock().unwrap(), [2.5, 2.5]);
    assert_eq!(server.recorder.seen.lock().unwrap()[0], (Platform::Shopify, "acme".to_owned()));
}

#[tokio::test]
async fn a_wrong_signature_is_refused_and_counted_and_nothing_is_stored() {
    let server = Server::start().await;
    let wrong = base64_of(b"another body");
    let empty = base64_of(b"");
    let table: [(&[(&str, &str)], &str); 5] = [
        (&[], "body"),
        (&[("X-Shopify-Hmac-Sha256", "abc")], "body"),
        (&[("X-Shopify-Hmac-Sha256", &wrong)], "body"),
        // An empty body is invalid whatever its signature.
        (&[("X-Shopify-Hmac-Sha256", &empty)], ""),
        // The Events header decides, even if the other one is right.
        (
            &[("X-Shopify-Hmac-Sha256", &base64_of(b"body")), ("Shopify-Hmac-Sha256", &wrong)],
            "body",
        ),
    ];
    for (headers, body) in table {
        let reply = server.send(post("/webhooks/shopify/acme", headers, body)).await;
        assert_eq!((reply.status, &*reply.error()), (401, "bad_signature"));
        assert!(!reply.body.contains(SECRET));
    }
    assert_eq!(server.recorder.outcomes(), [("shopify", Outcome::BadSignature); 5]);
    assert!(server.log.taken().is_empty() && server.recorder.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn both_header_families_of_shopify_are_read() {
    let server = Server::start().await;
    let signature = base64_of(b"event");
    let headers = [("shopify-hmac-sha256", &*signature), ("shopify-topic", "orders/update")];
    assert_eq!(server.send(post("/webhooks/shopify/acme", &headers, "event")).await.status, 200);
    // Genuine but without a topic: kept, for a later stage to put aside.
    let headers = [("x-shopify-hmac-sha256", &*signature)];
    assert_eq!(server.send(post("/webhooks/shopify/acme", &headers, "event")).await.status, 200);
    let topics: Vec<String> = server.log.taken().into_iter().map(|taken| taken.topic).collect();
    assert_eq!(topics, ["events:orders/update", "unknown"]);
}

#[tokio::test]
async fn the_greeting_of_woocommerce_gets_200_and_is_not_stored() {
    use Outcome::{BadSignature, Ping, UnknownStore};
    let server = Server::start().await;
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let ping = post("/webhooks/woocommerce/acme", &form, "webhook_id=7").replace("1.1", "1.0");
    assert_eq!(server.send(ping).await.status, 200);
    for (path, body, status) in [
        ("/webhooks/woocommerce/acme", "webhook_id=seven", 401),
        ("/webhooks/woocommerce/acme", &*"x".repeat(5000), 401),
        ("/webhooks/woocommerce/other", "webhook_id=7", 404),
        ("/webhooks/shopify/acme", "webhook_id=7", 401),
    ] {
        assert_eq!(server.send(post(path, &form, body)).await.status, status, "{path} {body}");
    }
    let outcomes: Vec<Outcome> = server.recorder.outcomes().into_iter().map(|(_, o)| o).collect();
    assert_eq!(outcomes, [Ping, BadSignature, BadSignature, UnknownStore, BadSignature]);
    assert!(server.log.taken().is_empty());
}

#[tokio::test]
async fn woocommerce_posts_with_http_1_0() {
    let server = Server::start().await;
    let signature = base64_of(b"{}");
    let headers = [
        ("Content-Type", "application/json"),
        ("X-WC-Webhook-Topic", "order.updated"),
        ("X-WC-Webhook-ID", "3"),
        ("X-WC-Webhook-Signature", &*signature),
    ];
    let request =
        post("/webhooks/woocommerce/acme", &headers, "{}").replace("HTTP/1.1", "HTTP/1.0");
    let mut client = server.connect().await;
    client.write(&request).await;
    let reply = client.reply().await;
    assert!(reply.head.starts_with("HTTP/1.0 200 "), "{}", reply.head);
    assert!(client.is_closed().await, "there is no keep-alive unless asked for");
    let [envelope] = <[_; 1]>::try_from(server.log.taken()).unwrap();
    assert_eq!((envelope.platform, &*envelope.topic), (Platform::WooCommerce, "order.updated"));

    // Without Host, and on a connection that it asks to keep.
    let mut client = server.connect().await;
    for _ in 0..2 {
        client.write(request.replace("Host: edge", "Connection: keep-alive")).await;
        assert_eq!(client.reply().await.body, r#"{"status":"duplicate"}"#);
    }
}

#[tokio::test]
async fn magento_signs_in_hexadecimal_and_names_its_event_in_the_path() {
    let server = Server::start().await;
    let (lower, path) = (hex_of(b"{}"), "/webhooks/magento/acme/sales.order.created");
    for (signature, status) in
        [(&lower, 200), (&lower.to_uppercase(), 200), (&lower[1..].into(), 401)]
    {
        let headers = [("x-magento-signature", &**signature)];
        assert_eq!(server.send(post(path, &headers, "{}")).await.status, status);
    }
    assert_eq!(server.send(post(path, &[], "{}")).await.status, 401);
    let [envelope] = <[_; 1]>::try_from(server.log.taken()).unwrap();
    assert_eq!(envelope.topic, "sales.order.created");
}

#[tokio::test]
async fn a_challenge_is_sent_back_as_plain_text() {
    let server = Server::start().await;
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: edge\r\n\r\n");
    let reply = server.send(ask("/webhooks/magento/acme/any?challenge=8ec8d794-e0ab")).await;
    assert_eq!((reply.status, &*reply.body), (200, "8ec8d794-e0ab"));
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    let reply = server.send(ask("/webhooks/magento/acme/any?challenge=%3Cscript%3E")).await;
    assert_eq!((reply.status, &*reply.error()), (400, "bad_request"));
    let reply = server.send(ask("/webhooks/magento/other/any?challenge=1")).await;
    assert_eq!((reply.status, &*reply.error()), (404, "unknown_store"));
}

#[tokio::test]
async fn the_api_takes_both_forms_from_the_holder_of_a_token() {
    let server = Server::start().await;
    let token = format!("Bearer {TOKEN}");
    let headers = [("Authorization", &*token), ("Idempotency-Key", "abc")];
    for (path, form) in [("/api/mlm/orders", "short"), ("/v1/orders", "canonical")] {
        let reply = server.send(post(path, &headers, "{}")).await;
        let body = format!(r#"{{"status":"accepted","delivery":"api:acme:{form}:abc"}}"#);
        assert_eq!((reply.status, reply.body), (202, body));
    }
    let again = server.send(post("/v1/orders", &headers, "{}")).await;
    assert!(again.status == 202 && again.body.contains("duplicate"));
    let reply = server.send(post("/v1/orders", &headers, "")).await;
    assert_eq!((reply.status, &*reply.error()), (400, "bad_request"));
    for headers in
        [&[][..], &[("Authorization", "Bearer token")], &[("Authorization", "Basic eDp5")]]
    {
        let reply = server.send(post("/v1/orders", headers, "{}")).await;
        assert_eq!((reply.status, &*reply.error()), (401, "bad_signature"));
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    }
    let topics: Vec<String> = server.log.taken().into_iter().map(|taken| taken.topic).collect();
    assert_eq!(topics, ["short", "canonical"]);
}

#[tokio::test]
async fn a_token_writes_the_orders_of_its_own_store_only() {
    let server = Server::start().await;
    let token = format!("Bearer {TOKEN}");
    let headers = [("Authorization", &*token)];
    let foreign = r#"{"platform": "magento", "store": "other"}"#;
    let reply = server.send(post("/v1/orders", &headers, foreign)).await;
    assert_eq!((reply.status, &*reply.error()), (403, "forbidden"));
    assert!(reply.body.contains("magento/other") && reply.body.contains("`writes`"));
    let reply = server.send(post("/api/mlm/orders", &headers, r#"{"store": "other"}"#)).await;
    assert!(reply.status == 403 && reply.body.contains("shopify/other"), "{}", reply.body);
    assert!(server.log.taken().is_empty());
    assert_eq!(server.recorder.outcomes(), [("api", Outcome::Forbidden); 2]);
    // What cannot be read is kept and judged later, with the path of what is wrong.
    for fine in [r#"{"store": "acme"}"#, "{", r#"{"store": 1}"#] {
        let status = server.send(post("/api/mlm/orders", &headers, fine)).await.status;
        assert_eq!(status, if fine.contains('1') { 403 } else { 202 }, "{fine}");
    }
}

#[tokio::test]
async fn what_leads_nowhere_says_so() {
    let server = Server::start().await;
    let reply = server.send(post("/webhook/shopify/acme", &[], "{}")).await;
    assert_eq!((reply.status, &*reply.error()), (404, "not_found"));
    let reply = server.send(post("/webhooks/shopify/other", &[], "{}")).await;
    assert_eq!((reply.status, &*reply.error()), (404, "unknown_store"));
    let reply = server.send("GET /v1/orders HTTP/1.1\r\nHost: edge\r\n\r\n").await;
    assert_eq!((reply.status, &*reply.error()), (405, "method_not_allowed"));
    assert_eq!(reply.header("allow"), Some("POST"));
    let reply = server.send("PUT /webhooks/magento/acme/e HTTP/1.1\r\nHost: edge\r\n\r\n").await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, POST")));
    assert_eq!(
        server.recorder.outcomes(),
        [
            ("none", Outcome::NotFound),
            ("shopify", Outcome::UnknownStore),
            ("api", Outcome::MethodNotAllowed),
            ("magento", Outcome::MethodNotAllowed),
        ]
    );
}

#[tokio::test]
async fn every_refusal_of_the_log_has_its_answer() {
    let mut config = config();
    config.accept_timeout = std::time::Duration::from_millis(50);
    let server = Server::with(config).await;
    for (mood, status, retry_after, outcome) in [
        (Mood::Unavailable, 503, Some("5"), Outcome::Unavailable),
        (Mood::Overloaded, 503, Some("7"), Outcome::Overloaded),
        (Mood::TooLarge, 413, None, Outcome::TooLarge),
        (Mood::Refuses, 500, None, Outcome::Refused),
        (Mood::Hangs, 503, Some("5"), Outcome::Unavailable),
        (Mood::Panics, 500, None, Outcome::Internal),
    ] {
        server.log.feels(mood);
        let reply = server.send(shopify("order-1")).await;
        assert_eq!((reply.status, reply.header("retry-after")), (status, retry_after), "{mood:?}");
        assert_eq!(reply.error(), outcome.as_str());
        assert_eq!(server.recorder.outcomes().pop(), Some(("shopify", outcome)));
    }
    assert!(server.recorder.seen.lock().unwrap().is_empty());
    server.log.feels(Mood::Takes);
    assert_eq!(server.send(shopify("order-1")).await.body, r#"{"status":"accepted"}"#);
}

#[tokio::test]
async fn an_edge_that_cannot_work_does_not_start() {
    let server = Server::start().await;
    let bind = async |config| {
        let (log, recorder) = (server.log.clone(), server.recorder.clone());
        let clock = Clock::of(|| jiff::Timestamp::UNIX_EPOCH);
        Edge::bind(config, stores(), log, recorder, clock).await.unwrap_err()
    };
    let taken = super::EdgeConfig { address: server.edge, ..config() };
    assert!(matches!(bind(taken).await, EdgeError::Bind { address, .. } if address == server.edge));
    let impatient = super::EdgeConfig { body_timeout: std::time::Duration::ZERO, ..config() };
    assert_eq!(bind(impatient).await.to_string(), "body_timeout must be longer than zero");
    let narrow = super::EdgeConfig { buffered_limit: std::num::NonZeroUsize::MIN, ..config() };
    assert!(bind(narrow).await.to_string().starts_with("buffered_limit must not be less"));
}
