//! The whole way: deliveries over HTTP, through the real log and the real books, to the analysts.

use std::fs;

use crate::support::{
    Delivery, PLAN, STAGES, World, eventually, example, metric_of, said, shopify_order, world,
};
use serde_json::{Value, json};
use upline::stream::jetstream::StreamName;

/// The short form of the API.
fn short(id: u64, sku: &str, customer: u64, referrer: u64, amount: &str) -> Delivery {
    let body = json!({
        "shopify_order_id": id, "sku": sku, "customer_id": customer, "referrer_id": referrer,
        "amount": amount,
    });
    Delivery::api("/api/mlm/orders", &body)
}

#[test]
fn the_orders_of_the_brief_are_posted_and_analysed() {
    world("brief", async |world| {
        let app = world.start().await;
        let canonical = json!({
            "platform": "shopify", "platform_order_id": "587364120",
            "order_ts": "2026-09-14T08:30:00Z", "status": "paid", "currency": "USD",
            "distributor_ref": "ABC123",
            "items": [{ "platform_sku": "KIT-STARTER-001", "qty": 1, "unit_price": "99.00" }],
            "total": "96.92",
        });
        for order in [
            short(301, "SUPP001", 11200, 11043, "99.00"),
            short(302, "BEAUTY02", 11150, 10090, "65.00"),
            Delivery::api("/v1/orders", &canonical),
        ] {
            let answer = world.client.post(app.http, &order).await;
            assert_eq!(answer.status, 202, "{answer:?}");
        }
        world.pays("301", &["11043 19.80"]).await;
        world.pays("302", &["10090 9.75"]).await;
        let kit = ["10001 1.94", "10090 2.91", "11043 4.85", "ABC123 9.69", "breakage 0.97"];
        world.pays("587364120", &kit).await;
        world.warehouse_agrees().await;
        let analysed = world
            .analysed(
                "SELECT concat(o.order_id, ' ', toString(o.base), ' ', toString(o.paid), ' ',
                        toString(o.breakage)) AS line
                 FROM orders o ORDER BY o.order_id",
            )
            .await;
        assert_eq!(analysed, ["301 99 19.8 0", "302 65 9.75 0", "587364120 96.92 19.39 0.97"]);
        app.stop().await;
    });
}

#[test]
fn the_signed_order_of_each_platform_is_paid() {
    world("platforms", async |world| {
        world.map_skus(&[("TEE-XS", "supplement")]).await;
        let app = world.start().await;
        let (topic, body) = example("shopify/paid-plain.json");
        world.client.deliver(app.http, &Delivery::shopify(&topic, "d1", &body)).await;
        let (topic, body) = example("woocommerce/coupon-and-fees.json");
        world.client.deliver(app.http, &Delivery::woocommerce(&topic, &body)).await;
        let (topic, body) = example("magento/configurable.json");
        world.client.deliver(app.http, &Delivery::magento(&topic, &body)).await;
        // 20 % of 78.00 and 15 % of 12.00.
        world.pays("5001001", &["11043 17.40"]).await;
        // The negative fee of 9.00 takes a tenth of both lines: 20 % of 48.60 and 15 % of 32.40.
        world.pays("701", &["11043 14.58"]).await;
        // 20 % of 31.00, once.
        world.pays("12", &["11043 6.20"]).await;
        world.warehouse_agrees().await;
    });
}

#[test]
fn a_wrong_signature_is_refused_and_a_ping_is_greeted_and_neither_is_stored() {
    world("signatures", async |world| {
        let app = world.start().await;
        let body = shopify_order(1, 1, "paid", "SUPP001", "99.00", "11043");
        for mut delivery in [
            Delivery::shopify("orders/paid", "d1", &body),
            Delivery::woocommerce("order.created", &body),
            Delivery::magento("sales.order.paid", &body),
        ] {
            // One byte more than was signed.
            delivery.body.push(' ');
            assert_eq!(world.client.post(app.http, &delivery).await.status, 401, "{delivery:?}");
            delivery.headers.clear();
            assert_eq!(world.client.post(app.http, &delivery).await.status, 401, "{delivery:?}");
        }
        let mut stranger = short(1, "SUPP001", 2, 11043, "99.00");
        stranger.headers = vec![("authorization", "Bearer another-token".to_owned())];
        assert_eq!(world.client.post(app.http, &stranger).await.status, 401);
        let ping = Delivery {
            path: "/webhooks/woocommerce/acme".to_owned(),
            headers: vec![("content-type", "application/x-www-form-urlencoded".to_owned())],
            body: "webhook_id=7".to_owned(),
        };
        let greeted = world.client.post(app.http, &ping).await;
        assert_eq!(greeted.status, 200, "{greeted:?}");
        world.settles().await;
        assert_eq!(world.log.read(StreamName::Ingest, "ingest.>", 10).await.unwrap(), []);
        assert_eq!(world.count("SELECT count(*) FROM upline.order_book").await, 0);
    });
}

