//! Limits over real sockets: sizes, times, numbers.

use std::{fmt::Write as _, num::NonZeroUsize, time::Duration};

use super::support::{Mood, Server, base64_of, config, post, shopify};
use crate::{
    domain::id::Platform,
    ingest::{Outcome, Reason},
};

const SHORT: Duration = Duration::from_millis(100);

fn size(bytes: usize) -> NonZeroUsize {
    NonZeroUsize::new(bytes).unwrap()
}

/// A genuine delivery in chunks of ten bytes.
fn chunked(body: &str) -> String {
    let whole = shopify(body);
    let (head, _) = whole.split_once("Content-Length").unwrap();
    let mut request = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    for chunk in body.as_bytes().chunks(10) {
        let chunk = std::str::from_utf8(chunk).unwrap();
        write!(request, "{:x}\r\n{chunk}\r\n", chunk.len()).unwrap();
    }
    request + "0\r\n\r\n"
}

#[tokio::test]
async fn a_body_of_ten_megabytes_is_taken_and_one_byte_more_is_not() {
    let server = Server::start().await;
    let limit = config().body_limit.get();
    let mut body = "x".repeat(limit);
    let request = |body: &str| {
        let signature = base64_of(body.as_bytes());
        post("/webhooks/shopify/acme", &[("X-Shopify-Hmac-Sha256", &signature)], body)
    };
    assert_eq!(server.send(request(&body)).await.status, 200);
    assert_eq!(server.log.taken()[0].body.len(), limit);
    body.push('x');
    // The client sends all of it before it reads, and yet sees the answer.
    let reply = server.send(request(&body)).await;
    assert_eq!((reply.status, &*reply.error()), (413, "too_large"));
    assert_eq!(reply.header("connection"), Some("close"));
    assert_eq!(server.recorder.outcomes().pop(), Some(("shopify", Outcome::TooLarge)));
}

#[tokio::test]
async fn a_chunked_body_is_counted_as_it_comes() {
    let mut config = config();
    config.body_limit = size(100);
    let server = Server::with(config).await;
    assert_eq!(server.send(chunked(&"y".repeat(100))).await.status, 200);
    assert_eq!(server.log.taken()[0].body.len(), 100);
    assert_eq!(server.send(chunked(&"y".repeat(101))).await.status, 413);
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_told() {
    let server = Server::start().await;
    let request = shopify("asked").replace("Host", "Expect: 100-continue\r\nHost");
    let (head, body) = request.split_at(request.find("\r\n\r\n").unwrap() + 4);
    let mut client = server.connect().await;
    client.write(head).await;
    assert_eq!(client.reply().await.status, 100);
    client.write(body).await;
    assert_eq!(client.reply().await.status, 200);

    let too_long = head.replace("Content-Length: 5", "Content-Length: 50000000");
    let mut client = server.connect().await;
    client.write(too_long).await;
    assert_eq!(client.reply().await.status, 413, "without a 100 before it");
}

#[tokio::test]
async fn a_slow_body_is_answered_with_408() {
    let mut config = config();
    config.body_timeout = SHORT;
    let server = Server::with(config).await;
    let mut client = server.connect().await;
    client.write(&shopify("slow")[..shopify("slow").len() - 1]).await;
    let reply = client.reply().await;
    assert_eq!((reply.status, &*reply.error()), (408, "timeout"));
    assert!(client.is_closed().await);
    assert_eq!(server.recorder.outcomes(), [("shopify", Outcome::Timeout)]);
}

#[tokio::test]
async fn a_slow_head_is_cut_off() {
    let mut config = config();
    config.header_timeout = SHORT;
    let server = Server::with(config).await;
    for start in
        ["", "P", "POST /webhooks/shopify/acme HTTP/1.1\r\nHo", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        let mut client = server.connect().await;
        client.write(start).await;
        // HTTP/2 greets first.
        let mut greeting = [0; 512];
        let reading = async {
            while let Ok(1..) = tokio::io::AsyncReadExt::read(&mut client.0, &mut greeting).await {}
        };
        tokio::time::timeout(Duration::from_secs(2), reading).await.unwrap();
    }
    assert!(server.recorder.outcomes().is_empty());
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_used_one_is_not() {
    let mut config = config();
    config.keep_alive = SHORT * 8;
    let server = Server::with(config).await;
    let mut client = server.connect().await;
    for index in 0..5 {
        client.write(shopify(&format!("order-{index}"))).await;
        assert_eq!(client.reply().await.status, 200);
        tokio::time::sleep(SHORT * 2).await;
    }
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_head_beyond_its_bound_is_refused() {
    let server = Server::start().await;
    let long = "h".repeat(70_000);
    let reply = server.send(post("/webhooks/shopify/acme", &[("X-Long", &long)], "")).await;
    assert_eq!(reply.status, 431);
}

#[tokio::test]
async fn one_connection_too_many_waits_for_its_turn() {
    let mut config = config();
    config.max_connections = size(1);
    let server = Server::with(config).await;
    let mut first = server.connect().await;
    first.write(shopify("first")).await;
    assert_eq!(first.reply().await.status, 200);
    let mut second = server.connect().await;
    second.write(shopify("second")).await;
    assert!(tokio::time::timeout(SHORT, second.reply()).await.is_err());
    assert_eq!(server.recorder.open_connections(), 1);
    drop(first);
    assert_eq!(second.reply().await.status, 200);
}

#[tokio::test]
async fn all_bodies_together_have_a_bound() {
    let mut config = config();
    (config.body_limit, config.buffered_limit) = (size(10), size(15));
    let server = Server::with(config).await;
    server.log.feels(Mood::Waits);
    let mut first = server.connect().await;
    first.write(shopify("0123456789")).await;
    server.log.somebody_waits().await;
    // A body of unknown length is refused where the bound is met, another by its head.
    let reply = server.send(chunked("abcdefghij")).await;
    assert_eq!((reply.status, &*reply.error()), (503, "overloaded"));
    assert_eq!(reply.header("retry-after"), Some("5"));
    let reply = server.send(shopify("abcdefghij")).await;
    assert_eq!((reply.status, &*reply.error()), (503, "overloaded"));
    let refused = server.recorder.refused.lock().unwrap().clone();
    let acme = (Platform::Shopify, "acme".to_owned(), Reason::Bytes);
    assert_eq!(refused, [acme.clone(), acme]);
    server.log.open_gate();
    assert_eq!(first.reply().await.status, 200);
    server.log.feels(Mood::Takes);
    assert_eq!(server.send(shopify("abcdefghij")).await.status, 200, "what was held is free");
}
