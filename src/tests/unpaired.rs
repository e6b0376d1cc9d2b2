//! What a binary and a matrix pay, period after period, and what comes back after a close.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio_postgres::Row;
use upline::domain::{
    close::{
        Basis, CloseKey,
        binary::{Leg, Legs, Standing},
        placed::{CorrectionRecord, LevelRecord, PlacedRecords, PositionRecord},
    },
    digest::Digest,
    id::ComponentId,
    ledger::merkle_root,
    money::Money,
    placement::{Owner, Position},
    plan::period::PeriodId,
    volume::Volume,
};

use crate::{
    placements::{COMPONENTS, GRID, LEGS, found, found_with, imported},
    support::{
        World,
        closing::{self, commit, journal_reaches, leaves, order, shown},
        refused, said, world,
    },
};

fn volume(row: &Row, column: usize) -> Volume {
    Volume::from_parts(row.get(column))
}

fn money(row: &Row, column: usize) -> Money {
    Money::from_decimal(row.get::<_, Decimal>(column)).unwrap()
}

fn position(number: i32) -> Position {
    Position(u32::try_from(number).unwrap())
}

fn word<T: serde::de::DeserializeOwned>(row: &Row, column: usize) -> Option<T> {
    let reason: Option<String> = row.get(column);
    reason.map(|reason| serde_json::from_value(json!(reason)).unwrap())
}

/// What is kept of the positions of a close, read from the tables in the order of their leaves.
async fn kept(world: &World, period: &str) -> PlacedRecords {
    let component = |row: &Row| ComponentId::parse(row.get(0)).unwrap();
    let query = format!(
        "SELECT component, position, standing, left_opening, left_arrived, left_paired, left_expired,
                left_flushed, left_carried, right_opening, right_arrived, right_paired, right_expired,
                right_flushed, right_carried, pool, paid, breakage, capped, reason
         FROM upline.period_position WHERE period = '{period}' ORDER BY position"
    );
    let mut records = PlacedRecords::default();
    for row in world.rows(&query).await {
        let legs = |left, right| Legs { left: volume(&row, left), right: volume(&row, right) };
        let leg = |first| Leg {
            paired: volume(&row, first),
            expired: volume(&row, first + 1),
            flushed: volume(&row, first + 2),
            carried: volume(&row, first + 3),
        };
        records.positions.push(PositionRecord {
            component: component(&row).into(),
            position: position(row.get(1)),
            standing: Standing::from_bits(u8::try_from(row.get::<_, i16>(2)).unwrap()),
            opening: legs(3, 9),
            arrived: legs(4, 10),
            left: leg(5),
            right: leg(11),
            pool: money(&row, 15),
            paid: money(&row, 16),
            breakage: money(&row, 17),
            capped: money(&row, 18),
            unpaid: word(&row, 19),
        });
    }
    let query = format!(
        "SELECT component, position, level, volume, paid, breakage, reason FROM upline.period_level
         WHERE period = '{period}' ORDER BY level, position"
    );
    for row in world.rows(&query).await {
        let at: i32 = row.get(1);
        records.levels.push(LevelRecord {
            component: component(&row),
            position: (at >= 0).then(|| position(at)),
            level: u8::try_from(row.get::<_, i16>(2)).unwrap(),
            volume: volume(&row, 3),
            paid: money(&row, 4),
            breakage: money(&row, 5),
            unclaimed: word(&row, 6),
        });
    }
    let query = format!(
        "SELECT component, corrects, position, paid, breakage, capped, reason, cap, spared
         FROM upline.period_correction WHERE period = '{period}' ORDER BY corrects, position"
    );
    for row in world.rows(&query).await {
        records.corrections.push(CorrectionRecord {
            component: component(&row),
            corrects: PeriodId::parse(row.get(1)).unwrap(),
            position: position(row.get(2)),
            owner: Owner(0),
            paid: money(&row, 3),
            breakage: money(&row, 4),
            capped: money(&row, 5),
            refused: word(&row, 6),
            spared: row
                .get::<_, Option<&str>>(7)
                .map(|cap| (ComponentId::parse(cap).unwrap(), money(&row, 8))),
        });
    }
    records
}

