//! Whom a customer belongs to, and what the privacy laws give them, over the real servers.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Delivery, World, eventually, shopify_order, world};

const RULES: &str = r#"
attribution = [
    { from = "customer", prefix = "member:" },
    { from = "note_attribute", name = "ref" },
    { from = "lifetime" },
]
unattributed = { house = "10001" }
unknown_referrer = "next"
"#;

/// Adds keys to the Shopify store in the pipeline file.
fn configure(world: &World, keys: &str) {
    let path = world.folder.join("pipelines/acme.toml");
    let text = fs::read_to_string(&path).unwrap();
    let secrets = "secrets = [\"UPLINE_SHOPIFY_SECRET\"]\n";
    fs::write(path, text.replace(secrets, &format!("{secrets}{keys}\n"))).unwrap();
}

/// A paid order of a customer for 100.00, placed at this hour of a day, with a code or without.
fn order(id: u64, customer: u64, hour: u8, code: Option<&str>) -> Delivery {
    let body = body(id, customer, hour, code);
    Delivery::shopify("orders/paid", &format!("order-{id}"), &body)
}

fn body(id: u64, customer: u64, hour: u8, code: Option<&str>) -> Value {
    let mut body = shopify_order(id, 1, "paid", "BEAUTY02", "100.00", "");
    body["created_at"] = json!(format!("2026-10-01T{hour:02}:00:00Z"));
    body["processed_at"] = body["created_at"].clone();
    body["customer"] = json!({ "id": customer, "email": "jane@example.com", "tags": "" });
    body["note_attributes"] = match code {
        Some(code) => json!([{ "name": "ref", "value": code }]),
        None => json!([]),
    };
    body
}

/// A shop may put anything into a referral parameter: what names nobody stays in the order state, where
/// it may still come to name somebody, and is a mark in everything that is kept for ever.
#[test]
fn a_code_that_names_nobody_is_kept_where_it_can_be_erased_and_nowhere_else() {
    world("strangers", async |world| {
        let app = world.start().await;
        world.client.deliver(app.http, &order(1, 7, 10, Some("jane.doe-1980"))).await;
        let waits = "SELECT count(*) FROM upline.order_wait WHERE value = 'jane.doe-1980'";
        eventually("the order waits for whoever that is", async || {
            (world.count(waits).await == 1).then_some(())
        })
        .await;
        let signed = ["--by", "ops-7", "--why", "a name, no code"];
        let decided = world.run(&[&["decide", "1", "--no-referrer"][..], &signed].concat()).await;
        assert!(decided.status.success(), "{decided:?}");
        world.settles().await;
        assert_eq!(world.count(waits).await, 0);
        let mark = upline::domain::digest::Digest::mark("jane.doe-1980");
        for (table, holds) in [("commission_run", 1), ("order_event", 1)] {
            let rows = format!("SELECT count(*) FROM upline.{table} t WHERE t::text LIKE ");
            assert_eq!(world.count(&format!("{rows} '%jane.doe%'")).await, 0, "{table}");
            assert_eq!(world.count(&format!("{rows} '%{mark}%'")).await, holds, "{table}");
        }
        let book = "SELECT count(*) FROM upline.order_book WHERE state::text LIKE '%jane.doe%'";
        assert_eq!(world.count(book).await, 1, "mapping needs it");
    });
}

/// How a posted order was attributed.
async fn won_by(world: &World, order: u64) -> String {
    let query = format!(
        "SELECT calc_snapshot_json #>> '{{order,attribution,won_by}}' FROM upline.commission_run
         WHERE order_id = '{order}' ORDER BY revision DESC LIMIT 1"
    );
    world.rows(&query).await[0].get(0)
}

