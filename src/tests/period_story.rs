//! A period from a distributor's side, and a closed one computed again: while open, when closed, after more
//! has happened, and after somebody has altered the books.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::{
    Running, World,
    closing::{self, LADDER, commit, journal_reaches, monthly, order_components},
    refused, said, world,
};

/// Every reason to get nothing: three ranks, locked levels, matching, a bonus, a pool, a cap.
const COMPONENTS: &str = r#"
[[rank]]
id = "member"
active = false

[[rank]]
id = "silver"
active = true
pv = "100"

[[rank]]
id = "gold"
active = true
pv = "100"
gv = "1000"
legs = [{ count = 2, rank = "silver" }]

[[component]]
kind = "unilevel_volume"
id = "levels"
rank = "paid_as"
compression = "roll_up"
rates = [{ rates = ["20 %", "10.005 %"] }]
unlock = [{ active_legs = 1, levels = 1 }, { active_legs = 2, levels = 2 }]

[[component]]
kind = "matching"
id = "matching"
on = ["levels"]
rank = "paid_as"
compression = "none"
negative_earnings = "match"
rates = [{ rates = ["10 %"] }]

[[component]]
kind = "rank_bonus"
id = "advancement"
pays = "once"
passed = "all"
rank = "paid_as"
amounts = [{ from = "silver", amount = "25.00" }]

[[component]]
kind = "pool"
id = "global"
size = { kind = "fixed", amount = "10.00" }
rank = "paid_as"
shares = [{ from = "gold", shares = 1 }]
nobody = "carry"

[[cap]]
id = "most"
after = "levels"
counts = ["levels"]
limit = { per = "distributor", amount = "15.00", rank = "paid_as" }
"#;

fn plan() -> String {
    let changed = [
        ("conversion = \"1\"", "conversion = \"0.5\""),
        ("look_back = 1", "look_back = 2"),
        ("active_leg = \"frontline\"", "active_leg = \"anyone\""),
    ];
    monthly(&changed, &[LADDER, order_components(), COMPONENTS])
}

/// Delivers an order and waits until the journal has so many entries.
async fn sells(world: &World, app: &Running, order: (u32, &str, &str, &str, &str), entries: i64) {
    let (id, placed, status, referrer, price) = order;
    world.client.deliver(app.http, &closing::order(id, placed, status, referrer, price)).await;
    journal_reaches(world, entries).await;
}

async fn told(world: &World, distributor: &str, period: &str) -> String {
    said(&world.run(&["explain", distributor, period]).await)
}

async fn story(world: &World, distributor: &str, period: &str) -> Value {
    let text = said(&world.run(&["explain", distributor, period, "--json"]).await);
    serde_json::from_str(&text).unwrap()
}

async fn close(world: &World, period: &str) {
    let text = commit(world, period).await;
    assert!(text.contains("sealed by block"), "{text}");
}

async fn verify(world: &World, period: &str) -> Output {
    world.run(&["close", period, "--verify"]).await
}

/// Of a component, what was withheld: `level reason amount who`.
fn withheld(story: &Value, component: &str) -> Vec<String> {
    let parts = story["components"].as_array().unwrap();
    let part = parts.iter().find(|part| part["component"] == component).unwrap();
    let line = |row: &Value| {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let to = text(&row["to"]);
        format!("{} {} {} {to}", row["level"], text(&row["reason"]), text(&row["amount"]))
    };
    part["withheld"].as_array().into_iter().flatten().map(line).collect()
}

/// January: 10090 is not active, ABC123 and 11043 are silver.
async fn january(world: &World, app: &Running) {
    sells(world, app, (1, "2026-01-05T10:00:00Z", "paid", "ABC123", "100.10"), 1).await;
    sells(world, app, (2, "2026-01-31T23:59:59Z", "paid", "11043", "200.00"), 2).await;
    sells(world, app, (3, "2026-01-20T10:00:00Z", "paid", "10001", "60.00"), 3).await;
    world.settles().await;
}

/// February: January's first order is cancelled, 10001 becomes silver, a new member sells.
async fn february(world: &World, app: &Running) {
    sells(world, app, (1, "2026-01-05T10:00:00Z", "cancelled", "ABC123", "100.10"), 4).await;
    sells(world, app, (4, "2026-02-03T10:00:00Z", "paid", "10001", "150.00"), 5).await;
    world.enrol(&[("NEW1", Some("11043")), ("NEW2", Some("NEW1"))]).await;
    world.settles().await;
}

