//! Rules of a plan through the whole program: what orders pay on CV, and who is active by an order.

use std::fs;

use serde_json::json;

use crate::support::{
    Delivery, World,
    closing::{commit, journal_reaches, order},
    said, world,
};

const PLAN: &str = r#"
id = "field"
version = 1
effective_from = "2020-01-01T00:00:00Z"
rounding = "half_even"
currency = "USD"

[volumes]
pv = "qv"
group = "pv"
retail_orders = "referrer"
negative_volume = "carry"
conversion = "1"
qv = { source = "catalogue", missing = "zero" }
cv = { source = "catalogue", missing = "zero" }

[activity]
pv = "100"
look_back = 2
window = "any_period"
active_leg = "frontline"
order = "own"

[period]
every = { kind = "monthly" }
time_zone = "UTC"
day_starts = "00:00:00"
snapshot = "last_instant"
cut_off_days = 3
distribution_days = 10

[[component]]
kind = "direct"
id = "direct"
base = { cv = { conversion = "0.50" } }
inactive_referrer = "breakage"
rates = { kit = "10 %" }

[[component]]
kind = "unilevel_volume"
id = "levels"
rank = "paid_as"
compression = "none"
rates = [{ rates = ["10 %"] }]
"#;

/// What a distributor buys for themselves.
fn own(id: u32, placed: &str, buyer: &str) -> Delivery {
    let body = json!({
        "platform": "shopify", "platform_order_id": id.to_string(), "order_ts": placed,
        "status": "paid", "currency": "USD", "customer_id": buyer, "total": "99.00",
        "items": [{ "platform_sku": "KIT-STARTER-001", "qty": 1, "unit_price": "99.00" }],
    });
    Delivery::api("/v1/orders", &body)
}

async fn entries(world: &World, period: &str) -> Vec<String> {
    let query = format!(
        "SELECT concat_ws(' ', component, credit, amount, reason) FROM upline.period_entry
         WHERE period = '{period}' ORDER BY number"
    );
    world.rows(&query).await.iter().map(|row| row.get(0)).collect()
}

/// 10001 stands above 10090, who stands above 11043, who stands above ABC123. A kit has 200 points.
#[test]
fn orders_pay_on_points_and_only_who_bought_is_active() {
    world("plan_rules", async |world| {
        let file = world.folder.join("skus.csv");
        let rows = "sku_id,platform,platform_sku,commission_class,cv_per_unit,qv_per_unit\n\
                    KIT-STARTER-001,any,KIT-STARTER-001,kit,200,200\n";
        fs::write(&file, rows).unwrap();
        said(&world.run(&["import", "skus", file.to_str().unwrap()]).await);
        fs::write(world.folder.join("pipelines/plans/field.toml"), PLAN).unwrap();
        let app = world.start().await;
        let orders = [
            order(1, "2026-01-05T10:00:00Z", "paid", "11043", "99.00"),
            own(2, "2026-01-06T10:00:00Z", "10090"),
            own(3, "2026-02-05T10:00:00Z", "ABC123"),
            order(4, "2026-02-06T10:00:00Z", "paid", "11043", "49.00"),
        ];
        for order in &orders {
            world.client.deliver(app.http, order).await;
        }
        journal_reaches(world, 4).await;
        // 200 x 0.50 x 10 %, at either price.
        world.pays("1", &["11043 10.00"]).await;
        world.pays("4", &["11043 10.00"]).await;
        let told = said(&world.run(&["explain", "1"]).await);
        for part in ["200 CV x 0.5", "retail customer"] {
            assert!(told.contains(part), "{part:?} is not in\n{told}");
        }

        commit(world, "2026-01").await;
        // 10 % of 11043's 200 to 10090, who bought; 10001 did not.
        let january = ["levels distributor:10090 20.00", "levels breakage 20.00 not_active"];
        assert_eq!(entries(world, "2026-01").await, january);
        commit(world, "2026-02").await;
        // 10090 has the order of January. 11043 has PV of customers and no order of their own: the 10 % of
        // what ABC123 bought stay with the company.
        assert_eq!(entries(world, "2026-02").await, january);
        let told = said(&world.run(&["explain", "11043", "2026-02"]).await);
        assert!(told.contains("no order in the look-back, and the plan asks for one"), "{told}");
        said(&world.run(&["close", "2026-02", "--verify"]).await);
        app.stop().await;
    });
}
