//! A company moves here from an earlier system: what was reached and what waited there comes along before the
//! first close, counts in it, and is proved with it.

use std::{fs, process::Output};

use serde_json::{Value, json};
use upline::{
    app::closing::{Found, prepare},
    domain::plan::period::PeriodId,
};

use crate::support::{
    Running, World,
    closing::{commit, journal_reaches, order, shown},
    eventually, said, world,
};

/// Kits pay by rank, silver and gold have a bonus once, and a binary pays 10 % of the weaker leg.
pub(crate) const PLAN: &str = r#"
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
qv = { source = "net", rate = "100 %" }
cv = { source = "net", rate = "100 %" }

[activity]
pv = "0"
look_back = 2
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

[[rank]]
id = "gold"
active = true
pv = "500"

[[component]]
kind = "differential"
id = "stairs"
starts_at = "referrer"
inactive = "passed_over"
equal_rank = "nothing"
walk_limit = 100
rates = { kit = { unranked = "0 %", silver = "5 %", gold = "9 %" } }

[[component]]
kind = "binary"
id = "pairs"
tree = "legs"
volume = "cv"
carry = { policy = "forward", cap = "1000", expires_after = "none" }
cap = { semantics = "none" }
owner_cap = "none"
qualification = { own_active = true, enrolled_each_side = false }
unqualified = "breakage"
[component.pays]
kind = "percentage"
rate = "10 %"
matching = { conversion = "1", ratio = "one_to_one", base = "weaker", lot = "none", share = "100 %", consumes = "matched" }

[[component]]
kind = "rank_bonus"
id = "advancement"
pays = "once"
passed = "all"
rank = "paid_as"
amounts = [{ from = "silver", amount = "25.00" }, { from = "gold", amount = "100.00" }]
"#;

const LEGS: &str = "position,distributor,parent,side,placed_at\n\
    top,10090,,,2025-12-02\n\
    left,11043,top,left,2025-12-02\n\
    right,L2,top,right,2025-12-03\n";

pub(crate) fn failed(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn import(world: &World, what: &str, file: &str, more: &[&str]) -> Output {
    let path = world.folder.join(format!("{what}.csv"));
    fs::write(&path, file).unwrap();
    let path = path.display().to_string();
    world.run(&[&["import", what, &path], more].concat()).await
}

const SIGNED: [&str; 4] = ["--by", "staff-7", "--why", "books of the old system"];

pub(crate) async fn founded(world: &World) -> Running {
    fs::write(world.folder.join("pipelines/plans/field.toml"), PLAN).unwrap();
    world.enrol(&[("L2", Some("10090"))]).await;
    world.start().await
}

/// The company with its binary placed.
pub(crate) async fn placed(world: &World) -> Running {
    let app = founded(world).await;
    said(&import(world, "placements", LEGS, &["--tree", "legs"]).await);
    app
}

pub(crate) async fn sells(
    world: &World,
    app: &Running,
    (id, placed, status, who, price): (u32, &str, &str, &str, &str),
    entries: i64,
) {
    world.client.deliver(app.http, &order(id, placed, status, who, price)).await;
    journal_reaches(world, entries).await;
}

/// Waits until an order placed in January that the program sees for the first time is locked to this fact.
async fn knows(world: &World, app: &Running, fact: &str) {
    let mut id = 900;
    eventually(&format!("fact {fact} is loaded"), async || {
        id += 1;
        let probe = order(id, "2026-10-20T10:00:00Z", "paid", "10001", "1.00");
        world.client.deliver(app.http, &probe).await;
        let query = format!(
            "SELECT calc_snapshot_json #>> '{{order,locks,ranks}}' FROM upline.commission_run
             WHERE order_id = '{id}'"
        );
        let lock = eventually("the probe is posted", async || {
            world.rows(&query).await.first().map(|row| row.get::<_, Option<String>>(0))
        })
        .await;
        (lock.as_deref() == Some(fact)).then_some(())
    })
    .await;
}

const RANKS: &str = "distributor_id,rank,as_of,highest,bonus_paid_to\n\
    11043,gold,2025-12,,\n\
    ABC123,silver,2025-12,,none\n\
    10090,unranked,2025-12-31T23:00:00Z,gold,\n";

async fn bad_ranks_are_refused(world: &World) {
    let wrong = "distributor_id,rank,as_of,highest,bonus_paid_to,plan\n\
        NOBODY,gold,2025-12,,,\n\
        11043,ruby,2025-12,,,\n\
        11043,gold,2025-13,,,\n\
        11043,gold,2199-01-01T00:00:00Z,,,\n\
        11043,gold,2025-12,silver,,\n\
        11043,gold,2025-12,,ruby,\n\
        11043,gold,2025-12,,,other\n\
        ABC123,gold,2025-12,,,\n\
        ABC123,gold,2025-12,,,\n";
    let output = import(world, "ranks", wrong, &SIGNED).await;
    let told = failed(&output);
    for says in [
        "line 2: distributor NOBODY is unknown: import distributors first",
        "line 3: rank: plan field version 1 has no rank ruby, only silver, gold, unranked",
        "line 4: as_of: \"2025-13\" is no period",
        "line 5: as_of 2199-01-01T00:00:00Z is in the future",
        "line 6: highest is lower than rank",
        "line 7: bonus_paid_to: plan field version 1 has no rank ruby",
        "line 8: no plan other with ranks is in the books, only field",
        "line 10: ABC123 is in the file twice",
    ] {
        assert!(told.contains(says), "{says}: {told}");
    }
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("1 would be, but nothing is written while a row is refused"), "{told}");
    let unsigned = import(world, "ranks", RANKS, &[]).await;
    assert_eq!(unsigned.status.code(), Some(2), "who and where from are needed");
    let dry = [&SIGNED[..], &["--dry-run"]].concat();
    let told = said(&import(world, "ranks", RANKS, &dry).await);
    assert!(told.contains("3 would be written"), "{told}");
    assert_eq!(world.count("SELECT count(*) FROM upline.rank_fact").await, 0);
}

