//! What a binary paid, down to its orders; what an order paid, up to its periods; what a period costs.

use serde_json::{Value, json};

use crate::{
    placements::{COMPONENTS, GRID, LEGS, found_with, imported},
    support::{
        World,
        closing::{journal_reaches, order, shown},
        refused, said, world,
    },
};

/// A story holds each of these texts.
async fn tells(world: &World, arguments: &[&str], wanted: &[&str]) {
    let told = said(&world.run(&[&["explain"], arguments].concat()).await);
    // Columns are as wide as their widest cell.
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for wanted in wanted {
        assert!(words(&told).contains(&words(wanted)), "{wanted:?} is not in\n{told}");
    }
}

async fn json_of(world: &World, arguments: &[&str]) -> Value {
    let told = world.run(&[&["explain"], arguments, &["--json"]].concat()).await;
    serde_json::from_str(&said(&told)).unwrap()
}

/// The lots of a leg of the first position in `pairs`: order, volume, what became of it.
fn lots(story: &Value, leg: &str) -> Vec<Value> {
    let parts = story["components"].as_array().unwrap();
    let pairs = parts.iter().find(|part| part["component"] == "pairs").unwrap();
    let lots = pairs["binary"]["positions"][0][leg]["lots"].as_array().unwrap();
    lots.iter().map(|lot| json!([lot["order"], lot["of"], lot["volume"], lot["became"]])).collect()
}

/// What the preview says that is posted has to be what is approved.
async fn approved(world: &World) {
    let whole = shown(world, "2026-01").await["whole"].clone();
    let close = whole["close"].as_str().unwrap().to_owned();
    // Direct commission is 10 % of 940.
    let direct = json!([{ "component": "direct", "currency": "USD", "paid": "94.00" }]);
    assert_eq!(whole["orders"], direct);
    let sum =
        |field: &str| whole[field].as_str().unwrap().parse::<rust_decimal::Decimal>().unwrap();
    assert_eq!(sum("together"), sum("close") + rust_decimal::Decimal::from(94));
    let text = said(&world.run(&["close", "2026-01"]).await);
    assert!(text.contains("orders of the period paid 94.00 USD of direct already\n"), "{text}");
    assert!(text.contains("the volume of the period is 940 USD"), "{text}");

    let commit = ["close", "2026-01", "--commit", "--by", "finance-7", "--expect"];
    let why = refused(&world.run(&[&commit[..], &["1.00"]].concat()).await);
    assert!(
        why.contains(&format!("1.00 was approved and {close} USD would be posted now")),
        "{why}"
    );
    let text = said(&world.run(&[&commit[..], &[&close]].concat()).await);
    assert!(text.contains("sealed by block"), "{text}");
}

async fn january(world: &World) {
    tells(
        world,
        &["10090", "2026-01"],
        &[
            "pairs (binary): 35.00 USD; 9.00 taken by caps",
            "position top in the tree legs",
            "left 0 440 440 0 0 0",
            "right 0 500 440 0 0 60",
            "points of the leg that has less pay: 440; a point is 1 USD; 440 at 10 % = 44.00 USD",
            "cap of a position 35.00, what is earned above it is cut off: it takes 9.00",
            "shopify/acme/2 L2 2026-01-06T10:00:00Z 440 paired",
            "levels (matrix):",
            "position g2 in the tree grid; a point is 1 USD; each order rounded",
        ],
    )
    .await;
    let story = json_of(world, &["10090", "2026-01"]).await;
    let left = [
        json!(["shopify/acme/1", null, "300", "paired"]),
        json!(["shopify/acme/3", null, "140", "paired"]),
    ];
    assert_eq!(lots(&story, "left"), left);
    let right = [
        json!(["shopify/acme/2", null, "440", "paired"]),
        json!(["shopify/acme/2", null, "60", "carried"]),
    ];
    assert_eq!(lots(&story, "right"), right);
    let never = "pairs (binary): 0.00 USD, because neither leg ever had volume";
    tells(world, &["L2", "2026-01"], &[never]).await;
    let story = json_of(world, &["L2", "2026-01"]).await;
    let parts = story["components"].as_array().unwrap();
    assert!(
        parts.iter().any(|p| p["component"] == "pairs" && p["unpaid"] == "no_volume"),
        "{story}"
    );
    let unplaced = "pairs (binary): 0.00 USD, because they have no position in the tree legs";
    tells(world, &["10001", "2026-01"], &[unplaced]).await;
    let text = said(&world.run(&["close", "2026-01", "--verify"]).await);
    let legs = "pairs: 1 positions carry on 0 points in left and 60 in right legs";
    assert!(text.contains(legs), "{text}");
    tells(
        world,
        &["1"],
        &[
            "paid when the period closes, not with the order: pairs, levels, matching",
            "counts in 2026-01 of plan field (closed, block",
            "for 11043: PV 300, QV 300, CV 300",
            "more: `upline explain",
        ],
    )
    .await;
}

async fn february(world: &World) {
    tells(
        world,
        &["10090", "2026-02"],
        &[
            // 140 with 500 would have paid 14 in January; 200 with the rest of the right leg pay 20 now.
            "pairs (binary): -1.00 USD, of which 20.00 for the period",
            "-21.00 corrects 2026-01, because volume of it came back",
            "shopify/acme/1 11043 2026-01-05T10:00:00Z -300 #4",
            "left 0 200 200 0 0 0",
            "right 360 0 200 0 0 160",
        ],
    )
    .await;
    let story = json_of(world, &["10090", "2026-02"]).await;
    assert_eq!(lots(&story, "left"), [json!(["shopify/acme/4", null, "200", "paired"])]);
    let right = [
        json!(["shopify/acme/2", "2026-01", "200", "paired"]),
        json!(["shopify/acme/2", "2026-01", "160", "carried"]),
    ];
    assert_eq!(lots(&story, "right"), right);
    let order = json_of(world, &["1"]).await;
    let counted = order["counted_in"].as_array().unwrap();
    let counted: Vec<Value> =
        counted.iter().map(|c| json!([c["period"], c["volumes"]["cv"], c["late"]])).collect();
    assert_eq!(counted, [json!(["2026-01", "300", false]), json!(["2026-02", "-300", true])]);
    assert_eq!(order["nothing_of"], json!({ "direct": "no line earns, for the reasons above" }));
}

#[test]
fn pairs_are_told_from_their_orders_and_orders_up_to_their_periods() {
    world("told", async |world| {
        let app = found_with(world, COMPONENTS).await;
        imported(world, LEGS, "legs", "4 written").await;
        imported(world, GRID, "grid", "5 written").await;
        let deliver = async |id, placed: &str, status: &str, who: &str, price: &str| {
            let order = order(id, placed, status, who, price);
            world.client.deliver(app.http, &order).await;
        };
        deliver(1, "2026-01-05T10:00:00Z", "paid", "11043", "300.00").await;
        journal_reaches(world, 1).await;
        deliver(2, "2026-01-06T10:00:00Z", "paid", "L2", "500.00").await;
        journal_reaches(world, 2).await;
        deliver(3, "2026-01-07T10:00:00Z", "paid", "11043", "140.00").await;
        journal_reaches(world, 3).await;
        approved(world).await;
        january(world).await;
        deliver(1, "2026-01-05T10:00:00Z", "cancelled", "11043", "300.00").await;
        journal_reaches(world, 4).await;
        deliver(4, "2026-02-05T10:00:00Z", "paid", "11043", "200.00").await;
        journal_reaches(world, 5).await;
        february(world).await;
        app.stop().await;
    });
}