fn without_times(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix("closed ") {
        Some(rest) => format!("closed TIME {}", rest.split_once(' ').unwrap().1),
        None => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_cent_and_every_zero_of_a_period_is_explained() {
    world("period_story", async |world| {
        world.write_plan(&plan());
        let app = world.start().await;
        january(world, &app).await;
        let open = told(world, "10001", "2026-01").await;
        assert!(open.contains("open: as the books are now"), "{open}");
        close(world, "2026-01").await;

        // The story of the closed period is that of the open one, but for who closed it.
        let closed = told(world, "10001", "2026-01").await;
        let rest = |text: &str| {
            text.lines().filter(|line| !line.contains("(genealogy")).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(rest(&open), rest(&closed));
        insta::assert_snapshot!("period_of_10001", without_times(&closed));
        insta::assert_snapshot!(
            "period_of_10090",
            without_times(&told(world, "10090", "2026-01").await)
        );

        let top = story(world, "10001", "2026-01").await;
        assert_eq!(withheld(&top, "levels"), ["2 level_locked 5.01 company"]);
        let passed = story(world, "10090", "2026-01").await;
        let rose = [
            "1 not_active 20.00 {\"distributor\":\"10001\"}",
            "2 not_active 5.01 {\"rose\":\"10001\"}",
        ];
        assert_eq!(withheld(&passed, "levels"), rose);
        assert_eq!(withheld(&passed, "matching"), ["1 not_active 1.00 company"]);
        assert_eq!(passed["closed"]["sealed"], true);

        // What comes after changes nothing of January, and is told where it counts.
        february(world, &app).await;
        assert_eq!(told(world, "10001", "2026-01").await, closed);
        let late = story(world, "ABC123", "2026-02").await;
        let entry = &late["volumes"]["entries"][0];
        assert_eq!(entry["late_for"], "2026-01");
        assert_eq!((&entry["pv"], &entry["order"]), (&json!("-100.1"), &json!("shopify/acme/1")));
        assert_eq!(late["volumes"]["below_zero"], Value::Null, "it is taken from January");
        assert_eq!(late["volumes"]["cv"], "0");
        // 20 % of 100.1 points of 0.50 each.
        let of_11043 = story(world, "11043", "2026-02").await;
        let back = json!({ "order": "shopify/acme/1", "distributor": "ABC123", "entry": 4,
                           "placed_at": "2026-01-05T10:00:00Z", "volume": "100.1" });
        let corrected = json!([{ "component": "levels", "corrects": "2026-01", "amount": "-10.01",
                                 "orders": [back] }]);
        assert_eq!(of_11043["corrected"], corrected);
        assert_eq!(late["orders"][0]["orders"][0]["late_for"], "2026-01");
        assert_eq!(late["orders"][0]["earned"], "-10.01");
        // The PV of January counts for the activity of February, which looks back.
        assert_eq!(late["activity"]["periods"], json!(["0", "100.1"]));
        assert_eq!(late["activity"]["active"], true);
        close(world, "2026-02").await;
        let march = story(world, "ABC123", "2026-03").await;
        assert_eq!(march["volumes"]["carried_in"], Value::Null);
        insta::assert_snapshot!(
            "period_of_abc123",
            without_times(&told(world, "ABC123", "2026-02").await)
        );

        let why = refused(&world.run(&["explain", "NEW1", "2026-01"]).await);
        assert!(why.contains("no distributor NEW1"), "{why}");
        app.stop().await;
    });
}

#[test]
fn a_closed_period_is_computed_again_and_what_was_altered_is_found() {
    world("verified", async |world| {
        // What the orders earned is matched too: it is read as far as the close had read the ledger.
        let plan = plan().replace("on = [\"levels\"]", "on = [\"levels\", \"direct\"]");
        world.write_plan(&plan);
        let app = world.start().await;
        january(world, &app).await;
        let why = refused(&verify(world, "2026-01").await);
        assert!(why.contains("is not closed"), "{why}");
        close(world, "2026-01").await;
        // What orders earned stands in the ledger: the close counts it and posts it no second time.
        let earned = "SELECT count(*) FROM upline.ledger_entry WHERE component = 'direct'";
        assert!(world.count(earned).await > 0);
        let again = "SELECT count(*) FROM upline.period_entry WHERE component = 'direct'";
        assert_eq!(world.count(again).await, 0);
        let paid = "SELECT sum(amount)::text FROM upline.period_entry
                    WHERE period = '2026-01' AND credit = 'distributor:11043'";
        let paid: String = world.rows(paid).await[0].get(0);
        assert_eq!(story(world, "11043", "2026-01").await["paid"], paid);
        // Members, orders, a correction, the close of the next period: January stays what it was.
        february(world, &app).await;
        close(world, "2026-02").await;
        sells(world, &app, (5, "2026-01-07T10:00:00Z", "paid", "NEW2", "80.00"), 6).await;
        for period in ["2026-01", "2026-02"] {
            let text = said(&verify(world, period).await);
            assert!(text.contains("the books hold the same, and block"), "{text}");
        }

        for (table, change, found) in ALTERATIONS {
            let triggers = |word: &str| format!("ALTER TABLE upline.{table} {word} TRIGGER USER");
            world.execute(&triggers("DISABLE")).await.unwrap();
            let keep = format!("CREATE TABLE kept AS SELECT * FROM upline.{table}");
            world.execute(&keep).await.unwrap();
            world.execute(change).await.unwrap();
            let output = verify(world, "2026-01").await;
            let text = String::from_utf8(output.stdout).unwrap();
            assert_eq!(output.status.code(), Some(1), "{change}: {text}");
            for part in *found {
                let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(
                    text.lines().any(|line| words(line).contains(part)),
                    "{part:?} is not in\n{text}"
                );
            }
            let back = format!(
                "DELETE FROM upline.{table}; INSERT INTO upline.{table} SELECT * FROM kept; DROP TABLE kept"
            );
            world.execute(&back).await.unwrap();
            world.execute(&triggers("ENABLE")).await.unwrap();
        }
        said(&verify(world, "2026-01").await);

        // What the period was computed from is altered: the story says that it is not what was sealed.
        let journal = "ALTER TABLE upline.volume_entry DISABLE TRIGGER append_only;
                       UPDATE upline.volume_entry SET pv = pv + 10000 WHERE order_key = 'shopify/acme/2'";
        world.execute(journal).await.unwrap();
        let output = world.run(&["explain", "11043", "2026-01"]).await;
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("IS NOT WHAT THE BLOCK SEALS"), "{text}");
        app.stop().await;
    });
}

/// What somebody with all rights might do to January, and what is then found.
const ALTERATIONS: &[(&str, &str, &[&str])] = &[
    (
        "period_member",
        "UPDATE upline.period_member SET pv = pv + 10000, paid_as = 'gold'
         WHERE period = '2026-01' AND distributor_id = '11043'",
        &["member 11043 pv 201 200", "member 11043 paid_as gold silver", "DIFFER in 2 places"],
    ),
    (
        "period_member",
        "DELETE FROM upline.period_member WHERE period = '2026-01' AND distributor_id = '10090'",
        &["member 10090 row nothing PV 0, QV 0, CV 0"],
    ),
    (
        "period_entry",
        "UPDATE upline.period_entry SET amount = 99, credit = 'distributor:NEW1'
         WHERE period = '2026-01' AND credit = 'distributor:11043' AND component = 'advancement'",
        &["amount 99 25", "credit distributor:NEW1 distributor:11043"],
    ),
    (
        "period_entry",
        "INSERT INTO upline.period_entry VALUES (gen_random_uuid(), 'field', '2026-01', 99, 'levels',
             'commission', 'distributor:NEW2', 1, 'USD', NULL)",
        &["99 levels: debit commission credit distributor:NEW2 1 USD"],
    ),
    (
        "period_carry",
        "INSERT INTO upline.period_carry VALUES ('field', '2026-01', '11043', -10000, 0, 0)",
        &["carry 11043 row PV -1"],
    ),
    (
        "period_rank_bonus",
        "DELETE FROM upline.period_rank_bonus WHERE period = '2026-01' AND distributor_id = '11043'",
        &["rank bonus advancement 11043 silver row nothing paid"],
    ),
    (
        "period_close",
        "UPDATE upline.period_close SET summary = jsonb_set(jsonb_set(summary::jsonb, '{paid}', '\"1.00\"'),
                 '{components,0,1,pool}', '\"2.00\"')::json, currency = 'EUR' WHERE period = '2026-01'",
        &["period currency EUR USD", "summary paid figure 1.00", ".pool figure 2.00"],
    ),
    (
        "period_close",
        "UPDATE upline.period_close SET basis = replace(basis::text, '\"ledger_before\":0',
             '\"ledger_before\":1')::json WHERE period = '2026-01'",
        &["DIFFER in 1 place", "merkle_root"],
    ),
    (
        "ledger_block",
        "UPDATE upline.ledger_block SET merkle_root = decode(repeat('00', 32), 'hex')
         WHERE number = (SELECT block FROM upline.period_close WHERE period = '2026-01')",
        &["merkle_root 0000", "hash"],
    ),
];