async fn facts(world: &World) -> Vec<String> {
    let query =
        "SELECT concat_ws(' ', seq, distributor_id, coalesce(rank, '-'), source, highest, bonuses,
            decided_by) FROM upline.rank_fact ORDER BY seq";
    world.rows(query).await.iter().map(|row| row.get(0)).collect()
}

#[test]
fn ranks_of_an_earlier_system_pay_the_first_orders_and_no_bonus_twice() {
    world("moving_ranks", async |world| {
        let app = placed(world).await;
        bad_ranks_are_refused(world).await;
        let told = said(&import(world, "ranks", RANKS, &SIGNED).await);
        assert!(told.contains("3 written, 0 unchanged"), "{told}");
        let imported = [
            "1 11043 gold imported gold silver,gold staff-7",
            "2 ABC123 silver imported silver staff-7",
            "3 10090 - imported gold silver,gold staff-7",
        ];
        assert_eq!(facts(world).await, imported);
        let told = said(&import(world, "ranks", RANKS, &SIGNED).await);
        assert!(told.contains("0 written, 3 unchanged"), "{told}");
        let list = said(&world.run(&["rank", "list", "10090"]).await);
        for part in [
            "unranked, highest gold, bonus paid for silver gold",
            "imported by staff-7: books of the",
        ] {
            assert!(list.contains(part), "{part:?} is not in\n{list}");
        }
        knows(world, &app, "3").await;
        let probes = world.count("SELECT count(*) FROM upline.volume_entry").await;

        // The first orders are paid by them: 5 % to silver, what is left of 9 % to gold.
        let first = (1, "2026-01-05T10:00:00Z", "paid", "ABC123", "100.00");
        sells(world, &app, first, probes + 1).await;
        world.pays("1", &["11043 4.00", "ABC123 5.00"]).await;
        let large = (2, "2026-01-06T10:00:00Z", "paid", "11043", "600.00");
        sells(world, &app, large, probes + 2).await;

        let december = failed(&world.run(&["close", "2025-12"]).await);
        assert!(december.contains("2025-12 was closed elsewhere"), "{december}");
        // Silver was reached elsewhere and its bonus not paid; gold was paid for.
        let open = shown(world, "2026-01").await;
        assert_eq!(open["to_members"]["of_the_period"], "25.00");
        let story = said(&world.run(&["explain", "11043", "2026-01"]).await);
        assert!(story.contains("already paid"), "{story}");
        commit(world, "2026-01").await;
        let members = "SELECT concat_ws(' ', distributor_id, paid_as, achieved)
                       FROM upline.period_member WHERE achieved IS NOT NULL ORDER BY 1";
        let members = world.rows(members).await;
        let members: Vec<&str> = members.iter().map(|row| row.get(0)).collect();
        assert_eq!(members, ["10090 gold", "11043 gold gold", "ABC123 silver silver"]);
        assert_eq!(facts(world).await, imported, "the close found the same");
        said(&world.run(&["close", "2026-01", "--verify"]).await);

        // In the next period the first bonus is the own close's, the others still those of elsewhere.
        let february = (3, "2026-02-06T10:00:00Z", "paid", "11043", "600.00");
        sells(world, &app, february, probes + 3).await;
        let open = shown(world, "2026-02").await;
        assert_eq!(open["to_members"]["of_the_period"], "0.00");
        commit(world, "2026-02").await;
        assert_eq!(facts(world).await[3..], ["4 ABC123 - period_close"], "its close replaces it");
        said(&world.run(&["close", "2026-02", "--verify"]).await);

        let late = failed(&import(world, "ranks", RANKS, &SIGNED).await);
        assert!(late.contains("2026-02 of plan field is closed"), "{late}");
        app.stop().await;
        let altered = "ALTER TABLE upline.rank_fact DISABLE TRIGGER append_only;
            UPDATE upline.rank_fact SET bonuses = NULL WHERE seq = 1";
        world.execute(altered).await.unwrap();
        let told = failed(&world.run(&["close", "2026-01", "--verify"]).await);
        assert!(told.contains("rank fact 1"), "{told}");
    });
}

