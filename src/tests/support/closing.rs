//! Plans that close months, the orders of a month, and what the books hold of a close.

use serde_json::{Value, json};
use upline::domain::{
    close::{Basis, Beneficiary, CarryRecord, CloseEntry, CloseKey, MemberRecord},
    digest::Digest,
    id::{ComponentId, DistributorId, RankId},
    ledger::EventId,
    money::{Currency, Money},
    plan::period::PeriodId,
    volume::Volume,
};

use super::{Delivery, PLAN, World, eventually, said};

/// Volumes that are what was paid, activity by 50 PV, months of UTC.
const MONTHS: &str = include_str!("months.toml");

/// How a plan with ranks is climbed.
pub(crate) const LADDER: &str = "[ladder]\nreach = \"each_step\"\nleg_rank = \"paid_as\"\n";

/// Two levels of volume, for which no rank is needed.
pub(crate) const LEVELS: &str = r#"
[[component]]
kind = "unilevel_volume"
id = "levels"
rank = "paid_as"
compression = "none"
rates = [{ rates = ["10 %", "5 %"] }]
"#;

/// A plan that closes months: its volumes, activity and months with these texts changed, and the rest.
pub(crate) fn monthly(changed: &[(&str, &str)], rest: &[&str]) -> String {
    let (head, _) = PLAN.split_once("[[component]]").unwrap();
    let mut months = MONTHS.to_owned();
    for (from, to) in changed {
        assert!(months.contains(from), "{from}");
        months = months.replace(from, to);
    }
    format!("{}\ncurrency = \"USD\"\n\n{months}\n{}", head.trim_end(), rest.join("\n"))
}

/// What the plan of every world pays on its orders.
pub(crate) fn order_components() -> &'static str {
    PLAN.split_at(PLAN.find("[[component]]").unwrap()).1
}

/// An order of one kit as the company's own systems send it.
pub(crate) fn kit(id: u32, placed: &str, status: &str, referrer: &str, price: &str) -> Value {
    json!({
        "platform": "shopify", "platform_order_id": id.to_string(), "order_ts": placed,
        "status": status, "currency": "USD", "distributor_ref": referrer, "total": price,
        "items": [{ "platform_sku": "KIT-STARTER-001", "qty": 1, "unit_price": price }],
    })
}

/// The same, ready to be sent.
pub(crate) fn order(id: u32, placed: &str, status: &str, referrer: &str, price: &str) -> Delivery {
    Delivery::api("/v1/orders", &kit(id, placed, status, referrer, price))
}

/// Waits until the journal has so many entries.
pub(crate) async fn journal_reaches(world: &World, entries: i64) {
    let count = "SELECT count(*) FROM upline.volume_entry";
    let reached = async || (world.count(count).await == entries).then_some(());
    eventually("the volumes are in the journal", reached).await;
}

/// A period as `upline close` shows it.
pub(crate) async fn shown(world: &World, period: &str) -> Value {
    serde_json::from_str(&said(&world.run(&["close", period, "--json"]).await)).unwrap()
}

/// Closes a period; what the command says.
pub(crate) async fn commit(world: &World, period: &str) -> String {
    said(&world.run(&["close", period, "--commit", "--by", "finance-7"]).await)
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