#[test]
fn a_repeated_delivery_and_a_repeated_body_post_once_and_are_counted() {
    world("duplicates", async |world| {
        let app = world.serve().await;
        let order = Delivery::order(7, 1, "SUPP001", "99.00", "11043");
        for _ in 0..5 {
            world.client.deliver(app.http, &order).await;
        }
        world.pays("7", &["11043 19.80"]).await;
        let body = serde_json::from_str(&order.body).unwrap();
        for number in 0..5 {
            let again = Delivery::shopify("orders/updated", &format!("again-{number}"), &body);
            world.client.deliver(app.http, &again).await;
        }
        world.settles().await;
        assert_eq!(world.paid("7").await, ["11043 19.80"]);
        assert_eq!(world.count("SELECT count(*) FROM upline.ledger_entry").await, 1);
        assert_eq!(world.count("SELECT count(*) FROM upline.commission_run").await, 1);
        let page = world.client.get(app.admin, "/metrics").await.body;
        let of = |name, labels: &[(&str, &str)]| metric_of(&page, name, labels);
        assert_eq!(of("upline_webhooks_total", &[("outcome", "accepted")]), 6);
        assert_eq!(of("upline_webhooks_total", &[("outcome", "duplicate")]), 4);
        assert_eq!(of("upline_duplicates_total", &[("place", "log")]), 4);
        assert_eq!(of("upline_duplicates_total", &[("place", "map")]), 5);
    });
}

#[test]
fn a_stale_message_after_a_newer_one_changes_nothing() {
    world("stale", async |world| {
        let app = world.start().await;
        let newer = Delivery::order(8, 20, "SUPP001", "99.00", "11043");
        world.client.deliver(app.http, &newer).await;
        world.pays("8", &["11043 19.80"]).await;
        let stale = Delivery::order(8, 10, "SUPP001", "50.00", "10090");
        world.client.deliver(app.http, &stale).await;
        world.settles().await;
        assert_eq!(world.paid("8").await, ["11043 19.80"]);
        assert_eq!(world.count("SELECT count(*) FROM upline.commission_run").await, 1);
        let newest = Delivery::order(8, 30, "SUPP001", "10.00", "11043");
        world.client.deliver(app.http, &newest).await;
        world.pays("8", &["11043 2.00"]).await;
    });
}

/// The three states of an order that is cancelled in the end.
fn lifecycle(id: u64) -> [Delivery; 3] {
    let state =
        |minute, status| shopify_order(id, minute, status, "KIT-STARTER-001", "100.00", "ABC123");
    let mut cancelled = state(3, "paid");
    cancelled["cancelled_at"] = json!("2026-10-02T10:03:00Z");
    [
        Delivery::shopify("orders/create", &format!("{id}-1"), &state(1, "pending")),
        Delivery::shopify("orders/paid", &format!("{id}-2"), &state(2, "paid")),
        Delivery::shopify("orders/cancelled", &format!("{id}-3"), &cancelled),
    ]
}

#[test]
fn an_order_that_is_cancelled_ends_at_zero_whatever_the_order_of_its_messages() {
    world("lifecycle", async |world| {
        let app = world.start().await;
        let [created, paid, cancelled] = lifecycle(1);
        world.client.deliver(app.http, &created).await;
        world.settles().await;
        assert_eq!(world.count("SELECT count(*) FROM upline.ledger_entry").await, 0);
        world.client.deliver(app.http, &paid).await;
        let full = ["10001 2.00", "10090 3.00", "11043 5.00", "ABC123 10.00", "breakage 1.00"];
        world.pays("1", &full).await;
        world.client.deliver(app.http, &cancelled).await;
        world.pays("1", &[]).await;
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        for (id, permutation) in (2u64..).zip(orders) {
            let states = lifecycle(id);
            for at in permutation {
                world.client.deliver(app.http, &states[at]).await;
            }
        }
        world.settles().await;
        let open = "SELECT count(*) FROM (SELECT FROM upline.ledger
            GROUP BY order_id, account HAVING sum(amount) <> 0) o";
        assert_eq!(world.count(open).await, 0);
        // A reversal names the entry that it takes back: of the same order and account, earlier.
        let reversed = "SELECT count(*) FROM upline.ledger WHERE kind = 'reversed'";
        let matched = "SELECT count(*) FROM upline.ledger r JOIN upline.ledger e
              ON e.event_id = r.corrects AND e.order_key = r.order_key AND e.account = r.account
             AND e.line_id = r.line_id AND e.component = r.component AND e.level = r.level
             AND e.kind = 'earned' AND e.seq < r.seq
             WHERE r.kind = 'reversed'";
        assert!(world.count(reversed).await >= 5);
        assert_eq!(world.count(matched).await, world.count(reversed).await);
        world.warehouse_agrees().await;
    });
}