#[test]
fn the_books_themselves_refuse_ranks_and_carries_of_elsewhere_after_a_close() {
    world("moving_late", async |world| {
        placed(world).await.stop().await;
        let told = said(&import(world, "ranks", RANKS, &SIGNED).await);
        assert!(told.contains("3 written"), "{told}");
        let carries = "position,left,right\ntop,1,0\n";
        said(&import(world, "carries", carries, &SIGNED).await);
        // A close that was computed before something came along is looked at again.
        let (store, now) = (world.store(), "2026-02-10T00:00:00Z".parse().unwrap());
        let january = PeriodId::parse("2026-01").unwrap();
        let Found::Open(before) = prepare(&store, &january, now, 0).await.unwrap() else {
            panic!("nobody has closed it");
        };
        said(&import(world, "carries", "position,left,right\ntop,2,0\n", &SIGNED).await);
        let by = upline::domain::id::Operator::parse("finance-7").unwrap();
        let closing = upline::store::postgres::Closing {
            basis: &before.basis,
            summary: "{}".to_owned(),
            members: &before.members(),
            carries: &before.carries(),
            entries: &before.entries(),
            placed: before.placed(),
            rank_bonuses: &before.rank_bonuses(),
            ranks: &before.rank_changes,
            by: &by,
            reason: None,
            now,
        };
        let outcome = store.commit_close(&closing).await.unwrap();
        assert_eq!(outcome, upline::store::postgres::CloseOutcome::Outdated);
        commit(world, "2026-01").await;
        let rank = "INSERT INTO upline.rank_fact (seq, plan_id, distributor_id, source, effective_at,
                        decided_by, reason, recorded_at, hash)
                    SELECT seq + 1, 'field', '10001', 'imported', '2026-03-01', 'x', 'y', '2026-03-02',
                        sha256(hash || convert_to(seq + 1 || E'\\nfield\\n10001\\n\\nimported\\n\\nfalse\\n'
                            || 1772323200000000 || E'\\n\\n\\nx\\ny\\n' || 1772409600000000, 'UTF8'))
                    FROM upline.rank_fact ORDER BY seq DESC LIMIT 1";
        let carry = "INSERT INTO upline.carry_fact
                     SELECT seq + 1, 'field', 'pairs', 'legs', 'top', 5, 0, 'x', 'y', '2026-03-02',
                        sha256(hash || convert_to(seq + 1 || E'\\nfield\\npairs\\nlegs\\ntop\\n5\\n0\\nx\\ny\\n'
                            || 1772409600000000, 'UTF8'))
                     FROM upline.carry_fact ORDER BY seq DESC LIMIT 1";
        for (insert, says) in [
            (rank, "ranks of elsewhere come before the first close"),
            (carry, "volume is brought along before the first close"),
            (&carry.replace("'top', 5", "'top', 6"), "does not follow"),
        ] {
            let error = world.execute(insert).await.unwrap_err();
            let told = error.as_db_error().map(|error| error.message().to_owned());
            assert!(told.as_ref().is_some_and(|told| told.contains(says)), "{says}: {told:?}");
        }
        for change in ["DELETE FROM upline.carry_fact", "TRUNCATE upline.carry_fact"] {
            assert!(world.execute(change).await.is_err(), "{change}");
        }
    });
}