/// Computes the root of a close's block again from what stands in the tables.
async fn sealed(world: &World, period: &str) {
    let key = CloseKey { plan: "field".into(), period: PeriodId::parse(period).unwrap() };
    let (mut leaves, root) = leaves(world, period).await;
    leaves.extend(kept(world, period).await.leaves(&key));
    assert_eq!(Digest::try_from(root.as_slice()).unwrap(), merkle_root(&leaves), "{period}");
    let basis = format!("SELECT basis::text FROM upline.period_close WHERE period = '{period}'");
    let basis: String = world.rows(&basis).await[0].get(0);
    let basis: Basis = serde_json::from_str(&basis).unwrap();
    let trees: Vec<&str> = basis.placements.iter().map(|placed| placed.tree.as_str()).collect();
    assert_eq!(trees, ["grid", "legs"]);
    assert!(basis.placements.iter().all(|placed| placed.version.seq > 0));
}

/// What everybody got in all closes together: component and account.
async fn sums(world: &World) -> BTreeMap<String, String> {
    let query = "SELECT component || ' ' || account, sum(amount)::numeric(20, 2)::text FROM (
             SELECT component, CASE debit WHEN 'commission' THEN credit ELSE debit END AS account,
                    CASE debit WHEN 'commission' THEN amount ELSE -amount END AS amount
             FROM upline.period_entry) t GROUP BY 1 HAVING sum(amount) <> 0";
    world.rows(query).await.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// The entries of a period but those of the matrix.
async fn entries(world: &World, period: &str) -> Vec<String> {
    let mut entries = closing::entries(world, period).await;
    entries.retain(|entry| !entry.starts_with("levels "));
    entries
}

/// What each position of the binary carries out of a period: left and right.
async fn carried(world: &World, period: &str) -> Vec<String> {
    let legs = |r: &PositionRecord| {
        let carried = r.carried();
        format!("{} {} {}", r.position, carried.left, carried.right)
    };
    kept(world, period).await.positions.iter().map(legs).collect()
}

async fn january_with_the_order(world: &World) {
    // 440 left with 500 right is 44, of which 9 are above the cap. Matching: of direct 40 of 11043 and 50 of
    // L2 to 10090, 4 of ABC123 to 11043, and of 35 in the binary to 10001.
    assert_eq!(
        entries(world, "2026-01").await,
        [
            "pairs distributor:10090 35.00",
            "pairs capped:pairs 9.00",
            "matching distributor:10001 3.50",
            "matching distributor:10090 9.00",
            "matching distributor:11043 0.40",
        ]
    );
    assert_eq!(carried(world, "2026-01").await, ["0 0 60", "1 0 40"]);
}

async fn february_corrects_january(world: &World) {
    assert_eq!(
        entries(world, "2026-02").await,
        [
            // 40 for 400, cap 35.
            "pairs distributor:10090 35.00",
            "pairs capped:pairs 5.00",
            // Of the binary 35 - 21, of direct 40 - 30 and 10.
            "matching distributor:10001 1.40",
            "matching distributor:10090 2.00",
            // Of the 7 of 10001, who has no sponsor.
            "matching breakage 0.70 end_of_upline",
            "pairs distributor:10090 -21.00 2026-01",
            "pairs capped:pairs -9.00 2026-01",
        ]
    );
    let march = shown(world, "2026-03").await;
    assert_eq!(march["summary"]["corrected"], Value::Null, "corrected once");
}

