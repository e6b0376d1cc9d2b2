//! Closing periods, from the shop's orders to what everybody gets: shown, closed once, never changed.

use std::{fs, net::SocketAddr, process::Output};

use serde_json::{Value, json};
use upline::domain::{
    close::{Basis, Beneficiary, CarryRecord, CloseEntry, CloseKey, MemberRecord},
    digest::Digest,
    id::{ComponentId, DistributorId, RankId},
    ledger::{EventId, merkle_root},
    money::{Currency, Money},
    plan::period::PeriodId,
    volume::Volume,
};

use crate::support::{Delivery, PLAN, World, eventually, world};

const SECTIONS: &str = r#"
currency = "USD"

[volumes]
pv = "qv"
group = "pv"
retail_orders = "referrer"
negative_volume = "carry"
conversion = "1"
qv = { source = "net", rate = "100 %" }
cv = { source = "net", rate = "100 %" }

[activity]
pv = "50"
look_back = 1
window = "sum"
active_leg = "frontline"

[ladder]
reach = "each_step"
leg_rank = "paid_as"

[period]
every = { kind = "monthly" }
time_zone = "UTC"
day_starts = "00:00:00"
snapshot = "last_instant"
cut_off_days = 3
distribution_days = 10

[[rank]]
id = "silver"
active = true
pv = "100"

[[component]]
kind = "unilevel_volume"
id = "levels"
rank = "paid_as"
compression = "none"
rates = [{ rates = ["10 %", "5 %"] }]

[[component]]
kind = "rank_bonus"
id = "advancement"
pays = "once"
passed = "all"
rank = "paid_as"
amounts = [{ from = "silver", amount = "25.00" }]
"#;

fn plan() -> String {
    let (head, components) = PLAN.split_once("[[component]]").unwrap();
    let (top, sections) = SECTIONS.trim_start().split_once('\n').unwrap();
    format!("{head}{top}\n[[component]]{components}{sections}")
}

pub(crate) fn order(id: u32, placed: &str, status: &str, referrer: &str, price: &str) -> Delivery {
    let body = json!({
        "platform": "shopify", "platform_order_id": id.to_string(), "order_ts": placed,
        "status": status, "currency": "USD", "distributor_ref": referrer, "total": price,
        "items": [{ "platform_sku": "KIT-STARTER-001", "qty": 1, "unit_price": price }],
    });
    Delivery::api("/v1/orders", &body)
}

pub(crate) async fn journal_reaches(world: &World, entries: i64) {
    let count = "SELECT count(*) FROM upline.volume_entry";
    let reached = async || (world.count(count).await == entries).then_some(());
    eventually("the volumes are in the journal", reached).await;
}

pub(crate) fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

async fn close(world: &World, arguments: &[&str]) -> Output {
    world.run(&[&["close"], arguments].concat()).await
}

pub(crate) async fn shown(world: &World, period: &str) -> Value {
    serde_json::from_str(&said(&close(world, &[period, "--json"]).await)).unwrap()
}

pub(crate) async fn commit(world: &World, period: &str) -> String {
    said(&close(world, &[period, "--commit", "--by", "finance-7"]).await)
}

/// Every entry of a period: component, account, amount below zero where it is taken back, reason, and the
/// period that is corrected.
pub(crate) async fn entries(world: &World, period: &str) -> Vec<String> {
    let query = format!(
        "SELECT concat_ws(' ', component, CASE debit WHEN 'commission' THEN credit ELSE debit END,
                          CASE debit WHEN 'commission' THEN amount ELSE -amount END, reason, corrects)
         FROM upline.period_entry WHERE period = '{period}' ORDER BY number"
    );
    world.rows(&query).await.iter().map(|row| row.get(0)).collect()
}

/// Computes the root of a close's block again from what stands in the tables.
async fn sealed(world: &World, period: &str) {
    let (leaves, root) = leaves(world, period).await;
    assert_eq!(Digest::try_from(root.as_slice()).unwrap(), merkle_root(&leaves), "{period}");
}

