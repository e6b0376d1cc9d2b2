//! Refunds that a WooCommerce shop told only the sum of, asked for at a server that plays the shop.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};
use upline::stream::jetstream::StreamName;

use crate::support::{Delivery, Running, World, eventually, metric_of, world};

/// What the shop does with a request.
#[derive(Debug, Clone)]
enum Mood {
    Answers(String),
    Fails(u16),
    Hangs,
}

#[derive(Debug, Default)]
struct Script {
    /// By path and query.
    pages: HashMap<String, Mood>,
    /// Path and query of each request, with its `Authorization`.
    asked: Vec<(String, String)>,
}

/// A shop with the REST API of WooCommerce. Dropped, it is gone.
struct Shop {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    _work: JoinSet<()>,
}

impl Shop {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script: Arc<Mutex<Script>> = Arc::default();
        let mut work = JoinSet::new();
        let shared = script.clone();
        work.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let script = shared.clone();
                let service = service_fn(move |request| answer(script.clone(), request));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                connections.spawn(async move { drop(connection.await) });
            }
        });
        Self { address, script, _work: work }
    }

    /// Sets what it does when it is asked for the refunds of an order.
    fn set(&self, order: u64, mood: Mood) {
        self.script.lock().unwrap().pages.insert(page_of(order, 1), mood);
    }

    fn asked(&self) -> Vec<(String, String)> {
        self.script.lock().unwrap().asked.clone()
    }

    /// Waits until it was asked so often.
    async fn was_asked(&self, times: usize) {
        eventually(&format!("the shop is asked {times} times"), async || {
            (self.asked().len() >= times).then_some(())
        })
        .await;
    }

    /// The store in a pipeline file.
    fn store(&self, name: &str, more: &str) -> String {
        format!(
            "\n[[store]]\nname = \"{name}\"\nplatform = \"woocommerce\"\n\
             secrets = [\"UPLINE_WOO_SECRET\"]\n\
             rest = {{ url = \"http://{}/shop/\", key = \"UPLINE_REST_KEY\", \
             secret = \"UPLINE_REST_SECRET\"{more} }}\n",
            self.address
        )
    }
}

fn page_of(order: u64, page: u64) -> String {
    format!("/shop/wp-json/wc/v3/orders/{order}/refunds?per_page=100&page={page}")
}

