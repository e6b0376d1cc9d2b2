//! Closing periods, from the shop's orders to what everybody gets: shown, closed once, never changed.

use std::{net::SocketAddr, process::Output};

use serde_json::{Value, json};
use upline::domain::{digest::Digest, ledger::merkle_root};

use crate::support::{
    World,
    closing::{
        LADDER, LEVELS, commit, entries, journal_reaches, leaves, monthly, order, order_components,
        shown,
    },
    refused, said, world,
};

/// A rank, and a bonus for who becomes silver.
const SILVER: &str = r#"
[[rank]]
id = "silver"
active = true
pv = "100"

[[component]]
kind = "rank_bonus"
id = "advancement"
pays = "once"
passed = "all"
rank = "paid_as"
amounts = [{ from = "silver", amount = "25.00" }]
"#;

async fn close(world: &World, arguments: &[&str]) -> Output {
    world.run(&[&["close"], arguments].concat()).await
}

/// Computes the root of a close's block again from what stands in the tables.
async fn sealed(world: &World, period: &str) {
    let (leaves, root) = leaves(world, period).await;
    assert_eq!(Digest::try_from(root.as_slice()).unwrap(), merkle_root(&leaves), "{period}");
}

/// What ABC123 gave back after January was taken from January, and lowers nothing of March.
async fn what_was_given_back_does_not_count_in_march(world: &World, shop: SocketAddr) {
    let march = order(4, "2026-03-05T10:00:00Z", "paid", "ABC123", "150.00");
    world.client.deliver(shop, &march).await;
    journal_reaches(world, 5).await;
    commit(world, "2026-03").await;
    // 10 % and 5 % of 150; nobody above is active.
    assert_eq!(entries(world, "2026-03").await, ["levels breakage 22.50 not_active"]);
    sealed(world, "2026-03").await;
    assert_eq!(world.count("SELECT count(*) FROM upline.period_carry").await, 0);
}

#[test]
fn a_period_is_shown_then_closed_once_and_what_comes_late_counts_in_the_next() {
    world("closes", async |world| {
        world.write_plan(&monthly(&[], &[LADDER, order_components(), LEVELS, SILVER]));
        let app = world.start().await;
        let january = [
            order(1, "2026-01-05T10:00:00Z", "paid", "ABC123", "100.00"),
            order(2, "2026-01-31T23:59:59Z", "paid", "11043", "200.00"),
            order(3, "2026-02-01T00:00:00Z", "paid", "11043", "300.00"),
        ];
        for order in &january {
            world.client.deliver(app.http, order).await;
        }
        journal_reaches(world, 3).await;

        let preview = shown(world, "2026-01").await;
        assert_eq!(preview["summary"]["cv"], "300");
        assert_eq!(preview["summary"]["paid"], "60.00");
        assert_eq!(preview["summary"]["payout_ratio"], "0.2");
        assert_eq!(preview["summary"]["ranks"], json!([["silver", 2]]));
        assert_eq!(world.count("SELECT count(*) FROM upline.period_close").await, 0, "only shown");

        let told = commit(world, "2026-01").await;
        assert!(told.contains("sealed by block"), "{told}");
        let wanted = [
            // Of 100 at level 1 of 11043; 10090 is not active for 200 and 100, 10001 not for 200.
            "levels distributor:11043 10.00",
            "levels breakage 35.00 not_active",
            "advancement distributor:11043 25.00",
            "advancement distributor:ABC123 25.00",
        ];
        assert_eq!(entries(world, "2026-01").await, wanted);
        sealed(world, "2026-01").await;
        let before = entries(world, "2026-01").await;

        // Again it changes nothing, and neither does what comes late: a cancellation of January.
        assert!(commit(world, "2026-01").await.contains("is closed since"));
        let late = order(1, "2026-01-05T10:00:00Z", "cancelled", "ABC123", "100.00");
        world.client.deliver(app.http, &late).await;
        journal_reaches(world, 4).await;
        assert!(commit(world, "2026-01").await.contains("is closed since"));
        assert_eq!(entries(world, "2026-01").await, before);

        let why = refused(&close(world, &["2026-03", "--commit", "--by", "finance-7"]).await);
        assert!(why.contains("period 2026-02"), "{why}");

        let preview = shown(world, "2026-02").await;
        assert_eq!(preview["summary"]["late"], json!({ "entries": 1, "cv": "-100" }));
        assert_eq!(preview["summary"]["cv"], "300");
        assert_eq!(preview["summary"]["corrected"], "-10.00");
        let closed = ["2026-02", "--commit", "--by", "finance-7", "--json"];
        let closed: Value = serde_json::from_str(&said(&close(world, &closed).await)).unwrap();
        assert!(closed["block"].is_u64(), "one JSON object: {closed}");
        let february = entries(world, "2026-02").await;
        // 300 of 11043: nobody above is active. Silver was paid before. Of January 10 % and 5 % of 100 less.
        assert_eq!(
            february,
            [
                "levels breakage 45.00 not_active",
                "levels distributor:11043 -10.00 2026-01",
                "levels breakage -5.00 not_active 2026-01",
            ]
        );
        sealed(world, "2026-02").await;
        what_was_given_back_does_not_count_in_march(world, app.http).await;
        let paid = "SELECT count(*) FROM upline.statement WHERE source = 'period'";
        assert_eq!(world.count(paid).await, 4);
        world.statements_agree().await;
        let chain = "SELECT count(*) FROM upline.ledger_block a
                     WHERE previous <> (SELECT hash FROM upline.ledger_block b
                                        WHERE b.number = a.number - 1)";
        assert_eq!(world.count(chain).await, 0);
        for table in
            ["period_close", "period_member", "period_carry", "period_entry", "period_rank_bonus"]
        {
            let changed = world.execute(&format!("DELETE FROM upline.{table}")).await;
            assert!(changed.is_err(), "{table} can be changed");
        }
        app.stop().await;
    });
}