/// Waits until a page of metrics says so.
async fn metric_reaches(world: &World, page: std::net::SocketAddr, name: &str, wanted: u64) {
    eventually(&format!("{name} is {wanted}"), async || {
        let page = world.client.get(page, "/metrics").await.body;
        (metric_of(&page, name, &[]) >= wanted).then_some(())
    })
    .await;
}

#[test]
fn an_order_stays_with_the_upline_the_plan_and_the_class_that_it_was_first_paid_with() {
    world("locks", async |world| {
        let app = world.serve().await;
        let order =
            |id, minute, price| Delivery::order(id, minute, "KIT-STARTER-001", price, "ABC123");
        world.client.deliver(app.http, &order(1, 1, "100.00")).await;
        let old = ["10001 2.00", "10090 3.00", "11043 5.00", "ABC123 10.00", "breakage 1.00"];
        world.pays("1", &old).await;
        // Recorded later, though it became true long before the order.
        let moved = "UPDATE upline.distributors SET sponsor_id = '10001', changed_at = '2026-01-01'
            WHERE distributor_id = 'ABC123'";
        world.execute(moved).await.unwrap();
        world.map_skus(&[("KIT-STARTER-001", "supplement")]).await;
        metric_reaches(world, app.admin, "upline_genealogy_version", 5).await;
        metric_reaches(world, app.admin, "upline_catalog_version", 4).await;
        world.client.deliver(app.http, &order(1, 2, "200.00")).await;
        let doubled = ["10001 4.00", "10090 6.00", "11043 10.00", "ABC123 20.00", "breakage 2.00"];
        world.pays("1", &doubled).await;
        // The class is new for a new order.
        world.client.deliver(app.http, &order(2, 1, "100.00")).await;
        world.pays("2", &["ABC123 20.00"]).await;
        drop(app);

        let plans = world.folder.join("pipelines/plans");
        let changed = PLAN.replace("version = 1", "version = 2").replace("20 %", "30 %");
        fs::write(plans.join("field2.toml"), changed.replace("5 %\"", "6 %\"")).unwrap();
        let pipeline = world.folder.join("pipelines/acme.toml");
        let text = fs::read_to_string(&pipeline).unwrap();
        let both =
            text.replace("[\"plans/field.toml\"]", "[\"plans/field.toml\", \"plans/field2.toml\"]");
        fs::write(&pipeline, both).unwrap();
        let app = world.start().await;
        world.client.deliver(app.http, &order(1, 3, "100.00")).await;
        world.pays("1", &old).await;
        world.client.deliver(app.http, &order(3, 1, "100.00")).await;
        world.pays("3", &["ABC123 30.00"]).await;
        world.warehouse_agrees().await;
    });
}

#[test]
fn a_referrer_who_enrols_later_does_not_take_over_a_paid_order() {
    world("later_referrer", async |world| {
        let app = world.serve().await;
        let state = |minute, price| {
            let mut body = shopify_order(1, minute, "paid", "SUPP001", price, "LATER");
            body["discount_codes"] = json!([{ "code": "REF-11043", "amount": "0.00" }]);
            Delivery::shopify("orders/updated", &format!("d-{minute}"), &body)
        };
        world.client.deliver(app.http, &state(1, "100.00")).await;
        world.pays("1", &["11043 20.00"]).await;
        world.enrol(&[("LATER", Some("10001"))]).await;
        metric_reaches(world, app.admin, "upline_genealogy_version", 5).await;
        world.client.deliver(app.http, &state(2, "50.00")).await;
        world.settles().await;
        assert_eq!(world.paid("1").await, ["11043 10.00"]);
    });
}

