//! The story of an order, as `upline explain` tells it.

use serde_json::{Value, json};

use crate::support::{Delivery, World, shopify_order, world};

async fn explained(world: &World, arguments: &[&str]) -> String {
    let output = world.run(&[&["explain"], arguments].concat()).await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_event_of_an_order_is_told_with_what_became_of_it() {
    world("story", async |world| {
        let app = world.start().await;
        let order = |minute, status| shopify_order(1, minute, status, "NEW-1", "100.00", "11043");
        let mut cancelled = order(9, "paid");
        cancelled["cancelled_at"] = json!("2026-10-02T10:09:00Z");
        for (topic, id, body) in
            [("orders/create", "d1", order(1, "pending")), ("orders/paid", "d2", order(3, "paid"))]
        {
            world.client.deliver(app.http, &Delivery::shopify(topic, id, &body)).await;
            world.settles().await;
        }
        let parked = explained(world, &["1"]).await;
        assert!(parked.contains("waits for sku NEW-1"), "{parked}");
        assert!(parked.contains("-> parked as revision 2"), "{parked}");
        world.map_skus(&[("NEW-1", "beauty")]).await;
        world.pays("1", &["11043 15.00"]).await;
        for (topic, id, body) in [
            ("orders/updated", "d3", order(2, "paid")),
            ("orders/paid", "d4", order(3, "paid")),
            ("orders/cancelled", "d5", cancelled),
        ] {
            world.client.deliver(app.http, &Delivery::shopify(topic, id, &body)).await;
            world.settles().await;
        }
        world.pays("1", &[]).await;
        let text = explained(world, &["shopify/acme/1"]).await;
        for part in [
            "received orders/create",
            "unpaid (pending)",
            "-> revision 1",
            "-> looked at again (it waits for nothing any more)",
            "(stale: revision 2 has the younger version of 2026-10-02T10:03:00Z)",
            "(duplicate: revision 2 knows it)",
            "debit commission credit distributor:11043 15.00 USD",
            "debit distributor:11043 credit commission 15.00 USD",
            "corrects #1",
            "status paid -> cancelled",
            "line 1 earns nothing: cancelled",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        let story: Value = serde_json::from_str(&explained(world, &["1", "--json"]).await).unwrap();
        let effects: Vec<&str> = story["events"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|e| e["effect"].as_str())
            .collect();
        let wanted = ["revision", "parked", "recheck", "nothing_new", "nothing_new", "revision"];
        assert_eq!(effects, wanted, "{story:#}");
        assert_eq!(story["runs"].as_array().unwrap().len(), 3, "{story:#}");
        // What is written down is never changed.
        let change = "UPDATE upline.order_event SET reason = 'another'";
        assert!(world.execute(change).await.is_err());
    });
}

#[test]
fn a_database_without_tables_is_told_with_what_to_do() {
    world("untold", async |world| {
        world.execute("DROP SCHEMA upline CASCADE").await.unwrap();
        let output = world.run(&["explain", "1"]).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("run `upline migrate`"), "{said}");
    });
}