/// An order of January that comes back after its close, if it is there at all; three periods.
async fn three_months(world: &World, with_return: bool) -> BTreeMap<String, String> {
    let app = found(world).await;
    imported(world, LEGS, "legs", "4 written").await;
    imported(world, GRID, "grid", "5 written").await;
    let deliver = async |id, placed: &str, status: &str, who: &str, price: &str| {
        let order = order(id, placed, status, who, price);
        world.client.deliver(app.http, &order).await;
    };
    let mut entries_there = 3;
    deliver(2, "2026-01-06T10:00:00Z", "paid", "L2", "500.00").await;
    deliver(3, "2026-01-07T10:00:00Z", "paid", "11043", "100.00").await;
    deliver(4, "2026-01-08T10:00:00Z", "paid", "ABC123", "40.00").await;
    if with_return {
        deliver(1, "2026-01-05T10:00:00Z", "paid", "11043", "300.00").await;
        entries_there += 1;
    }
    journal_reaches(world, entries_there).await;
    commit(world, "2026-01").await;
    sealed(world, "2026-01").await;
    if with_return {
        january_with_the_order(world).await;
        deliver(1, "2026-01-05T10:00:00Z", "cancelled", "11043", "300.00").await;
        entries_there += 1;
    }
    deliver(5, "2026-02-05T10:00:00Z", "paid", "11043", "400.00").await;
    deliver(6, "2026-02-06T10:00:00Z", "paid", "L2", "100.00").await;
    deliver(7, "2026-02-07T10:00:00Z", "paid", "10001", "70.00").await;
    entries_there += 3;
    journal_reaches(world, entries_there).await;
    let preview: Value = shown(world, "2026-02").await;
    assert_eq!(
        preview["summary"]["unplaced"],
        json!([{ "component": "pairs", "tree": "legs", "distributors": 1, "volume": "70" }])
    );
    let corrected = if with_return { json!("-21.00") } else { Value::Null };
    assert_eq!(preview["summary"]["corrected"], corrected);
    commit(world, "2026-02").await;
    sealed(world, "2026-02").await;
    // In January 140 pair with 500: 360 are carried, and with the 100 of February meet the 400.
    assert_eq!(carried(world, "2026-02").await, ["0 0 60", "1 0 40"]);
    if with_return {
        february_corrects_january(world).await;
    }
    // Later something else of the same period comes back, in both worlds.
    deliver(3, "2026-01-07T10:00:00Z", "cancelled", "11043", "100.00").await;
    deliver(8, "2026-03-06T10:00:00Z", "paid", "L2", "30.00").await;
    journal_reaches(world, entries_there + 2).await;
    commit(world, "2026-03").await;
    sealed(world, "2026-03").await;
    // January pairs 40, February 400: of the right leg 60 of January are left, which are too old now, 100 of
    // February and 30 of March. The 40 of the leg that never had a partner are as old.
    assert_eq!(carried(world, "2026-03").await, ["0 0 130", "1 0 0"]);
    // Each is computed again from its basis, whatever was closed and corrected since.
    for period in ["2026-01", "2026-02", "2026-03"] {
        said(&world.run(&["close", period, "--verify"]).await);
    }
    let sums = sums(world).await;
    app.stop().await;
    sums
}

#[test]
fn what_comes_back_after_the_close_is_unpaired_there_and_all_closes_together_pay_as_without_it() {
    let mut with = BTreeMap::new();
    world("unpaired", async |world| with = three_months(world, true).await);
    let mut without = BTreeMap::new();
    world("never_sold", async |world| without = three_months(world, false).await);
    assert_eq!(with, without);
    assert_eq!(with["pairs distributor:10090"], "39.00");
}

/// The limit of 35 as a cap of the plan instead of one of the binary.
fn capped_by_the_plan() -> String {
    let own = "cap = { semantics = \"pay_cap\", limit = \"35\" }";
    assert!(COMPONENTS.contains(own));
    let cap = "[[cap]]\nid = \"most\"\nafter = \"pairs\"\ncounts = [\"pairs\"]\n\
               limit = { per = \"distributor\", amount = \"35\", rank = \"paid_as\" }\n";
    format!("{}\n{cap}", COMPONENTS.replace(own, "cap = { semantics = \"none\" }"))
}

