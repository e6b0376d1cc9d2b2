//! What the edges need beyond a secret: Adobe's signatures, whose orders a token may write, orders that
//! do not foot, and books that are ready.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    process::Stdio,
};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use upline::{
    stage::message::Headers,
    stream::{Outgoing, Publish as _, jetstream::StreamName},
};

use crate::support::{Delivery, TOKEN, World, eventually, metric_of, shopify_order, world};

impl World {
    /// Adds text to the pipeline file.
    pub(crate) fn add_to_pipeline(&self, text: &str) {
        let path = self.folder.join("pipelines/acme.toml");
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
}

#[test]
fn an_order_that_adobe_signed_is_paid_and_a_changed_one_is_refused() {
    world("adobe", async |world| {
        let vectors: Value =
            serde_json::from_str(include_str!("../ingest/tests/adobe.json")).unwrap();
        let key = vectors["keys"][1].as_str().unwrap();
        fs::write(world.folder.join("pipelines/adobe-2.pem"), key).unwrap();
        let client = vectors["client_id"].as_str().unwrap();
        world.add_to_pipeline(&format!(
            "\n[[store]]\nname = \"commerce\"\nplatform = \"magento\"\n\
             adobe = {{ client_id = \"{client}\", keys = [\"adobe-2.pem\"] }}\n"
        ));
        let app = world.start().await;
        let order = &vectors["vectors"][0];
        let signature = |i: usize| order["signatures"][i].as_str().unwrap().to_owned();
        let mut delivery = Delivery {
            path: "/webhooks/magento/commerce/observer.sales_order_save_commit_after".to_owned(),
            headers: vec![
                ("x-adobe-digital-signature-1", signature(0)),
                ("x-adobe-digital-signature-2", signature(1)),
                ("x-adobe-event-id", "e-1".to_owned()),
            ],
            body: order["body"].as_str().unwrap().replacen("108.0000", "208.0000", 1),
        };
        let refused = world.client.post(app.http, &delivery).await;
        assert_eq!(refused.status, 401, "{refused:?}");
        delivery.body = order["body"].as_str().unwrap().to_owned();
        world.client.deliver(app.http, &delivery).await;
        // 20 % of 100.00 less 12.00, of which 2.00 are tax compensation.
        world.pays("19", &["11043 18.00"]).await;
        app.stop().await;
    });
}

#[test]
fn an_order_that_does_not_foot_is_paid_counted_and_says_so_in_its_story() {
    world("unfooted", async |world| {
        world.add_to_pipeline(
            "\n[[store]]\nname = \"unfooted\"\nplatform = \"shopify\"\n\
             secrets = [\"UPLINE_SHOPIFY_SECRET\"]\n",
        );
        let app = world.start().await;
        let deliver = async |id: u64, total: &str, status: &str| {
            let mut body = shopify_order(id, 1, status, "SUPP001", "99.00", "11043");
            body["total_price"] = json!(total);
            let delivery = Delivery::shopify("orders/updated", &format!("d{id}"), &body);
            let path = "/webhooks/shopify/unfooted".to_owned();
            world.client.deliver(app.http, &Delivery { path, ..delivery }).await;
        };
        deliver(1, "104.50", "paid").await;
        deliver(2, "99.00", "paid").await;
        deliver(3, "104.50", "pending").await;
        world.pays("1", &["11043 19.80"]).await;
        world.pays("2", &["11043 19.80"]).await;
        world.settles().await;
        let page = world.client.get(app.admin, "/metrics").await.body;
        let labels = [("platform", "shopify"), ("store", "unfooted")];
        assert_eq!(metric_of(&page, "upline_unfooted_accepted_total", &labels), 1);
        let story = world.run(&["explain", "shopify/unfooted/1"]).await;
        let story = String::from_utf8(story.stdout).unwrap();
        assert!(story.contains("rows of 99.00 under a header of 104.50"), "{story}");
        let story = world.run(&["explain", "shopify/unfooted/2"]).await;
        assert!(!String::from_utf8(story.stdout).unwrap().contains("header"));
        app.stop().await;
    });
}

/// A canonical order of 10.00 pesos.
fn canonical(id: u64, platform: &str, store: &str) -> Value {
    json!({
        "platform": platform, "store": store, "platform_order_id": id, "status": "paid",
        "order_ts": "2026-09-14T08:30:00Z", "currency": "MXN", "distributor_ref": "11043",
        "items": [{ "platform_sku": "SUPP001", "qty": 1, "unit_price": "10.00" }],
        "total": "10.00",
    })
}

#[test]
fn a_token_writes_only_what_its_store_lists_and_in_the_currency_of_its_store() {
    world("scope", async |world| {
        world.add_to_pipeline(
            "\n[[store]]\nname = \"erp\"\nplatform = \"api\"\nsecrets = [\"UPLINE_ERP_TOKEN\"]\n\
             currency = \"EUR\"\nshop = \"acme-eu\"\nwrites = [\"magento/acme-mx\"]\n",
        );
        let token = "another-token".to_owned();
        let app = world.start_with(&[("UPLINE_ERP_TOKEN", token.clone())]).await;
        let erp = |path: &str, body: &Value| Delivery {
            headers: vec![("authorization", format!("Bearer {token}"))],
            ..Delivery::api(path, body)
        };
        let short = |id: u64, more: Value| {
            let mut body = json!({
                "shopify_order_id": id, "sku": "SUPP001", "referrer_id": 11043, "amount": "50.00",
            });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body
        };
        let plain = |body: &Value| erp("/api/mlm/orders", body);
        let listed = canonical(3, "magento", "acme-mx");
        world.client.deliver(app.http, &plain(&short(1, json!({})))).await;
        world.client.deliver(app.http, &plain(&short(2, json!({ "currency": "GBP" })))).await;
        world.client.deliver(app.http, &erp("/v1/orders", &listed)).await;
        for (path, body, names) in [
            ("/api/mlm/orders", short(4, json!({ "store": "acme" })), "shopify/acme"),
            ("/v1/orders", canonical(4, "shopify", "acme-mx"), "shopify/acme-mx"),
        ] {
            let answer = world.client.post(app.http, &erp(path, &body)).await;
            let says = [names, "erp", "`writes`"].iter().all(|word| answer.body.contains(word));
            assert!(answer.status == 403 && says, "{answer:?}");
        }
        // The other token may write its own store, and nothing else either.
        let own = Delivery::api("/api/mlm/orders", &short(5, json!({ "store": "acme" })));
        assert!(own.headers[0].1.contains(TOKEN));
        world.client.deliver(app.http, &own).await;
        // What was in the log before the list was made is not applied either.
        let received: jiff::Timestamp = "2026-10-01T00:00:00Z".parse().unwrap();
        let old = Outgoing {
            subject: "ingest.api.erp".to_owned(),
            id: "old".to_owned(),
            headers: Headers::default()
                .with(Headers::TOPIC, "canonical")
                .with(Headers::RECEIVED_AT, &received.as_microsecond().to_string()),
            payload: canonical(6, "shopify", "acme").to_string().into(),
        };
        world.log.publish_all(vec![old]).await.unwrap();
        let letters = eventually("the letter is there", async || {
            let letters = world.log.read(StreamName::Dead, "dead.validate", 9).await.unwrap();
            (!letters.is_empty()).then_some(letters)
        })
        .await;
        assert_eq!(letters[0].headers.get(Headers::CODE), Some("unknown_store"));
        for (order, pays) in [("1", "10.00"), ("2", "10.00"), ("3", "2.00"), ("5", "10.00")] {
            world.pays(order, &[&format!("11043 {pays}")]).await;
        }
        let query = "SELECT order_key || ' ' || currency FROM upline.ledger ORDER BY 1";
        let found: Vec<String> = world.rows(query).await.iter().map(|row| row.get(0)).collect();
        let expected = [
            "magento/acme-mx/3 MXN",
            "shopify/acme-eu/1 EUR",
            "shopify/acme-eu/2 GBP",
            "shopify/acme/5 USD",
        ];
        assert_eq!(found, expected);
        app.stop().await;
    });
}

/// Runs `upline serve` against a database until it ends or takes orders, and then stops it: its exit
/// code and what it logged.
async fn served(world: &World, database: &str) -> (Option<i32>, String) {
    let mut child = world
        .program(&["serve"])
        .env("UPLINE_DATABASE_URL", database)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut text = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains("upline takes orders") {
            let pid = i32::try_from(child.id().unwrap()).unwrap();
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        }
        text += &line;
    }
    (child.wait().await.unwrap().code(), text)
}

