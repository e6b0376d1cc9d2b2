//! What the shops sell: joined from messages in any order, and what of it nobody has mapped.

use serde_json::{Value, json};

use crate::support::{Delivery, World, eventually, example, shopify_order, world};

/// The catalogue as lines of text.
async fn catalogue(world: &World) -> Vec<String> {
    let rows = world
        .rows(
            "SELECT concat_ws(' ', platform, product_id, variant_id, coalesce(sku, '-'),
                    coalesce(title, '-'), coalesce(stock::text, '-'),
                    CASE WHEN deleted THEN 'deleted' END)
             FROM upline.platform_article ORDER BY platform, variant_id",
        )
        .await;
    rows.iter().map(|row| row.get(0)).collect()
}

/// Waits until the catalogue says exactly this.
async fn sells(world: &World, wanted: &[&str]) {
    world.settles().await;
    assert_eq!(catalogue(world).await, wanted);
}

/// What `upline skus unmapped --json` prints.
async fn unmapped(world: &World) -> Vec<Value> {
    let output = world.run(&["skus", "unmapped", "--json"]).await;
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn product(minute: u8, variants: &Value) -> Value {
    json!({
        "id": 5, "title": "Cream", "updated_at": format!("2026-10-01T10:{minute:02}:00Z"),
        "variants": variants,
    })
}

fn variant(id: u64, sku: &str, stock: i64) -> Value {
    json!({
        "id": id, "title": "50 ml", "sku": sku, "inventory_management": "shopify",
        "inventory_item_id": id + 100, "inventory_quantity": stock,
    })
}

fn level(minute: u8, location: u64, available: &Value) -> Value {
    json!({
        "inventory_item_id": 104, "location_id": location, "available": available,
        "updated_at": format!("2026-10-01T10:{minute:02}:00Z"),
    })
}

#[test]
fn products_and_stock_are_joined_in_any_order() {
    world("catalogue", async |world| {
        let app = world.start().await;
        let one = product(2, &json!([variant(4, "CREAM", 9), variant(6, "OLD", 1)]));
        let without = product(7, &json!([variant(4, "CREAM-2", 8)]));
        let deliveries = [
            ("inventory_levels/update", level(4, 2, &json!(4))),
            ("inventory_levels/update", level(3, 1, &json!(3))),
            ("inventory_levels/update", level(1, 1, &json!(77))),
            ("products/update", one.clone()),
        ];
        for (nth, (topic, body)) in deliveries.iter().enumerate() {
            let id = format!("a{nth}");
            world.client.deliver(app.http, &Delivery::shopify(topic, &id, body)).await;
        }
        sells(world, &["shopify 5 4 CREAM Cream, 50 ml 7", "shopify 5 6 OLD Cream, 50 ml 1"]).await;
        // The younger product has lost a variant and states its stock; the older one comes late.
        for (nth, body) in [&without, &one].into_iter().enumerate() {
            let delivery = Delivery::shopify("products/update", &format!("b{nth}"), body);
            world.client.deliver(app.http, &delivery).await;
        }
        let lost = "shopify 5 6 OLD Cream, 50 ml 1 deleted";
        sells(world, &["shopify 5 4 CREAM-2 Cream, 50 ml 8", lost]).await;
        let gone = Delivery::shopify("products/delete", "c", &json!({ "id": 5 }));
        world.client.deliver(app.http, &gone).await;
        sells(world, &["shopify 5 4 CREAM-2 Cream, 50 ml 8 deleted", lost]).await;
    });
}

#[test]
fn every_platform_tells_what_it_sells() {
    world("catalogue_all", async |world| {
        let app = world.start().await;
        let (topic, shake) = example("woocommerce/product-variable.json");
        let (event, serum) = example("magento/product.json");
        let deliveries = [
            Delivery::woocommerce(&topic, &shake),
            Delivery::magento(&event, &serum),
            Delivery::magento(
                "observer.cataloginventory_stock_item_save_commit_after",
                &json!({"event": {"data": {"value": {"product_id": "77", "qty": "37.0000"}}}}),
            ),
        ];
        for delivery in &deliveries {
            world.client.deliver(app.http, delivery).await;
        }
        sells(world, &["magento 77 77 SERUM-30 Serum 37", "woocommerce 410 410 SHAKE Shake -"])
            .await;
        let list = unmapped(world).await;
        assert_eq!(list.len(), 1, "what only holds variations needs no class: {list:?}");
        assert_eq!(list[0]["sku"], "SERUM-30");
    });
}

#[test]
fn what_is_not_mapped_is_listed_with_the_orders_that_wait_and_mapping_releases_them() {
    world("unmapped", async |world| {
        let app = world.start().await;
        let body = product(1, &json!([variant(4, "NEW-1", 9), variant(6, "SUPP001", 1)]));
        world.client.deliver(app.http, &Delivery::shopify("products/create", "p", &body)).await;
        for id in [1, 2] {
            let order = Delivery::order(id, 1, "NEW-1", "100.00", "11043");
            world.client.deliver(app.http, &order).await;
        }
        let mut other = shopify_order(3, 1, "paid", "NEVER-SEEN", "10.00", "11043");
        other["line_items"][0]["variant_id"] = Value::Null;
        world.client.deliver(app.http, &Delivery::shopify("orders/paid", "o3", &other)).await;
        let list = eventually("three orders wait", async || {
            let list = unmapped(world).await;
            (list.iter().filter_map(|row| row["orders"].as_u64()).sum::<u64>() == 3).then_some(list)
        })
        .await;
        assert_eq!(list.len(), 2, "{list:?}");
        let new = list.iter().find(|row| row["sku"] == "NEW-1").unwrap();
        assert_eq!(new["orders"], 2);
        assert_eq!(new["net"], json!({ "USD": "200.00" }));
        assert_eq!((&new["variant"], &new["stock"]), (&json!("4"), &json!("9")));
        assert_eq!(new["title"], "Cream, 50 ml");
        let never = list.iter().find(|row| row["sku"] == "NEVER-SEEN").unwrap();
        assert_eq!((&never["variant"], &never["net"]), (&Value::Null, &json!({ "USD": "10.00" })));
        // The variant is mapped, by its id; the orders waited for its SKU.
        world.map_skus(&[("4", "beauty")]).await;
        world.pays("1", &["11043 15.00"]).await;
        world.pays("2", &["11043 15.00"]).await;
        let list = unmapped(world).await;
        assert_eq!(list.len(), 1, "{list:?}");
        let output = world.run(&["skus", "unmapped"]).await;
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("NEVER-SEEN") && text.contains("10.00 USD"), "{text}");
    });
}
