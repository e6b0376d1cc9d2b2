//! Outages of the real servers, made by a proxy in front of them that cuts, stalls and restores.

use std::{collections::BTreeSet, fs, net::SocketAddr, time::Duration};

use async_nats::jetstream::consumer::PullConsumer;
use bytes::Bytes;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};
use upline::{
    stage::message::Headers,
    stream::{
        Outgoing, Publish,
        jetstream::{JetStream, StreamName},
    },
};

use crate::support::{Delivery, Running, World, eventually, metric_of, world};

/// What the way to a server is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    Fair,
    /// Nothing gets through, and nobody is told.
    Stalled,
    /// Connections are closed, new ones at once.
    Gone,
}

/// A way to a server that can be broken. Dropped, it takes its connections with it.
struct Chaos {
    address: SocketAddr,
    /// The weather, and how often all connections were cut.
    weather: watch::Sender<(Weather, u64)>,
    _work: JoinSet<()>,
}

impl Chaos {
    /// A way to the server of `url`.
    async fn before(url: &str) -> Self {
        let (_, rest) = url.split_once("://").unwrap();
        let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        let server: SocketAddr = rest.split('/').next().unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (weather, seen) = watch::channel((Weather::Fair, 0));
        let mut work = JoinSet::new();
        work.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                connections.spawn(connection(near, server, seen.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, weather, _work: work }
    }

    /// The URL of the server by this way.
    fn url(&self, url: &str) -> String {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (user, host) = rest.rsplit_once('@').map_or(("", rest), |(user, host)| (user, host));
        let path = host.split_once('/').map(|(_, path)| format!("/{path}")).unwrap_or_default();
        let at = if user.is_empty() { "" } else { "@" };
        format!("{scheme}://{user}{at}{}{path}", self.address)
    }

    fn set(&self, weather: Weather) {
        self.weather.send_modify(|now| now.0 = weather);
    }

    /// Cuts every connection; new ones get through.
    fn cut(&self) {
        self.weather.send_modify(|now| now.1 += 1);
    }
}

async fn connection(
    near: TcpStream,
    server: SocketAddr,
    mut weather: watch::Receiver<(Weather, u64)>,
) {
    let (now, cuts) = *weather.borrow_and_update();
    if now == Weather::Gone {
        return;
    }
    let far = TcpStream::connect(server).await.unwrap();
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let cut = async {
        let over = |(now, count): &(Weather, u64)| *now == Weather::Gone || *count != cuts;
        weather.clone().wait_for(over).await.map(drop).ok();
    };
    tokio::select! {
        () = cut => {}
        () = forward(near_in, far_out, weather.clone()) => {}
        () = forward(far_in, near_out, weather.clone()) => {}
    }
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<(Weather, u64)>,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        if weather.wait_for(|(now, _)| *now != Weather::Stalled).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// Orders for one distributor, each of 10.00 at 20 %.
fn order(id: u64) -> Delivery {
    Delivery::order(id, 1, "SUPP001", "10.00", "11043")
}

/// Asserts that these orders, and no others, are each paid exactly once, and the analysts see it.
async fn each_is_paid_once(world: &World, orders: std::ops::Range<u64>) {
    let wanted = i64::try_from(orders.clone().count()).unwrap();
    let paid = "SELECT count(DISTINCT order_id) FROM upline.ledger";
    eventually("every order is paid", async || (world.count(paid).await >= wanted).then_some(()))
        .await;
    world.settles().await;
    let query = "SELECT order_id, count(*), sum(amount) = 2.00 FROM upline.ledger GROUP BY 1";
    let rows = world.rows(query).await;
    let wrong: Vec<&str> = rows
        .iter()
        .filter(|row| row.get::<_, i64>(1) != 1 || !row.get::<_, bool>(2))
        .map(|row| row.get(0))
        .collect();
    assert_eq!(wrong, [""; 0], "paid twice, or not as they should be");
    let paid: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(paid, orders.map(|id| id.to_string()).collect());
    let dead = world.log.read(StreamName::Dead, "dead.>", 10).await.unwrap();
    assert_eq!(dead, [], "an outage buries nothing");
    world.warehouse_agrees().await;
}

/// How many deliveries of a stage are in work for the second time.
async fn redelivered(world: &World, stream: StreamName, stage: &str) -> usize {
    let context = async_nats::jetstream::new(async_nats::connect(&world.nats).await.unwrap());
    let stream = world.log.stream_name(stream);
    let consumer: PullConsumer = context.get_consumer_from_stream(stage, stream).await.unwrap();
    consumer.cached_info().num_redelivered
}

/// Starts the program with one of its services behind a proxy.
async fn behind(world: &World, variable: &'static str, url: &str) -> (Chaos, Running) {
    let chaos = Chaos::before(url).await;
    let app = world.start_with(&[(variable, chaos.url(url))]).await;
    (chaos, app)
}

#[test]
fn without_the_broker_the_edge_asks_to_come_again_and_later_all_is_well() {
    world("no_broker", async |world| {
        let (chaos, app) = behind(world, "UPLINE_NATS_URL", &world.nats).await;
        world.client.deliver(app.http, &order(1)).await;
        chaos.set(Weather::Gone);
        let answer = world.client.post(app.http, &order(2)).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        let seconds: u64 = answer.retry_after.unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
        let ready = world.client.get(app.admin, "/readyz").await;
        assert_eq!(ready.status, 503, "{ready:?}");
        assert!(ready.body.contains("nats unavailable"), "{ready:?}");
        chaos.set(Weather::Fair);
        for id in 1..6 {
            eventually("the edge takes orders again", async || {
                let answer = world.client.post(app.http, &order(id)).await;
                (answer.status == 200).then_some(())
            })
            .await;
        }
        each_is_paid_once(world, 1..6).await;
        assert_eq!(world.client.get(app.admin, "/readyz").await.status, 200);
    });
}

#[test]
fn without_the_books_nothing_is_buried_and_later_everything_is_posted_once() {
    world("no_books", async |world| {
        let (chaos, app) = behind(world, "UPLINE_DATABASE_URL", &world.database).await;
        for id in 1..120 {
            if id == 40 {
                chaos.set(Weather::Gone);
            }
            // The edge does not need the books.
            world.client.deliver(app.http, &order(id)).await;
        }
        let ready = world.client.get(app.admin, "/readyz").await;
        assert!(ready.body.contains("postgres unavailable"), "{ready:?}");
        chaos.set(Weather::Fair);
        for id in 120..160 {
            world.client.deliver(app.http, &order(id)).await;
            if id % 10 == 0 {
                chaos.cut();
            }
        }
        each_is_paid_once(world, 1..160).await;
    });
}

#[test]
fn orders_are_taken_while_the_company_is_still_being_loaded() {
    world("loading", async |world| {
        world.execute("BEGIN; LOCK TABLE upline.genealogy_event").await.unwrap();
        let app = world.start().await;
        world.client.deliver(app.http, &order(1)).await;
        let ready = world.client.get(app.admin, "/readyz").await;
        assert_eq!(ready.status, 503, "{ready:?}");
        assert!(ready.body.contains("company unavailable"), "{ready:?}");
        world.execute("COMMIT").await.unwrap();
        each_is_paid_once(world, 1..2).await;
        assert_eq!(world.client.get(app.admin, "/readyz").await.status, 200);
    });
}

#[test]
fn books_that_say_nothing_for_a_while_are_waited_for() {
    world("slow_books", async |world| {
        let (chaos, app) = behind(world, "UPLINE_DATABASE_URL", &world.database).await;
        for id in 1..60 {
            if id == 20 {
                // The company is loaded and the stages are at work.
                each_is_paid_once(world, 1..20).await;
                chaos.set(Weather::Stalled);
            }
            world.client.deliver(app.http, &order(id)).await;
        }
        eventually("what is in work is handed out a second time", async || {
            (redelivered(world, StreamName::Orders, "map").await > 0).then_some(())
        })
        .await;
        chaos.set(Weather::Fair);
        each_is_paid_once(world, 1..60).await;
    });
}

#[test]
fn a_long_outage_of_the_books_refuses_first_who_comes_again_and_pays_all_that_was_taken() {
    world("long_outage", async |world| {
        let file = world.folder.join("pipelines/acme.toml");
        let limits = fs::read_to_string(&file).unwrap();
        fs::write(&file, limits.replace("[limits]", "[limits]\nbacklog_max = 1000")).unwrap();
        let (chaos, app) = behind(world, "UPLINE_DATABASE_URL", &world.database).await;
        world.client.deliver(app.http, &order(1)).await;
        world.pays("1", &["11043 2.00"]).await;
        chaos.set(Weather::Gone);
        let mut next = 2;
        let refused = loop {
            let answer = world.client.post(app.http, &order(next)).await;
            if answer.status != 200 {
                break answer;
            }
            next += 1;
            assert!(next < 1_000, "the backlog has a limit");
            if next == 300 {
                // What is silent for less than five seconds may be a slow batch.
                tokio::time::sleep(Duration::from_secs(7)).await;
            }
        };
        assert!(next > 500, "refused after {next}: not before half of the limit");
        assert_eq!(refused.status, 503, "{refused:?}");
        // Nobody can say when the books come back.
        let seconds: u64 = refused.retry_after.unwrap().parse().unwrap();
        assert!((60..=120).contains(&seconds), "{seconds}");
        // A shop that would never send again is not refused yet.
        for id in 0..20 {
            let coupon = Delivery::woocommerce("coupon.updated", &json!({ "id": id }));
            world.client.deliver(app.http, &coupon).await;
        }
        let page = world.client.get(app.admin, "/metrics").await.body;
        let of = |platform| {
            let labels = [("platform", platform), ("store", "acme"), ("reason", "backlog")];
            metric_of(&page, "upline_refused_total", &labels)
        };
        assert_eq!((of("shopify") > 0, of("woocommerce")), (true, 0));
        chaos.set(Weather::Fair);
        world.client.insist(|| app.http, &order(next)).await;
        each_is_paid_once(world, 1..next + 1).await;
    });
}

#[test]
fn without_the_warehouse_the_ledger_goes_on_and_the_warehouse_catches_up() {
    world("no_warehouse", async |world| {
        let (chaos, app) = behind(world, "UPLINE_CLICKHOUSE_URL", &world.clickhouse).await;
        world.client.deliver(app.http, &order(1)).await;
        world.pays("1", &["11043 2.00"]).await;
        world.settles().await;
        chaos.set(Weather::Gone);
        for id in 2..60 {
            world.client.deliver(app.http, &order(id)).await;
        }
        eventually("the books have every order", async || {
            (world.count("SELECT count(*) FROM upline.ledger").await == 59).then_some(())
        })
        .await;
        let counted = world.analysed("SELECT toString(count()) FROM commission_lines").await;
        assert_eq!(counted, ["1"]);
        assert_eq!(world.client.get(app.admin, "/readyz").await.status, 200);
        chaos.set(Weather::Fair);
        each_is_paid_once(world, 1..60).await;
    });
}

#[test]
fn a_program_that_starts_without_the_warehouse_pays_and_fills_it_later() {
    world("late_warehouse", async |world| {
        let chaos = Chaos::before(&world.clickhouse).await;
        chaos.set(Weather::Gone);
        let url = chaos.url(&world.clickhouse);
        let app = world.start_with(&[("UPLINE_CLICKHOUSE_URL", url)]).await;
        for id in 1..10 {
            world.client.deliver(app.http, &order(id)).await;
        }
        world.pays("9", &["11043 2.00"]).await;
        chaos.set(Weather::Fair);
        each_is_paid_once(world, 1..10).await;
    });
}

#[test]
fn a_log_that_is_cut_again_and_again_under_load_loses_and_doubles_nothing() {
    cut_again_and_again("cut_log", |_| ());
}

#[test]
fn a_log_that_is_cut_again_and_again_under_fused_stages_loses_and_doubles_nothing() {
    cut_again_and_again("cut_fused", World::fuse);
}

fn cut_again_and_again(name: &str, prepare: fn(&World)) {
    world(name, async |world| {
        prepare(world);
        let (chaos, app) = behind(world, "UPLINE_NATS_URL", &world.nats).await;
        let orders: Vec<Delivery> = (1..400).map(order).collect();
        let sent = world.client.insist_all(|| app.http, &orders);
        let cuts = async {
            // Each cut comes when the books have grown by some more orders, so it falls into the
            // work of all stages, wherever they happen to be.
            for goal in [3, 20, 60, 100, 150, 200] {
                eventually("the books grow", async || {
                    let posted = world.count("SELECT count(*) FROM upline.commission_run").await;
                    (posted >= goal).then_some(())
                })
                .await;
                chaos.cut();
            }
        };
        tokio::join!(sent, cuts);
        each_is_paid_once(world, 1..400).await;
    });
}

#[test]
fn lost_acknowledgements_of_a_batch_are_waited_for_together() {
    world("lost_acks", async |world| {
        drop(world.start().await);
        let chaos = Chaos::before(&world.nats).await;
        let log = JetStream::connect(&chaos.url(&world.nats), &world.name).await.unwrap();
        let batch = (0..50).map(|number| Outgoing {
            subject: "dead.test".to_owned(),
            id: format!("test-{number}"),
            headers: Headers::default(),
            payload: Bytes::from_static(b"{}"),
        });
        let batch: Vec<Outgoing> = batch.collect();
        chaos.set(Weather::Stalled);
        // One time-out after the other would take minutes, and hold up a stage for as long.
        let publish = tokio::time::timeout(Duration::from_secs(30), log.publish(batch.clone()));
        let receipts = publish.await.unwrap();
        assert!(receipts.iter().all(|receipt| matches!(receipt, Err(e) if e.is_transient())));
        chaos.cut();
        chaos.set(Weather::Fair);
        eventually("the batch gets through", async || log.publish_all(batch.clone()).await.ok())
            .await;
        let kept = world.log.read(StreamName::Dead, "dead.>", 100).await.unwrap();
        assert_eq!(kept.len(), 50);
    });
}