#[test]
fn books_that_are_missing_or_old_stop_the_start_and_say_what_to_run() {
    world("unmigrated", async |world| {
        world.execute("DELETE FROM upline.migration WHERE number > 2").await.unwrap();
        let (code, text) = served(world, &world.database).await;
        assert!(code == Some(1) && text.contains("at migration 2, this release needs"), "{text}");
        assert!(text.contains("run `upline migrate`"), "{text}");
        world.execute("DROP SCHEMA upline CASCADE").await.unwrap();
        let (code, text) = served(world, &world.database).await;
        assert!(code == Some(1) && text.contains("no tables of Upline: run `upline migrate`"));
        let migrated = world.run(&["migrate"]).await;
        assert!(migrated.status.success(), "{migrated:?}");
        let (code, text) = served(world, &world.database).await;
        assert!(code == Some(0) && text.contains("upline takes orders"), "{text}");
        assert!(!text.contains("DOES NOT WORK AS"), "{text}");
    });
}

#[test]
fn a_service_that_may_change_the_ledger_is_warned_of_once() {
    world("role", async |world| {
        // A user without the role, and one whom nobody gave any right.
        let (user, stranger) = (format!("{}_u", world.name), format!("{}_s", world.name));
        for sql in [
            format!("CREATE ROLE \"{user}\" LOGIN"),
            format!("CREATE ROLE \"{stranger}\" LOGIN"),
            format!("GRANT USAGE ON SCHEMA upline TO \"{user}\""),
            format!("GRANT ALL ON ALL TABLES IN SCHEMA upline TO \"{user}\""),
        ] {
            world.execute(&sql).await.unwrap();
        }
        let url = |user: &str| {
            let (scheme, rest) = world.database.split_once("://").unwrap();
            let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            format!("{scheme}://{user}@{host}")
        };
        let warned = served(world, &url(&user)).await;
        let refused = served(world, &url(&stranger)).await;
        for sql in [
            format!("DROP OWNED BY \"{user}\""),
            format!("DROP ROLE \"{user}\""),
            format!("DROP ROLE \"{stranger}\""),
        ] {
            world.execute(&sql).await.unwrap();
        }
        assert_eq!(warned.0, Some(0), "{}", warned.1);
        assert_eq!(warned.1.matches("DOES NOT WORK AS upline_service").count(), 1, "{}", warned.1);
        assert!(warned.1.contains("grant upline_service to this user"), "{}", warned.1);
        assert_eq!(refused.0, Some(1), "{}", refused.1);
        assert!(refused.1.contains(&format!("the role {stranger} may not read")), "{}", refused.1);
    });
}