#[test]
fn a_cap_of_the_plan_gives_back_what_it_took_and_nothing_is_added_to_a_closed_period() {
    world("plan_cap", async |world| {
        let app = found_with(world, &capped_by_the_plan()).await;
        imported(world, LEGS, "legs", "4 written").await;
        imported(world, GRID, "grid", "5 written").await;
        let deliver = async |id, placed: &str, status: &str, who: &str, price: &str| {
            let order = order(id, placed, status, who, price);
            world.client.deliver(app.http, &order).await;
        };
        deliver(1, "2026-01-05T10:00:00Z", "paid", "11043", "300.00").await;
        deliver(2, "2026-01-06T10:00:00Z", "paid", "L2", "500.00").await;
        deliver(3, "2026-01-07T10:00:00Z", "paid", "11043", "140.00").await;
        journal_reaches(world, 3).await;
        commit(world, "2026-01").await;
        sealed(world, "2026-01").await;
        let pairs = async |period| {
            let entries = entries(world, period).await;
            entries.into_iter().filter(|entry| entry.starts_with("pairs")).collect::<Vec<_>>()
        };
        // 440 with 500 earn 44, of which the plan's cap takes 9.
        let wanted = ["pairs distributor:10090 35.00", "pairs capped:most 9.00"];
        assert_eq!(pairs("2026-01").await, wanted);

        // 140 with 500 would have earned 14: 30 less, of which 9 were never paid.
        deliver(1, "2026-01-05T10:00:00Z", "cancelled", "11043", "300.00").await;
        journal_reaches(world, 4).await;
        commit(world, "2026-02").await;
        sealed(world, "2026-02").await;
        let wanted = ["pairs distributor:10090 -21.00 2026-01", "pairs capped:most -9.00 2026-01"];
        assert_eq!(pairs("2026-02").await, wanted);

        let story = said(&world.run(&["explain", "10090", "2026-02"]).await);
        // The matrix and what was matched on the order take back too.
        let gets =
            "gets -39.00 USD: levels -15.00, matching -3.00, pairs of 2026-01, corrected, -21.00";
        assert!(story.contains(gets), "{story}");
        let story = world.run(&["explain", "10090", "2026-02", "--json"]).await;
        let story: Value = serde_json::from_str(&said(&story)).unwrap();
        let back = json!({ "order": "shopify/acme/1", "distributor": "11043", "entry": 4,
                           "placed_at": "2026-01-05T10:00:00Z", "volume": "300" });
        let corrected = json!([{ "component": "pairs", "corrects": "2026-01", "amount": "-21.00",
                                 "orders": [back] }]);
        assert_eq!((&story["paid"], &story["corrected"]), (&json!("-39.00"), &corrected));

        // The rest comes back too: what is left is nothing, also of the cap.
        deliver(3, "2026-01-07T10:00:00Z", "cancelled", "11043", "140.00").await;
        journal_reaches(world, 5).await;
        commit(world, "2026-03").await;
        sealed(world, "2026-03").await;
        assert_eq!(pairs("2026-03").await, ["pairs distributor:10090 -14.00 2026-01"]);
        for period in ["2026-01", "2026-02", "2026-03"] {
            said(&world.run(&["close", period, "--verify"]).await);
        }
        let sums = sums(world).await;
        assert!(!sums.keys().any(|account| account.starts_with("pairs")), "{sums:?}");

        // Nobody decides ranks in a plan that has none.
        let clear = ["rank", "clear", "10090", "--plan", "field", "--from", "2026-05"];
        let clear = world.run(&[&clear[..], &["--by", "staff-7", "--why", "none"]].concat()).await;
        assert!(refused(&clear).contains("has no ranks"));

        for row in [
            "period_position SELECT plan_id, period, component, 3, standing, left_opening,
                 left_arrived, left_paired, left_expired, left_flushed, left_carried, right_opening,
                 right_arrived, right_paired, right_expired, right_flushed, right_carried, pool, paid,
                 breakage, capped, reason FROM upline.period_position WHERE period = '2026-01' LIMIT 1",
            "period_carry VALUES ('field', '2026-01', '11043', -1, 0, 0)",
            "period_entry VALUES (gen_random_uuid(), 'field', '2026-02', 99, 'pairs', 'commission',
                 'distributor:L2', 1, 'USD')",
        ] {
            let told = world.refuses(&format!("INSERT INTO upline.{row}")).await;
            assert!(told.contains("is closed: nothing is added to it"), "{row}: {told}");
        }
        app.stop().await;
    });
}
