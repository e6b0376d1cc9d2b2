//! What cannot go on at once: parked orders and dead letters, with the real command line.

use std::fs;

use serde_json::{Value, json};
use upline::{
    stage::message::Headers,
    stream::{Outgoing, Publish as _},
};

use crate::support::{Delivery, World, eventually, example, shopify_order, world};

/// Waits until so many orders are parked.
async fn parked(world: &World, wanted: i64) {
    eventually(&format!("{wanted} orders are parked"), async || {
        let query = "SELECT count(DISTINCT order_key) FROM upline.order_wait";
        (world.count(query).await == wanted).then_some(())
    })
    .await;
}

/// What `upline dead list --json` prints.
async fn listed(world: &World, arguments: &[&str]) -> Vec<Value> {
    let output = world.run(&[&["dead", "list", "--json"], arguments].concat()).await;
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_is_unknown_parks_an_order_until_it_is_imported() {
    world("parked", async |world| {
        let app = world.start().await;
        let mut both = shopify_order(3, 1, "paid", "NEW-1", "100.00", "NEWCOMER");
        both["line_items"][0]["variant_id"] = Value::Null;
        world.client.deliver(app.http, &Delivery::order(1, 1, "NEW-1", "100.00", "11043")).await;
        world
            .client
            .deliver(app.http, &Delivery::order(2, 1, "SUPP001", "10.00", "NEWCOMER"))
            .await;
        world.client.deliver(app.http, &Delivery::shopify("orders/paid", "d3", &both)).await;
        parked(world, 3).await;
        world.settles().await;
        assert_eq!(world.count("SELECT count(*) FROM upline.ledger_entry").await, 0);
        let list = listed(world, &[]).await;
        assert_eq!(list.len(), 4, "{list:?}");
        assert!(
            list.contains(
                &json!({ "order": "shopify/acme/1", "waits_for": "sku", "value": "NEW-1" })
            )
        );
        world.map_skus(&[("NEW-1", "beauty")]).await;
        world.pays("1", &["11043 15.00"]).await;
        parked(world, 2).await;
        world.enrol(&[("NEWCOMER", Some("11043"))]).await;
        world.pays("2", &["NEWCOMER 2.00"]).await;
        world.pays("3", &["NEWCOMER 15.00"]).await;
        parked(world, 0).await;
        world.warehouse_agrees().await;
    });
}

#[test]
fn a_cancellation_of_a_parked_order_goes_through() {
    world("parked_cancel", async |world| {
        let app = world.start().await;
        world.client.deliver(app.http, &Delivery::order(1, 1, "NEW-1", "100.00", "11043")).await;
        parked(world, 1).await;
        let mut cancelled = shopify_order(1, 2, "paid", "NEW-1", "100.00", "11043");
        cancelled["cancelled_at"] = json!("2026-10-02T10:02:00Z");
        world
            .client
            .deliver(app.http, &Delivery::shopify("orders/cancelled", "c", &cancelled))
            .await;
        parked(world, 0).await;
        world.map_skus(&[("NEW-1", "beauty")]).await;
        // A later order shows that the row has arrived.
        world.client.deliver(app.http, &Delivery::order(2, 1, "NEW-1", "10.00", "11043")).await;
        world.pays("2", &["11043 1.50"]).await;
        assert_eq!(world.count("SELECT count(*) FROM upline.ledger_entry").await, 1);
    });
}

#[test]
fn more_parked_orders_than_one_release_holds_all_go_on() {
    world("many_parked", async |world| {
        const ORDERS: u64 = 1_200;
        let app = world.start().await;
        let orders: Vec<Delivery> =
            (1..=ORDERS).map(|id| Delivery::order(id, 1, "NEW-1", "10.00", "11043")).collect();
        world.client.insist_all(|| app.http, &orders).await;
        parked(world, 1_200).await;
        world.map_skus(&[("NEW-1", "beauty")]).await;
        parked(world, 0).await;
        world.settles().await;
        let sum =
            "SELECT (sum(amount) * 100)::bigint FROM upline.ledger WHERE distributor_id = '11043'";
        assert_eq!(world.count(sum).await, 1_200 * 150);
    });
}

#[test]
fn parked_orders_go_on_though_two_programs_hear_of_the_import_at_different_times() {
    world("two_programs", async |world| {
        let (one, other) = (world.serve().await, world.serve().await);
        // Each looks for news twice a second; who looks when is chance, hence the rounds.
        for round in 1..=4 {
            let sku = format!("NEW-{round}");
            let order = |id| Delivery::order(id, 1, &sku, "10.00", "11043");
            let orders: Vec<Delivery> = (round * 1000..round * 1000 + 100).map(order).collect();
            world.client.insist_all(|| one.http, &orders).await;
            parked(world, 100).await;
            world.settles().await;
            world.map_skus(&[(&sku, "beauty")]).await;
            parked(world, 0).await;
        }
        world.warehouse_agrees().await;
        drop((one, other));
        let sum = "SELECT (sum(amount) * 100)::bigint FROM upline.ledger";
        assert_eq!(world.count(sum).await, 400 * 150);
    });
}

#[test]
fn an_unreadable_body_is_taken_named_by_its_path_and_tried_again_on_replay() {
    world("unreadable", async |world| {
        let app = world.start().await;
        let mut body = shopify_order(1, 1, "paid", "SUPP001", "99.00", "11043");
        body["line_items"][0]["price"] = json!("ninety-nine");
        let delivery = Delivery::shopify("orders/paid", "d1", &body);
        assert_eq!(world.client.post(app.http, &delivery).await.status, 200);
        let torn = Delivery::shopify_raw("orders/paid", "d2", "{\"id\": 7,".to_owned());
        assert_eq!(world.client.post(app.http, &torn).await.status, 200);
        world.settles().await;
        let list = listed(world, &["--body"]).await;
        assert_eq!(list.len(), 2, "{list:?}");
        assert_eq!(list[0]["path"], "line_items[0].price", "{list:?}");
        assert_eq!(list[0]["from"], "ingest.shopify.acme");
        assert_eq!(list[0]["topic"], "orders/paid");
        assert_eq!(list[0]["body"], delivery.body);
        assert_eq!(list[1]["code"], "malformed");

        let number = list[0]["number"].to_string();
        let dry = world.run(&["dead", "replay", &number, "--dry-run"]).await;
        assert_eq!(dry.status.code(), Some(1), "all of it would be dead again: {dry:?}");
        assert_eq!(listed(world, &["--body"]).await, list);
        let output = world.run(&["dead", "replay", &number]).await;
        assert!(output.status.success(), "{output:?}");
        // It was tried and is as wrong as before: another dead letter, and the other one is still.
        let again = eventually("it is a dead letter again", async || {
            let list = listed(world, &[]).await;
            (list.len() == 2).then_some(list)
        })
        .await;
        assert_eq!(again[0]["code"], "malformed");
        assert_eq!(again[1]["path"], "line_items[0].price");
        assert_ne!(again[1]["number"], list[0]["number"]);
    });
}

#[test]
fn a_dead_letter_goes_through_on_replay_when_its_cause_is_mended() {
    world("replayed", async |world| {
        let app = world.start().await;
        let (topic, mut body) = example("woocommerce/coupon-and-fees.json");
        body["total"] = json!("204.30");
        world.client.deliver(app.http, &Delivery::woocommerce(&topic, &body)).await;
        let list = eventually("it is a dead letter", async || {
            let list = listed(world, &[]).await;
            (!list.is_empty()).then_some(list)
        })
        .await;
        assert_eq!(list[0]["code"], "unfooted", "{list:?}");
        app.stop().await;
        let pipeline = world.folder.join("pipelines/acme.toml");
        let text = fs::read_to_string(&pipeline).unwrap();
        let secret = "secrets = [\"UPLINE_WOO_SECRET\"]";
        let mended = text.replace(secret, &format!("{secret}\non_unfooted = \"accept\""));
        fs::write(&pipeline, mended).unwrap();
        let _app = world.start().await;
        let output = world.run(&["dead", "replay", "--all"]).await;
        assert!(output.status.success(), "{output:?}");
        world.pays("701", &["11043 14.58"]).await;
        assert_eq!(listed(world, &[]).await, [Value::Null; 0]);
        world.warehouse_agrees().await;
    });
}

#[test]
fn a_filter_by_store_finds_letters_of_every_stage_and_parked_orders() {
    world("stores", async |world| {
        let app = world.start().await;
        let torn = Delivery::shopify_raw("orders/paid", "d1", "{\"id\": 7,".to_owned());
        world.client.deliver(app.http, &torn).await;
        world.client.deliver(app.http, &Delivery::order(1, 1, "NEW-1", "100.00", "11043")).await;
        parked(world, 1).await;
        // What a later stage cannot read: its subject names a partition, not a store.
        let unread = |platform, subject: &str| Outgoing {
            subject: subject.to_owned(),
            id: format!("unread-{platform}"),
            headers: Headers::default(),
            payload: json!({ "event": { "key":
                { "platform": platform, "store": "acme", "order_id": "9" } } })
            .to_string()
            .into(),
        };
        let sent = vec![unread("shopify", "orders.valid.3"), unread("magento", "orders.valid.4")];
        world.log.publish_all(sent).await.unwrap();
        world.settles().await;
        let found = async |filter: &[&str]| {
            let list = listed(world, filter).await;
            let name = |one: &Value| {
                ["stage", "order"].iter().find_map(|key| one[*key].as_str()).unwrap().to_owned()
            };
            list.iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(
            found(&["--store", "shopify/acme"]).await,
            ["validate", "map", "shopify/acme/1"]
        );
        assert_eq!(found(&["--store", "magento/acme"]).await, ["map"]);
        assert_eq!(found(&["--store", "other"]).await, [""; 0]);
        // A parked order has neither code nor stage nor a time of death.
        assert_eq!(found(&["--stage", "map"]).await, ["map", "map"]);
        assert_eq!(found(&["--since", "1h"]).await.len(), 3);
        assert_eq!(found(&[]).await.len(), 4);
    });
}

/// Runs `upline dead` and gives what it prints.
async fn dead(world: &World, arguments: &[&str]) -> String {
    let output = world.run(&[&["dead"], arguments].concat()).await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_dead_letter_is_inspected_corrected_tried_and_replayed_and_the_original_is_kept() {
    world("corrected", async |world| {
        let app = world.start().await;
        let mut body = shopify_order(1, 1, "paid", "SUPP001", "99.00", "11043");
        body["line_items"][0]["price"] = json!("ninety-nine");
        let delivery = Delivery::shopify("orders/paid", "d1", &body);
        world.client.deliver(app.http, &delivery).await;
        let torn = Delivery::shopify_raw("orders/paid", "d2", "{\"id\": 7,".to_owned());
        world.client.deliver(app.http, &torn).await;
        world.settles().await;
        let number = |list: &[Value]| list[0]["number"].to_string();
        let list = listed(world, &["--code", "value", "--store", "shopify/acme"]).await;
        assert_eq!(list.len(), 1, "{list:?}");
        assert_eq!(list[0]["stage"], "validate");
        assert_eq!(listed(world, &["--code", "unfooted"]).await.len(), 0);
        assert_eq!(listed(world, &["--since", "1h", "--stage", "validate"]).await.len(), 2);
        let first = number(&list);

        let shown = dead(world, &["show", &first]).await;
        assert!(shown.contains("\"price\": \"ninety-nine\",    <-- "), "{shown}");
        assert!(shown.contains("path      line_items[0].price"), "{shown}");
        assert_eq!(dead(world, &["show", &first, "--raw"]).await, delivery.body);
        let tried = world.run(&["dead", "replay", "--code", "value", "--dry-run"]).await;
        assert_eq!(tried.status.code(), Some(1), "{tried:?}");
        let tried = String::from_utf8(tried.stdout).unwrap();
        assert!(tried.contains("would be a dead letter again: value at line_items"), "{tried}");

        let set = "line_items[0].price=\"99.00\"";
        let fixed = dead(world, &["fix", &first, "--set", set, "--by", "anna"]).await;
        assert!(fixed.contains("would say of shopify/acme/1 snapshot: paid (paid)"), "{fixed}");
        let list = listed(world, &["--code", "value", "--body"]).await;
        assert_eq!((list.len(), &list[0]["by"]), (1, &json!("anna")), "{list:?}");
        assert_eq!(list[0]["body"], delivery.body.replace("ninety-nine", "99.00"));
        let kept = listed(world, &["--archive", "--body"]).await;
        assert_eq!((kept.len(), &kept[0]["body"]), (1, &json!(delivery.body)), "{kept:?}");
        assert_eq!(list[0]["original"], kept[0]["number"].to_string());

        dead(world, &["replay", &number(&list)]).await;
        world.pays("1", &["11043 19.80"]).await;
        assert_eq!(listed(world, &["--code", "value"]).await.len(), 0);

        let rest = listed(world, &[]).await;
        // One number too many, or nobody's name: none is dropped.
        let drop = ["dead", "drop", &number(&rest), "4711", "--reason", "a cut test"];
        for (arguments, why) in
            [(&[&drop[..], &["--by", "anna"]].concat()[..], "no dead letter 4711"), (&drop, "--by")]
        {
            let refused = world.run(arguments).await;
            let said = String::from_utf8(refused.stderr).unwrap();
            assert!(!refused.status.success() && said.contains(why), "{said}");
        }
        assert_eq!(listed(world, &[]).await, rest);
        dead(world, &["drop", &number(&rest), "--reason", "a cut test", "--by", "anna"]).await;
        assert_eq!(listed(world, &[]).await.len(), 0);
        let kept = listed(world, &["--archive"]).await;
        assert_eq!((kept.len(), &kept[1]["why"]), (2, &json!("a cut test")), "{kept:?}");
        let unknown = world.run(&["dead", "replay", "4711"]).await;
        assert!(!unknown.status.success(), "{unknown:?}");
    });
}