/// The warehouse is made again from the books, while it has everything, in other inserts than before.
#[test]
fn what_is_fed_twice_is_in_the_warehouse_once_and_the_same() {
    world("fed_twice", async |world| {
        let app = world.start().await;
        for delivery in lifecycle(1) {
            world.client.deliver(app.http, &delivery).await;
            world.settles().await;
        }
        let order = Delivery::order(2, 1, "KIT-STARTER-001", "33.33", "ABC123");
        world.client.deliver(app.http, &order).await;
        world.warehouse_agrees().await;
        // Not the time of the commit: from the books it is that of the block, a little earlier.
        let columns = "SELECT concat_ws(' ', order_key, toString(revision), toString(received_at),
                           toString(validate_us), toString(map_us), toString(commission_us))
                       FROM stage_latencies ORDER BY order_key, revision";
        let before = world.analysed(columns).await;
        let stages = "SELECT concat_ws(' ', order_key) FROM stage_latencies
                      WHERE map_us > 0 ORDER BY order_key, revision";
        assert_eq!(world.analysed(stages).await.len(), before.len(), "{before:?}");
        let warehouse = world.warehouse.client();
        warehouse.query("SYSTEM STOP MERGES orders_versions").execute().await.unwrap();
        let count = "SELECT toString(count()) FROM orders_versions";
        let made = async || world.analysed(count).await[0].parse::<usize>().unwrap();
        let (once, books) = (made().await, world.store());
        let blocks = books.warehouse_mark().await.unwrap().1;
        assert!(blocks > 2, "one block proves nothing");
        for mark in (0..blocks).rev() {
            books.feed_warehouse_from(mark).await.unwrap();
            world.warehouse_agrees().await;
        }
        assert!(made().await > once, "nothing came twice: the test proves nothing");
        assert_eq!(world.analysed(columns).await, before);
        // A mark only goes back: ahead of what was written, something would be left out.
        books.feed_warehouse_from(u64::MAX).await.unwrap();
        assert_eq!(books.warehouse_mark().await.unwrap(), (blocks, blocks));
        // A server that lost everything gets its tables and rows again from a program that runs.
        world.warehouse.drop_database().await.unwrap();
        let told = said(&world.run(&["warehouse", "--again"]).await);
        assert!(told.starts_with("ClickHouse has"), "{told}");
        world.warehouse_agrees().await;
        assert_eq!(world.analysed(columns).await, before);
    });
}

#[test]
fn every_stage_accounts_for_every_message() {
    world("accounts", async |world| {
        let app = world.serve().await;
        let mut deliveries: Vec<Delivery> = lifecycle(1).into();
        for id in 2..12 {
            deliveries.push(Delivery::order(id, 1, "SUPP001", "10.00", "11043"));
        }
        deliveries.push(Delivery::order(20, 1, "UNKNOWN", "10.00", "11043"));
        deliveries.push(Delivery::order(21, 1, "SUPP001", "10.00", "NOBODY"));
        deliveries.push(Delivery::shopify_raw("orders/paid", "bad", "{\"id\": 5, ".to_owned()));
        deliveries.push(Delivery::shopify("collections/update", "other", &Value::from(1)));
        let repeated = shopify_order(2, 1, "paid", "SUPP001", "10.00", "11043");
        deliveries.push(Delivery::shopify("orders/updated", "repeated", &repeated));
        for delivery in &deliveries {
            world.client.deliver(app.http, delivery).await;
        }
        world.settles().await;
        let filters = [
            "ingest.>",
            "orders.valid.>",
            "orders.articles.>",
            "orders.customers.>",
            "orders.mapped.>",
            "commissions.run.>",
        ];
        let page =
            eventually("the counters have caught up with the acknowledgements", async || {
                let page = world.client.get(app.admin, "/metrics").await.body;
                let last =
                    metric_of(&page, "upline_stage_messages_total", &[("stage", "warehouse")]);
                (last > 0).then_some(page)
            })
            .await;
        for ((stream, stage), filter) in STAGES.into_iter().zip(filters) {
            let messages = world.log.read(stream, filter, 1000).await.unwrap().len();
            let out = metric_of(&page, "upline_stage_messages_total", &[("stage", stage)]);
            assert_eq!(out.to_string(), messages.to_string(), "{stage}\n{page}");
        }
        let posted = world.count("SELECT count(*) FROM upline.commission_run").await;
        let fed = metric_of(&page, "upline_stage_messages_total", &[("stage", "warehouse")]);
        assert_eq!(fed.to_string(), posted.to_string());
        let of = |name, labels: &[(&str, &str)]| metric_of(&page, name, labels).to_string();
        let sent = deliveries.len().to_string();
        assert_eq!(of("upline_webhooks_total", &[("outcome", "accepted")]), sent);
        assert_eq!(of("upline_dead_letters_total", &[("stage", "validate")]), "1");
        assert_eq!(of("upline_stage_deferred_total", &[("stage", "map")]), "2");
        assert_eq!(of("upline_stage_skipped_total", &[("stage", "validate")]), "1");
    });
}