async fn answer(
    script: Arc<Mutex<Script>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let page = request.uri().path_and_query().unwrap().to_string();
    let authorization = request.headers()["authorization"].to_str().unwrap().to_owned();
    let mood = {
        let mut script = script.lock().unwrap();
        script.asked.push((page.clone(), authorization));
        script.pages.get(&page).cloned().unwrap_or(Mood::Fails(404))
    };
    let (status, body) = match mood {
        Mood::Answers(body) => (200, body),
        Mood::Fails(status) => (status, "<h1>Sorry</h1>".to_owned()),
        Mood::Hangs => std::future::pending().await,
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status.try_into().unwrap();
    Ok(response)
}

/// The variables of the access.
fn keys() -> [(&'static str, String); 2] {
    [("UPLINE_REST_KEY", "ck_1".to_owned()), ("UPLINE_REST_SECRET", "cs_1".to_owned())]
}

async fn start(world: &World) -> Running {
    world.start_with(&keys()).await
}

/// A completed order of 100.00 with shipping of 8.00; each refund is `(id, total)`.
fn order(store: &str, id: u64, minute: u8, refunds: &[(u64, &str)]) -> Delivery {
    let refunds: Vec<Value> =
        refunds.iter().map(|(id, total)| json!({"id": id, "reason": "", "total": total})).collect();
    let body = json!({
        "id": id, "parent_id": 0, "number": id.to_string(), "status": "completed",
        "currency": "EUR", "date_created_gmt": "2026-09-01T10:00:00",
        "date_modified_gmt": format!("2026-09-01T10:{minute:02}:00"),
        "date_paid_gmt": "2026-09-01T10:00:04", "discount_total": "0.00",
        "shipping_total": "8.00", "total": "108.00", "total_tax": "0.00",
        "prices_include_tax": false, "customer_id": 0, "meta_data": [],
        "line_items": [{
            "id": 11, "product_id": 31, "variation_id": 0, "quantity": 1, "subtotal": "100.00",
            "total": "100.00", "total_tax": "0.00", "sku": "SUPP001", "meta_data": [],
        }],
        "coupon_lines": [{"code": "REF-11043"}], "fee_lines": [], "shipping_lines": [],
        "refunds": refunds,
    });
    let delivery = Delivery::woocommerce("order.updated", &body);
    Delivery { path: format!("/webhooks/woocommerce/{store}"), ..delivery }
}

/// A refund of nothing but shipping, as the REST API writes it, with blanks of its own.
fn shipping_only(order: u64, refund: u64, total: &str) -> String {
    format!(
        r#"{{"id":{refund},  "date_created_gmt":"2026-09-03T10:00:00","amount":"{total}","line_items":[],"shipping_lines":[{{"id":9,"total":"-{total}","total_tax":"0.00"}}],"_links":{{"up":[{{"href":"https://shop.example.com/wp-json/wc/v3/orders/{order}"}}]}}}}"#
    )
}

/// How often asking for the refunds of a store's orders ended like this.
async fn fetches(world: &World, app: &Running, store: &str, outcome: &str) -> u64 {
    let page = world.client.get(app.admin, "/metrics").await.body;
    let labels = [("store", store), ("outcome", outcome)];
    metric_of(&page, "upline_refund_fetches_total", &labels)
}

#[test]
fn a_refund_of_shipping_alone_gives_the_commission_back_when_the_shop_is_asked() {
    world("refunds", async |world| {
        let shop = Shop::open().await;
        world.add_to_pipeline(&shop.store("asked", ""));
        let app = start(world).await;
        world.client.deliver(app.http, &order("asked", 1, 0, &[])).await;
        world.pays("1", &["11043 20.00"]).await;
        // The way without an answer: the sum takes merchandise.
        shop.set(1, Mood::Fails(503));
        world.client.deliver(app.http, &order("asked", 1, 1, &[(816, "-8.00")])).await;
        world.pays("1", &["11043 18.40"]).await;
        shop.was_asked(2).await;
        let refund = shipping_only(1, 816, "8.00");
        shop.set(1, Mood::Answers(format!("[ {refund} ]")));
        world.pays("1", &["11043 20.00"]).await;
        let raw = world.log.read(StreamName::Ingest, "ingest.woocommerce.asked", 9).await.unwrap();
        let last = raw.last().unwrap();
        assert_eq!(std::str::from_utf8(&last.payload).unwrap(), refund);
        assert_eq!(last.headers.get("Upline-Topic"), Some("refund"));
        let asked = shop.asked();
        let basic = format!("Basic {}", STANDARD.encode("ck_1:cs_1"));
        assert!(asked.iter().all(|asked| *asked == (page_of(1, 1), basic.clone())), "{asked:?}");
        assert!(fetches(world, &app, "asked", "failed").await >= 2);
        assert_eq!(fetches(world, &app, "asked", "fetched").await, 1);

        // What is known in detail is not asked for again.
        world.client.deliver(app.http, &order("asked", 1, 2, &[(816, "-8.00")])).await;
        eventually("the order is known", async || {
            (fetches(world, &app, "asked", "known").await == 1).then_some(())
        })
        .await;
        assert_eq!(shop.asked().len(), asked.len());
        // A second refund is; the first is not published again.
        let second = shipping_only(1, 817, "0.00");
        shop.set(1, Mood::Answers(format!("[{second},{refund}]")));
        let both = [(816, "-8.00"), (817, "-0.00")];
        world.client.deliver(app.http, &order("asked", 1, 3, &both)).await;
        eventually("the second is fetched", async || {
            (fetches(world, &app, "asked", "fetched").await == 2).then_some(())
        })
        .await;
        world.settles().await;
        let raw = world.log.read(StreamName::Ingest, "ingest.woocommerce.asked", 9).await.unwrap();
        assert_eq!(raw.len(), 6);
        world.pays("1", &["11043 20.00"]).await;
        app.stop().await;
    });
}

#[test]
fn a_shop_that_hangs_holds_up_neither_the_others_nor_an_order_and_a_restart_goes_on() {
    world("stalled", async |world| {
        let (slow, quick) = (Shop::open().await, Shop::open().await);
        world.add_to_pipeline(&(slow.store("slow", "") + &quick.store("quick", "")));
        for id in 1..=6 {
            slow.set(id, Mood::Hangs);
        }
        quick.set(7, Mood::Answers(format!("[{}]", shipping_only(7, 71, "8.00"))));
        let app = start(world).await;
        for id in 1..=6 {
            world.client.deliver(app.http, &order("slow", id, 1, &[(id * 10, "-8.00")])).await;
        }
        world.client.deliver(app.http, &order("quick", 7, 1, &[(71, "-8.00")])).await;
        world.pays("6", &["11043 18.40"]).await;
        world.pays("7", &["11043 20.00"]).await;
        slow.was_asked(4).await;
        // As if the power went: nothing was settled.
        drop(app);
        for id in 1..=6 {
            slow.set(id, Mood::Answers(format!("[{}]", shipping_only(id, id * 10, "8.00"))));
        }
        let app = start(world).await;
        for id in 1..=6 {
            world.pays(&id.to_string(), &["11043 20.00"]).await;
        }
        world.settles().await;
        app.stop().await;
    });
}

#[test]
fn what_cannot_be_fetched_becomes_a_letter_that_can_be_replayed() {
    world("given_up", async |world| {
        let shop = Shop::open().await;
        world.add_to_pipeline(&shop.store("gone", ", give_up_after_seconds = 1"));
        let app = start(world).await;
        let page = (200..300).fold(String::from("["), |mut page, id| {
            write!(page, "{},", shipping_only(3, id, "0.00")).unwrap();
            page
        });
        shop.set(1, Mood::Fails(404));
        shop.set(2, Mood::Fails(401));
        // A full page is followed by another one.
        shop.set(3, Mood::Answers(page.trim_end_matches(',').to_owned() + "]"));
        let next = Mood::Answers(format!("[{}]", shipping_only(3, 30, "8.00")));
        shop.script.lock().unwrap().pages.insert(page_of(3, 2), next);
        shop.set(4, Mood::Answers("[]".to_owned()));
        for id in 1..=4 {
            world.client.deliver(app.http, &order("gone", id, 1, &[(id * 10, "-8.00")])).await;
        }
        world.pays("3", &["11043 20.00"]).await;
        let letters = eventually("two letters are there", async || {
            let letters = world.log.read(StreamName::Dead, "dead.refunds", 9).await.unwrap();
            (letters.len() == 2).then_some(letters)
        })
        .await;
        let mut reasons: Vec<&str> =
            letters.iter().filter_map(|letter| letter.headers.get("Upline-Reason")).collect();
        reasons.sort_unstable();
        for (reason, order, says) in [
            (reasons[0], "woocommerce/gone/1 ", "rest.url"),
            (reasons[1], "woocommerce/gone/2 ", "read access"),
        ] {
            assert!(reason.contains(order) && reason.contains(says), "{reason}");
        }
        assert_eq!(fetches(world, &app, "gone", "given_up").await, 2);
        assert_eq!(fetches(world, &app, "gone", "missing").await, 1);
        world.pays("1", &["11043 18.40"]).await;

        for id in 1..=2 {
            shop.set(id, Mood::Answers(format!("[{}]", shipping_only(id, id * 10, "8.00"))));
        }
        let replayed = world
            .program(&["dead", "replay", "--stage", "refunds"])
            .envs(keys())
            .output()
            .await
            .unwrap();
        assert!(replayed.status.success(), "{replayed:?}");
        world.pays("1", &["11043 20.00"]).await;
        world.pays("2", &["11043 20.00"]).await;
        app.stop().await;
    });
}

#[test]
fn access_that_cannot_work_is_refused_at_the_start() {
    world("access", async |world| {
        let check = async |store: &str| {
            let path = world.folder.join("pipelines/acme.toml");
            let before = std::fs::read_to_string(&path).unwrap();
            world.add_to_pipeline(store);
            let output = world.program(&["check"]).envs(keys()).output().await.unwrap();
            std::fs::write(&path, before).unwrap();
            let text = [output.stdout, output.stderr].concat();
            (output.status.success(), String::from_utf8(text).unwrap())
        };
        let shop = Shop::open().await.store("one", "");
        let (fine, text) = check(&shop).await;
        assert!(fine && text.contains("UPLINE_REST_SECRET=***") && !text.contains("cs_1"));
        for (changed, says) in [
            (shop.replace("http://", "https://"), "rest.url must be http://"),
            (shop.replace("woocommerce", "shopify"), "WooCommerce stores only"),
            (shop.replace("UPLINE_REST_KEY", "UPLINE_NOT_SET"), "UPLINE_NOT_SET"),
        ] {
            let (fine, text) = check(&changed).await;
            assert!(!fine && text.contains(says), "{text}");
        }
    });
}