/// What each position carries out of a period: left and right in points.
async fn carried(world: &World, period: &str) -> Vec<String> {
    let query = format!(
        "SELECT concat_ws(' ', position, left_carried / 10000, right_carried / 10000)
         FROM upline.period_position WHERE period = '{period}' ORDER BY position"
    );
    world.rows(&query).await.iter().map(|row| row.get(0)).collect()
}

async fn bad_carries_are_refused(world: &World) {
    let wrong = "position,left,right\n\
        nowhere,1,0\n\
        top,-1,0\n\
        top,1001,0\n\
        left,1,\n\
        right,1,1\n\
        right,1,1\n";
    let output = import(world, "carries", wrong, &SIGNED).await;
    let told = failed(&output);
    for says in [
        "line 2: position nowhere is not placed in tree legs: `upline import placements`",
        "line 3: left is \"-1\", not a number",
        "line 4: left is 1001, and the plan lets a leg carry 1000 at most",
        "line 5: right is empty: write 0",
        "line 7: position right is in the file twice",
    ] {
        assert!(told.contains(says), "{says}: {told}");
    }
    assert_eq!(world.count("SELECT count(*) FROM upline.carry_fact").await, 0);
    let other = [&SIGNED[..], &["--component", "others"]].concat();
    let told = failed(&import(world, "carries", wrong, &other).await);
    assert!(told.contains("no plan has a binary others; there are pairs"), "{told}");
}

