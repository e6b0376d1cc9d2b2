//! Who is let in when not everybody can be, over real sockets.

use std::{
    collections::BTreeSet,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use secrecy::SecretString;

use super::support::{
    Mood, SECRET, Server, TOKEN, base64_of, config, hex_of, post, shopify, stores,
};
use crate::{
    domain::id::{Platform, StoreId},
    ingest::{AdmissionConfig, Outcome, Reading, Reason, StoreEndpoint},
    stage::platform::{Scope, StorePolicy},
};

fn woocommerce(body: &str) -> String {
    let signature = base64_of(body.as_bytes());
    let headers =
        [("X-WC-Webhook-Topic", "order.updated"), ("X-WC-Webhook-Signature", &*signature)];
    post("/webhooks/woocommerce/acme", &headers, body)
}

fn mage_os(body: &str) -> String {
    let headers = [("X-Magento-Signature", &*hex_of(body.as_bytes()))];
    post("/webhooks/magento/acme/sales.order.created", &headers, body)
}

fn api(body: &str) -> String {
    post("/v1/orders", &[("Authorization", &format!("Bearer {TOKEN}"))], body)
}

/// A genuine delivery of the second Shopify shop.
fn other(body: &str) -> String {
    shopify(body).replace("/acme ", "/other ")
}

fn with_other() -> Vec<StoreEndpoint> {
    let store = StoreId::parse("other").unwrap();
    let scope = Scope::new(store.clone(), &StorePolicy::default());
    let secrets = vec![SecretString::from(SECRET)];
    let other = StoreEndpoint { store, platform: Platform::Shopify, secrets, adobe: None, scope };
    let mut stores = stores();
    stores.push(other);
    stores
}

/// Tells the edge that the pipeline has stood like this for a while.
fn tell(server: &Server, backlog: u64, settled_per_second: u64) {
    let second = Duration::from_secs(1);
    let now = Instant::now();
    let settled = i64::try_from(settled_per_second).unwrap();
    let reading = Reading { backlog, arrived: settled_per_second, settled: Some(settled) };
    for ago in (0..8).rev() {
        let at = now.checked_sub(second * ago).unwrap();
        server.admission.observe(at, reading);
    }
}

/// The head of a request, up to the body.
fn head(request: &str) -> &str {
    &request[..request.find("\r\n\r\n").unwrap() + 4]
}

#[tokio::test]
async fn a_store_beyond_its_share_is_told_before_its_body_is_read_and_the_others_come_in() {
    let mut config = config();
    config.admission = AdmissionConfig {
        in_flight: NonZeroUsize::new(8).unwrap(),
        store_reserve: 1,
        ..AdmissionConfig::default()
    };
    let server = Server::of(config, with_other()).await;
    server.log.feels(Mood::Waits);
    let mut open = Vec::new();
    for index in 0..4 {
        let mut client = server.connect().await;
        client.write(shopify(&format!("order-{index}"))).await;
        server.log.somebody_waits().await;
        open.push(client);
    }
    // Alone it may have all but the reserve of the other four.
    let mut client = server.connect().await;
    client.write(head(&shopify("order-9"))).await;
    let reply = client.reply().await;
    assert_eq!((reply.status, &*reply.error()), (503, "overloaded"), "without a byte of the body");
    let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((5..=10).contains(&seconds), "{seconds}");
    // The log waits for everybody, but the other store got to it.
    let mut client = server.connect().await;
    client.write(other("order-9")).await;
    server.log.somebody_waits().await;
    open.push(client);
    for _ in 0..5 {
        server.log.open_gate();
    }
    for mut client in open {
        assert_eq!(client.reply().await.status, 200);
    }
    server.log.feels(Mood::Takes);
    assert_eq!(server.send(shopify("order-9")).await.status, 200, "what was held is free");
    let refused = server.recorder.refused.lock().unwrap().clone();
    assert_eq!(refused, [(Platform::Shopify, "acme".to_owned(), Reason::InFlight)]);
    let overloaded = server.recorder.outcomes();
    let overloaded = overloaded.iter().filter(|(_, outcome)| *outcome == Outcome::Overloaded);
    assert_eq!(overloaded.count(), 1);
}

#[tokio::test]
async fn behind_the_pipeline_those_come_in_who_would_not_come_again() {
    let server = Server::with(config()).await;
    // A hundred seconds of work: far beyond the target, far below the second limit.
    tell(&server, 2_500, 25);
    let mut outcomes = [0; 4];
    let mut spread = BTreeSet::new();
    for index in 0..60 {
        for (count, request) in outcomes.iter_mut().zip([
            shopify(&format!("slow-{index}")),
            api(&format!("slow-{index}")),
            woocommerce(&format!("slow-{index}")),
            mage_os(&format!("slow-{index}")),
        ]) {
            let reply = server.send(request).await;
            if reply.status == 503 {
                *count += 1;
                let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
                assert!((60..=120).contains(&seconds), "{seconds}");
                spread.insert(seconds);
            }
        }
    }
    assert!(outcomes[0] > 0 && outcomes[1] > 0, "{outcomes:?}");
    assert!(spread.len() > 5, "they would all come back together: {spread:?}");
    assert_eq!(outcomes[2..], [0, 0], "WooCommerce and mage-os come in");
    let reasons = server.recorder.refused.lock().unwrap().clone();
    assert!(reasons.iter().all(|(_, _, reason)| *reason == Reason::Backlog));

    // Beyond that nobody comes in as they like.
    tell(&server, 25_000, 25);
    let mut lost = 0;
    for index in 0..60 {
        lost += u32::from(server.send(woocommerce(&format!("lost-{index}"))).await.status == 503);
    }
    assert!(lost > 0);

    tell(&server, 0, 25);
    for index in 0..60 {
        assert_eq!(server.send(shopify(&format!("late-{index}"))).await.status, 200);
    }
}