/// The leaves of a close's block by what stands in the tables, but those of positions, and its root.
pub(crate) async fn leaves(world: &World, period: &str) -> (Vec<Digest>, Vec<u8>) {
    let query =
        format!("SELECT basis::text, block FROM upline.period_close WHERE period = '{period}'");
    let row = &world.rows(&query).await[0];
    let (text, block): (String, i64) = (row.get(0), row.get(1));
    let basis: Basis = serde_json::from_str(&text).unwrap();
    let key = CloseKey { plan: "field".into(), period: PeriodId::parse(period).unwrap() };
    assert_eq!(basis.key(), key);
    let mut leaves = vec![Basis::leaf(&text)];
    let query = format!(
        "SELECT distributor_id, active, pv, qv, cv, gv, pgv, paid_as, achieved
         FROM upline.period_member m JOIN upline.distributors d USING (distributor_id)
         WHERE period = '{period}'
         ORDER BY (SELECT min(seq) FROM upline.genealogy_event g
                   WHERE g.distributor_id = m.distributor_id)"
    );
    for row in world.rows(&query).await {
        let volume = |column| Volume::from_parts(row.get(column));
        let rank = |column| row.get::<_, Option<&str>>(column).map(|r| RankId::parse(r).unwrap());
        let record = MemberRecord {
            distributor: DistributorId::parse(row.get(0)).unwrap(),
            active: row.get(1),
            pv: volume(2),
            qv: volume(3),
            cv: volume(4),
            gv: volume(5),
            pgv: volume(6),
            paid_as: rank(7),
            achieved: rank(8),
        };
        leaves.push(record.leaf(&key));
    }
    let query = format!(
        "SELECT distributor_id, pv, qv, cv FROM upline.period_carry c WHERE period = '{period}'
         ORDER BY (SELECT min(seq) FROM upline.genealogy_event g
                   WHERE g.distributor_id = c.distributor_id)"
    );
    for row in world.rows(&query).await {
        let distributor = DistributorId::parse(row.get(0)).unwrap();
        let volume = |column| Volume::from_parts(row.get(column));
        let (pv, qv, cv) = (volume(1), volume(2), volume(3));
        leaves.push(CarryRecord { distributor, pv, qv, cv }.leaf(&key));
    }
    leaves.extend(of_entries(world, period, &key).await);
    let query = format!("SELECT merkle_root FROM upline.ledger_block WHERE number = {block}");
    (leaves, world.rows(&query).await[0].get(0))
}

/// The leaves of the entries of a close.
async fn of_entries(world: &World, period: &str, key: &CloseKey) -> Vec<Digest> {
    let mut leaves = Vec::new();
    let query = format!(
        "SELECT event_id::text, component, CASE debit WHEN 'commission' THEN credit ELSE debit END,
                CASE debit WHEN 'commission' THEN amount ELSE -amount END, reason, corrects
         FROM upline.period_entry WHERE period = '{period}' ORDER BY number"
    );
    for row in world.rows(&query).await {
        let account: &str = row.get(2);
        let to = match (account.split_once(':'), row.get::<_, Option<&str>>(4)) {
            (None, Some(reason)) => {
                assert_eq!(account, "breakage");
                Beneficiary::Breakage(serde_json::from_value(json!(reason)).unwrap())
            }
            (Some(("distributor", id)), None) => {
                Beneficiary::Distributor(DistributorId::parse(id).unwrap())
            }
            (Some(("capped", id)), None) => Beneficiary::Capped(ComponentId::parse(id).unwrap()),
            other => panic!("{other:?}"),
        };
        let corrects: Option<&str> = row.get(5);
        let entry = CloseEntry {
            event_id: EventId::try_from(row.get::<_, String>(0)).unwrap(),
            component: ComponentId::parse(row.get(1)).unwrap(),
            to,
            amount: Money::from_decimal(row.get(3)).unwrap(),
            corrects: corrects.map(|period| PeriodId::parse(period).unwrap()),
        };
        leaves.push(entry.leaf(key, Currency::parse("USD").unwrap()));
    }
    leaves
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
        fs::write(world.folder.join("pipelines/plans/field.toml"), plan()).unwrap();
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

        let refused = close(world, &["2026-03", "--commit", "--by", "finance-7"]).await;
        let why = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && why.contains("period 2026-02"), "{why}");

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