#[test]
fn volume_that_waited_elsewhere_is_paired_here_and_unpaired_with_what_comes_back() {
    world("moving_carries", async |world| {
        let app = placed(world).await;
        bad_carries_are_refused(world).await;
        let file = "position,left,right\ntop,999,0\nleft,0,50\n";
        let told = said(&import(world, "carries", file, &SIGNED).await);
        assert!(told.contains("2 written, 0 unchanged"), "{told}");
        // The last of several holds.
        let file = "position,left,right\ntop,300,0\nleft,0,50\n";
        let told = said(&import(world, "carries", file, &SIGNED).await);
        assert!(told.contains("1 written, 1 unchanged"), "{told}");

        sells(world, &app, (1, "2026-01-05T10:00:00Z", "paid", "L2", "80.00"), 1).await;
        sells(world, &app, (2, "2026-01-06T10:00:00Z", "paid", "L2", "90.00"), 2).await;
        let text = said(&world.run(&["close", "2026-01"]).await);
        let begins = "pairs: 2 positions begin with volume imported from an earlier system, left 300, right 50";
        assert!(text.contains(begins), "{text}");
        let story = said(&world.run(&["explain", "10090", "2026-01"]).await);
        let begins =
            "pairs: position top begins with left 300, right 0, imported by staff-7: books of the";
        assert!(story.contains(begins), "{story}");
        commit(world, "2026-01").await;
        // 170 of the right leg meet 170 of the 300 that were brought along.
        assert_eq!(carried(world, "2026-01").await, ["0 130 0", "1 0 50"]);
        let paid = "SELECT amount::numeric(20, 2)::text FROM upline.period_entry
                    WHERE component = 'pairs' AND credit = 'distributor:10090'";
        assert_eq!(world.rows(paid).await[0].get::<_, &str>(0), "17.00");
        let basis = "SELECT basis #>> '{carries,seq}' FROM upline.period_close";
        assert_eq!(world.rows(basis).await[0].get::<_, &str>(0), "3");
        said(&world.run(&["close", "2026-01", "--verify"]).await);

        // 80 come back: 90 stay paired, and the 80 of the left leg wait again.
        sells(world, &app, (1, "2026-01-05T10:00:00Z", "cancelled", "L2", "80.00"), 3).await;
        sells(world, &app, (3, "2026-02-06T10:00:00Z", "paid", "L2", "10.00"), 4).await;
        let text = said(&world.run(&["close", "2026-02"]).await);
        for part in [
            "members get 1.00 USD for the period",
            "and -8.00 USD correct what closed periods paid, because volume of theirs came back after the \
             close: -7.00 USD together",
            "late: 1 volume entries (CV -80 together) of orders of closed periods came in after the close",
            "what came back corrects its own",
            "2026-01, corrected       -8.00",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        let open = shown(world, "2026-02").await;
        let sums = json!({ "of_the_period": "1.00", "corrections": "-8.00", "together": "-7.00" });
        assert_eq!(open["to_members"], sums);
        commit(world, "2026-02").await;
        assert_eq!(carried(world, "2026-02").await, ["0 200 0", "1 0 50"]);
        for period in ["2026-01", "2026-02"] {
            said(&world.run(&["close", period, "--verify"]).await);
        }
        let story = said(&world.run(&["explain", "10090", "2026-02"]).await);
        assert!(!story.contains("imported by"), "brought along once: {story}");
        let late = failed(&import(world, "carries", file, &SIGNED).await);
        assert!(late.contains("2026-02 of plan field is closed"), "{late}");
        app.stop().await;
        let altered = "ALTER TABLE upline.carry_fact DISABLE TRIGGER append_only;
            UPDATE upline.carry_fact SET left_volume = 9990000 WHERE position_id = 'top'";
        world.execute(altered).await.unwrap();
        let told = failed(&world.run(&["close", "2026-01", "--verify"]).await);
        assert!(told.contains("carry fact 3 was altered"), "{told}");
    });
}

#[test]
fn a_house_account_is_told_by_its_largest_orders() {
    world("moving_house", async |world| {
        let app = founded(world).await;
        for id in 1u32..=53 {
            let price = format!("{id}.00");
            let order = order(id, "2026-01-05T10:00:00Z", "paid", "10001", &price);
            world.client.deliver(app.http, &order).await;
        }
        journal_reaches(world, 53).await;
        let told = said(&world.run(&["explain", "10001", "2026-01"]).await);
        assert!(told.contains("own volumes: PV 1431"), "{told}");
        assert!(told.contains("the largest 50, and 3 more: --all lists them"), "{told}");
        assert!(told.contains("shopify/acme/53 ") && !told.contains("shopify/acme/3 "), "{told}");
        let all = said(&world.run(&["explain", "10001", "2026-01", "--all"]).await);
        assert!(all.contains("shopify/acme/3 ") && !all.contains("--all"), "{all}");
        let read = async |more: &[&str]| -> Value {
            let words = [&["explain", "10001", "2026-01", "--json"], more].concat();
            serde_json::from_str(&said(&world.run(&words).await)).unwrap()
        };
        let entries = |story: &Value| story["volumes"]["entries"].as_array().unwrap().len();
        let (some, all) = (read(&[]).await, read(&["--all"]).await);
        assert_eq!((entries(&some), &some["volumes"]["more"]), (50, &json!(3)));
        assert_eq!((entries(&all), &all["volumes"]["more"]), (53, &Value::Null));
        assert_eq!(some["volumes"]["cv"], all["volumes"]["cv"]);
        app.stop().await;
    });
}
