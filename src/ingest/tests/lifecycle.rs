//! Connections over their life: keep-alive, HTTP/2, clients that go away, drains.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_util::task::TaskTracker;

use super::support::{Mood, Server, base64_of, config, shopify};
use crate::ingest::{Drained, Outcome};

type Sender = http2::SendRequest<Full<Bytes>>;

async fn http2(server: &Server) -> Sender {
    let stream = TcpStream::connect(server.edge).await.unwrap();
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    TaskTracker::new().spawn(connection);
    sender
}

fn request(body: Bytes, signed: &[u8]) -> Request<Full<Bytes>> {
    Request::post("http://edge/webhooks/shopify/acme")
        .header("x-shopify-topic", "orders/paid")
        .header("x-shopify-hmac-sha256", base64_of(signed))
        .body(Full::new(body))
        .unwrap()
}

async fn send(sender: &Sender, body: impl Into<Bytes>) -> (u16, Bytes) {
    let body = body.into();
    let response = sender.clone().send_request(request(body.clone(), &body)).await.unwrap();
    let status = response.status().as_u16();
    (status, response.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn http_2_is_spoken_with_prior_knowledge() {
    let server = Server::start().await;
    let sender = http2(&server).await;
    let answers = join_all((0..50).map(|index| send(&sender, format!("order-{index}")))).await;
    assert!(answers.iter().all(|(status, _)| *status == 200));
    assert_eq!(server.log.taken().len(), 50);
    assert_eq!(server.recorder.open_connections(), 1);

    let wrong = sender.clone().send_request(request(Bytes::from("a"), b"b")).await.unwrap();
    assert_eq!(wrong.status(), 401);
    let (status, _) = send(&sender, vec![b'x'; config().body_limit.get() + 1]).await;
    assert_eq!(status, 413);
    let (status, _) = send(&sender, vec![b'x'; 1_000_000]).await;
    assert_eq!(status, 200, "the connection goes on");
}

#[tokio::test]
async fn a_connection_of_http_1_1_is_used_again() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    // Two at once, then one more.
    client.write(shopify("order-1") + &shopify("order-2")).await;
    assert_eq!(client.reply().await.status, 200);
    assert_eq!(client.reply().await.status, 200);
    // A refusal before the body was read does not end it either.
    client.write(shopify("order-3").replace("/acme", "/other")).await;
    assert_eq!(client.reply().await.status, 404);
    client.write(shopify("order-4")).await;
    assert_eq!(client.reply().await.status, 200);
    assert_eq!(server.log.taken().len(), 3);
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_cancel_the_publish() {
    let server = Server::start().await;
    server.log.feels(Mood::Waits);
    let mut client = server.connect().await;
    client.write(shopify("order-1")).await;
    server.log.somebody_waits().await;
    client.0.set_zero_linger().unwrap();
    drop(client);
    // And one of HTTP/2, whose stream is reset.
    let sender = http2(&server).await;
    let sending = TaskTracker::new().spawn(async move { send(&sender, "order-2").await });
    server.log.somebody_waits().await;
    sending.abort();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(server.recorder.outcomes().is_empty());
    server.log.open_gate();
    server.log.open_gate();
    assert_eq!(server.recorder.after(2).await, [("shopify", Outcome::Accepted); 2]);
    assert_eq!(server.log.taken().len(), 2);
}

#[tokio::test]
async fn a_client_that_has_nothing_more_to_send_still_gets_its_answer() {
    let server = Server::start().await;
    server.log.feels(Mood::Waits);
    let mut client = server.connect().await;
    client.write(shopify("order-1").replace("HTTP/1.1", "HTTP/1.0")).await;
    client.0.shutdown().await.unwrap();
    server.log.somebody_waits().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.log.open_gate();
    assert_eq!(client.reply().await.status, 200);
}

#[tokio::test]
async fn a_client_that_hangs_up_within_its_body_is_counted() {
    let server = Server::start().await;
    for abrupt in [false, true] {
        let mut client = server.connect().await;
        let request = shopify("order-1").replace("Host", "Expect: 100-continue\r\nHost");
        client.write(&request[..request.len() - 1]).await;
        // The server has begun to read the body.
        assert_eq!(client.reply().await.status, 100);
        if abrupt {
            client.0.set_zero_linger().unwrap();
        }
        drop(client);
    }
    assert_eq!(server.recorder.after(2).await, [("shopify", Outcome::Aborted); 2]);
}

#[tokio::test]
async fn a_drain_answers_what_has_begun_and_closes_the_rest() {
    let server = Server::start().await;
    let mut idle = server.connect().await;
    idle.write(shopify("order-0")).await;
    assert_eq!(idle.reply().await.status, 200);
    let mut silent = server.connect().await;
    let sender = http2(&server).await;
    assert_eq!(send(&sender, "order-1").await.0, 200);

    server.log.feels(Mood::Waits);
    let mut busy = server.connect().await;
    busy.write(shopify("order-2")).await;
    server.log.somebody_waits().await;
    server.stop.cancel();
    assert!(idle.is_closed().await);
    assert!(silent.is_closed().await);
    assert!(TcpStream::connect(server.edge).await.is_err());
    server.log.open_gate();
    let reply = busy.reply().await;
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    assert!(busy.is_closed().await);
    let recorder = server.recorder.clone();
    assert_eq!(server.drained().await, Drained::Clean);
    assert_eq!(recorder.outcomes(), [("shopify", Outcome::Accepted); 3]);
    assert_eq!(recorder.open_connections(), 0);
}

#[tokio::test]
async fn a_drain_that_takes_too_long_cuts_connections_and_keeps_publishing() {
    let mut config = config();
    config.drain_timeout = Duration::from_millis(100);
    let server = Server::with(config).await;
    server.log.feels(Mood::Waits);
    let mut client = server.connect().await;
    client.write(shopify("order-1")).await;
    server.log.somebody_waits().await;
    let (log, recorder) = (server.log.clone(), server.recorder.clone());
    assert_eq!(server.drained().await, Drained::TimedOut);
    assert!(client.is_closed().await);
    log.open_gate();
    assert_eq!(recorder.after(1).await, [("shopify", Outcome::Accepted)]);
}