#[test]
fn the_first_touch_lasts_and_a_distributor_who_buys_pays_their_sponsor() {
    world("touch", async |world| {
        configure(world, RULES);
        let app = world.start().await;
        world.client.deliver(app.http, &order(1, 7, 10, None)).await;
        world.pays("1", &["10001 15.00"]).await;
        assert_eq!(won_by(world, 1).await, r#"{"house":"unattributed"}"#);
        world.client.deliver(app.http, &order(2, 7, 12, Some("11043"))).await;
        world.pays("2", &["11043 15.00"]).await;
        world.client.deliver(app.http, &order(3, 7, 13, None)).await;
        world.pays("3", &["11043 15.00"]).await;
        assert_eq!(won_by(world, 3).await, r#"{"source":"lifetime"}"#);
        // An older order arrives later: it is the first touch for what is mapped from now on, and
        // changes nothing that is locked.
        world.client.deliver(app.http, &order(4, 7, 11, Some("10090"))).await;
        world.pays("4", &["10090 15.00"]).await;
        world.client.deliver(app.http, &order(5, 7, 14, None)).await;
        world.pays("5", &["10090 15.00"]).await;
        let mut again = body(3, 7, 13, None);
        again["updated_at"] = json!("2026-10-02T11:00:00Z");
        again["line_items"][0]["price"] = json!("200.00");
        again["total_price"] = json!("200.00");
        world.client.deliver(app.http, &Delivery::shopify("orders/updated", "3b", &again)).await;
        world.pays("3", &["11043 30.00"]).await;
        // An assignment from a file, and a tag of the customer's own record.
        let file = world.folder.join("customers.csv");
        fs::write(
            &file,
            "platform,store,customer_id,distributor_id,kind,effective_from\n\
             shopify,acme,7,ABC123,lifetime,2026-10-01T15:00:00Z\n\
             shopify,acme,Jane Doe,ABC123,lifetime,\nshopify,acme,8,ABC123,friend,\n",
        )
        .unwrap();
        let output = world.run(&["import", "customers", file.to_str().unwrap()]).await;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("line 3") && told.contains("line 4"), "{told}");
        world.client.deliver(app.http, &order(6, 7, 16, None)).await;
        world.pays("6", &["ABC123 15.00"]).await;
        let record = json!({
            "id": 9, "tags": "vip, member:ABC123", "updated_at": "2026-10-01T00:00:00Z",
        });
        let update = Delivery::shopify("customers/update", "c9", &record);
        world.client.deliver(app.http, &update).await;
        world.settles().await;
        world
            .client
            .deliver(app.http, &Delivery::shopify("customers/update", "c9b", &record))
            .await;
        let own = "SELECT count(*) FROM upline.customer_attribution WHERE kind = 'own'";
        world.settles().await;
        assert_eq!(world.count(own).await, 1, "the same tag again is no news");
        let mut kit = body(8, 9, 10, Some("10001"));
        kit["line_items"][0]["sku"] = json!("KIT-STARTER-001");
        world.client.deliver(app.http, &Delivery::shopify("orders/paid", "o8", &kit)).await;
        // Level 1 is the sponsor of ABC123.
        world.pays("8", &["10001 2.00", "10090 3.00", "11043 5.00", "breakage 1.00"]).await;
        assert_eq!(won_by(world, 8).await, "own_purchase");
        app.stop().await;
    });
}

#[test]
fn an_order_that_nobody_referred_waits_for_its_customer_to_be_assigned() {
    world("parking", async |world| {
        configure(world, &RULES.replace("{ house = \"10001\" }", "\"park\""));
        let app = world.start().await;
        world.client.deliver(app.http, &order(1, 7, 10, None)).await;
        let waits = "SELECT count(*) FROM upline.order_wait WHERE kind = 'referrer'";
        eventually("the order waits", async || (world.count(waits).await == 1).then_some(())).await;
        let row = "INSERT INTO upline.customer_attribution
            (platform, store, customer_id, distributor_id, kind, source, effective_from)
            VALUES ('shopify', 'acme', '7', '11043', 'lifetime', 'hand', '2026-01-01')";
        world.execute(row).await.unwrap();
        world.pays("1", &["11043 15.00"]).await;
        assert_eq!(world.count(waits).await, 0);
        app.stop().await;
    });
}

/// Everything that a proof rests on, as one text.
async fn proof(world: &World) -> Vec<String> {
    let text =
        |table: &str| format!("SELECT row_to_json(t)::text FROM upline.{table} t ORDER BY 1");
    let mut all = Vec::new();
    for table in ["ledger_entry", "ledger_block", "commission_run"] {
        all.extend(world.rows(&text(table)).await.iter().map(|row| row.get::<_, String>(0)));
    }
    all
}

#[test]
fn an_erased_customer_is_nowhere_and_the_proof_is_untouched() {
    world("privacy", async |world| {
        configure(world, RULES);
        let app = world.start().await;
        let (jane, other) = (424_242_424_242, 535_353_535_353);
        world.client.deliver(app.http, &order(1, jane, 10, Some("11043"))).await;
        world.client.deliver(app.http, &order(2, other, 10, Some("11043"))).await;
        world.pays("1", &["11043 15.00"]).await;
        world.pays("2", &["11043 15.00"]).await;
        world.settles().await;
        let before = proof(world).await;
        assert!(!before.iter().any(|row| row.contains(&jane.to_string())), "runs hold no buyer");
        let about = |id: u64| json!({ "shop_id": 1, "customer": { "id": id, "email": "j@x.org" } });
        let ask = Delivery::shopify("customers/data_request", "p1", &about(jane));
        let mut forged = ask.clone();
        forged.body.push(' ');
        assert_eq!(world.client.post(app.http, &forged).await.status, 401);
        assert_eq!(world.client.post(app.http, &ask).await.status, 200);
        world.settles().await;
        let open = "SELECT count(*) FROM upline.privacy_request
            WHERE kind = 'data_request' AND customer_id = '424242424242' AND fulfilled_at IS NULL";
        assert_eq!(world.count(open).await, 1);
        let erase = Delivery::shopify("customers/redact", "p2", &about(jane));
        assert_eq!(world.client.post(app.http, &erase).await.status, 200);
        world.settles().await;
        let held = |id: u64| {
            format!(
                "SELECT (SELECT count(*) FROM upline.order_book WHERE state::text LIKE '%{id}%')
                      + (SELECT count(*) FROM upline.customer_attribution
                         WHERE customer_id = '{id}')
                      + (SELECT count(*) FROM upline.privacy_request WHERE customer_id = '{id}')"
            )
        };
        assert_eq!(world.count(&held(jane)).await, 0);
        assert_eq!(world.count(&held(other)).await, 2);
        assert_eq!(proof(world).await, before, "no entry, block or run has changed");
        // The order goes on: what comes later finds its state and its links.
        let mut refunded = body(1, jane, 10, Some("11043"));
        refunded["customer"] = Value::Null;
        refunded["updated_at"] = json!("2026-10-02T12:00:00Z");
        refunded["cancelled_at"] = json!("2026-10-02T12:00:00Z");
        let cancel = Delivery::shopify("orders/cancelled", "o1b", &refunded);
        world.client.deliver(app.http, &cancel).await;
        world.pays("1", &[]).await;
        let shop = Delivery::shopify("shop/redact", "p3", &json!({ "shop_id": 1 }));
        assert_eq!(world.client.post(app.http, &shop).await.status, 200);
        world.settles().await;
        assert_eq!(world.count(&held(other)).await, 0);
        let done = "SELECT count(*) FROM upline.privacy_request WHERE fulfilled_at IS NOT NULL";
        assert_eq!(world.count(done).await, 2);
        for change in [
            "UPDATE upline.customer_attribution SET distributor_id = '10001'",
            "UPDATE upline.customer_attribution SET customer_id = 'somebody'",
            "DELETE FROM upline.customer_attribution",
        ] {
            assert!(world.execute(change).await.is_err(), "{change}");
        }
        world.blocks_hold().await;
        world.warehouse_agrees().await;
        app.stop().await;
    });
}
