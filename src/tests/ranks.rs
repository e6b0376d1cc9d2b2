//! Ranks that orders are paid by: found by closes, forced by people, locked with each order.

use std::{
    process::Output,
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::{Value, json};
use upline::domain::{
    close::{Basis, Hold},
    commission::{RankLine, RankSource},
    digest::Digest,
};

use crate::support::{
    Delivery, Running, World,
    closing::{LADDER, commit, kit, monthly},
    eventually, refused, said, world,
};

/// Kits pay by rank: silver 5 %, gold 9 %, each less what is paid below.
const COMPONENTS: &str = r#"
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
"#;

pub(crate) fn plan() -> String {
    monthly(&[("\"carry\"", "\"forgive\"")], &[LADDER, COMPONENTS])
}

pub(crate) fn order(id: u32, placed: &str, referrer: &str, price: &str) -> Delivery {
    revised(id, placed, referrer, price, placed)
}

fn revised(id: u32, placed: &str, referrer: &str, price: &str, at: &str) -> Delivery {
    let mut kit = kit(id, placed, "paid", referrer, price);
    kit["updated_at"] = at.into();
    Delivery::api("/v1/orders", &kit)
}

async fn told_by(world: &World, arguments: &[&str]) -> String {
    said(&world.run(arguments).await)
}

/// Sends an order and waits until it pays this.
pub(crate) async fn pays(world: &World, app: &Running, id: u32, order: &Delivery, wanted: &[&str]) {
    world.client.deliver(app.http, order).await;
    world.pays(&id.to_string(), wanted).await;
}

/// The facts that the last revision of an order is locked to.
async fn lock(world: &World, id: u32) -> Option<String> {
    let query = format!(
        "SELECT calc_snapshot_json #>> '{{order,locks,ranks}}' FROM upline.commission_run
         WHERE order_id = '{id}' ORDER BY revision DESC LIMIT 1"
    );
    world.rows(&query).await.first()?.get(0)
}

/// Waits until the program knows the facts up to a number, by orders of months later.
pub(crate) async fn knows(world: &World, app: &Running, version: &str) {
    static NUMBER: AtomicU32 = AtomicU32::new(1_000);
    eventually(&format!("fact {version} is loaded"), async || {
        let id = NUMBER.fetch_add(1, Ordering::Relaxed);
        let probe = order(id, "2026-10-05T10:00:00Z", "10001", "1.00");
        world.client.deliver(app.http, &probe).await;
        let posted = format!("SELECT count(*) FROM upline.commission_run WHERE order_id = '{id}'");
        eventually("the probe is posted", async || (world.count(&posted).await > 0).then_some(()))
            .await;
        (lock(world, id).await.as_deref() == Some(version)).then_some(())
    })
    .await;
}

async fn rank(world: &World, arguments: &str, why: &str) -> Output {
    let words: Vec<&str> = arguments.split(' ').collect();
    world.run(&[&["rank"], &words[..], &["--by", "staff-7", "--why", why]].concat()).await
}

/// Every fact as a line of text.
async fn facts(world: &World) -> Vec<String> {
    let query = "SELECT concat_ws(' ', seq, distributor_id, coalesce(rank, '-'), source, hold,
            to_char(effective_at AT TIME ZONE 'UTC', 'MM-DD'), period, decided_by)
        FROM upline.rank_fact WHERE plan_id = 'field' ORDER BY seq";
    world.rows(query).await.iter().map(|row| row.get(0)).collect()
}

/// Computes the chain again from what stands in the table; the hash of each fact.
pub(crate) async fn chain(world: &World) -> Vec<Digest> {
    let query =
        "SELECT seq, plan_id, distributor_id, rank, source, hold, raises_title, effective_at,
            ends_at, period, decided_by, reason, recorded_at, hash
        FROM upline.rank_fact ORDER BY seq";
    let (mut last, mut hashes) = (Digest::ZERO, Vec::new());
    for (seq, row) in (1u64..).zip(&world.rows(query).await) {
        let line = RankLine {
            seq,
            plan: row.get(1),
            distributor: row.get(2),
            rank: row.get(3),
            source: RankSource::parse(row.get(4), row.get(5), row.get(8)).unwrap(),
            raises_title: row.get(6),
            effective_at: row.get(7),
            period: row.get(9),
            by: row.get(10),
            why: row.get(11),
            highest: None,
            bonuses: None,
            recorded_at: row.get(12),
            hash: Digest::try_from(row.get::<_, &[u8]>(13)).unwrap(),
        };
        assert_eq!(row.get::<_, i64>(0), i64::try_from(seq).unwrap(), "no gap");
        assert_eq!(line.chained(&last), line.hash, "fact {seq}");
        last = line.hash;
        hashes.push(last);
    }
    hashes
}

/// What is not in the books, or would change what is closed, is refused with what to do.
async fn refuses(world: &World) {
    let plan = "--plan field --from 2026-02";
    for (arguments, why) in [
        (format!("force 99999 gold {plan}"), "`upline import distributors`"),
        (format!("force ABC123 ruby {plan}"), "no rank ruby, only silver, gold"),
        (format!("force ABC123 unranked {plan}"), "add --exactly"),
        ("force ABC123 gold --from 2026-02 --plan fields".to_owned(), "only field"),
        ("force ABC123 gold --plan field --from 2026-13".to_owned(), "2026-13"),
        ("force ABC123 gold --plan field --from 2026-01".to_owned(), "2026-01 is closed"),
        ("clear ABC123 --plan field --from 2026-01-31T23:59:59Z".to_owned(), "2026-02-01"),
        (format!("force ABC123 gold {plan} --until 2026-02-01T00:00:00Z"), "not after --from"),
    ] {
        let told = refused(&rank(world, &arguments, "the fair").await);
        assert!(told.contains(why), "{arguments}: {told}");
    }
    let unsigned = ["rank", "force", "ABC123", "gold", "--plan", "field", "--from", "2026-02"];
    assert_eq!(world.run(&unsigned).await.status.code(), Some(2), "who and why are needed");
}

/// The table refuses what does not follow, whoever connects, and every change.
async fn keeps(world: &World) {
    let (last, hash): (i64, Vec<u8>) = {
        let query = "SELECT seq, hash FROM upline.rank_fact ORDER BY seq DESC LIMIT 1";
        let row = &world.rows(query).await[0];
        (row.get(0), row.get(1))
    };
    let previous = Digest::try_from(hash.as_slice()).unwrap();
    let line = RankLine {
        seq: u64::try_from(last + 1).unwrap(),
        plan: "field",
        distributor: "10001",
        rank: Some("gold"),
        source: RankSource::Forced { hold: Hold::AtLeast, until: None },
        raises_title: false,
        effective_at: "2026-05-01T00:00:00Z".parse().unwrap(),
        period: None,
        by: Some("staff-7"),
        why: Some("by hand"),
        highest: None,
        bonuses: None,
        recorded_at: "2026-03-01T00:00:00Z".parse().unwrap(),
        hash: Digest::ZERO,
    };
    let insert = |line: RankLine<'_>| {
        format!(
            "INSERT INTO upline.rank_fact (seq, plan_id, distributor_id, rank, source, hold,
                 effective_at, decided_by, reason, recorded_at, hash)
             VALUES ({}, '{}', '{}', '{}', 'forced', 'at_least', '{}', 'staff-7', '{}', '{}', '\\x{}')",
            line.seq, line.plan, line.distributor, line.rank.unwrap(), line.effective_at,
            line.why.unwrap(), line.recorded_at, line.hash
        )
    };
    let chained = |line: RankLine<'_>| RankLine { hash: line.chained(&previous), ..line }.hash;
    let gap = RankLine { seq: line.seq + 1, ..line };
    let stranger = RankLine { distributor: "99999", ..line };
    let closed = RankLine { effective_at: "2026-01-31T00:00:00Z".parse().unwrap(), ..line };
    for (line, why) in [
        (line, "does not follow"),
        (RankLine { hash: chained(gap), ..gap }, "does not follow"),
        (RankLine { hash: chained(line), why: Some("else"), ..line }, "does not follow"),
        (RankLine { hash: chained(stranger), ..stranger }, "not enrolled"),
        (RankLine { hash: chained(closed), ..closed }, "is closed"),
    ] {
        let told = world.refuses(&insert(line)).await;
        assert!(told.contains(why), "{why}: {told}");
    }
    for change in [
        "UPDATE upline.rank_fact SET rank = 'gold' WHERE seq = 2",
        "DELETE FROM upline.rank_fact",
        "TRUNCATE upline.rank_fact",
    ] {
        assert!(world.execute(change).await.is_err(), "{change}");
    }
    world.execute(&insert(RankLine { hash: chained(line), ..line })).await.unwrap();
    chain(world).await;
}

/// The first close knew no facts, the second one names the forced rank as the last and its hash.
async fn anchored(world: &World) {
    let rows = "SELECT basis::text FROM upline.period_close ORDER BY starts_at";
    let rows = world.rows(rows).await;
    let basis = rows.iter().map(|row| serde_json::from_str::<Basis>(row.get(0)).unwrap());
    let known: Vec<_> = basis.map(|basis| basis.ranks.map(|r| (r.seq, r.hash))).collect();
    assert_eq!(known, [None, Some((3, chain(world).await[2]))]);
}

/// All of somebody's ranks, for machines and for people.
async fn tells(world: &World) {
    let facts = told_by(world, &["rank", "list", "ABC123", "--json"]).await;
    let facts: Vec<Value> = facts.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seqs: Vec<&Value> = facts.iter().map(|fact| &fact["seq"]).collect();
    assert_eq!(seqs, [2, 3, 5]);
    assert_eq!((&facts[1]["by"], &facts[1]["why"]), (&json!("staff-7"), &json!("the fair")));
    assert_eq!(facts[1]["source"], json!({ "forced": { "hold": "at_least" } }));
    let table = told_by(world, &["rank", "list", "ABC123"]).await;
    assert!(table.contains("cleared by staff-7: the fair is over"), "{table}");
    // A period at the end is meant with its last day.
    let april = "force 10090 unranked --exactly --plan field --from 2026-04 --until 2026-04";
    assert!(rank(world, april, "on leave").await.status.success());
    let table = told_by(world, &["rank", "list", "10090"]).await;
    for part in ["exactly unranked", "2026-04-01T00:00:00Z", "2026-05-01T00:00:00Z"] {
        assert!(table.contains(part), "{part:?} is not in\n{table}");
    }
}

/// What was decided after a close changes nothing when it is computed again; what was altered is found.
async fn verified(world: &World) {
    let verify = async |period| world.run(&["close", period, "--verify"]).await;
    for period in ["2026-01", "2026-02"] {
        said(&verify(period).await);
    }
    let off = "ALTER TABLE upline.rank_fact DISABLE TRIGGER append_only";
    world.execute(off).await.unwrap();
    world.execute("DELETE FROM upline.rank_fact WHERE seq > 3").await.unwrap();
    let output = verify("2026-02").await;
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    let words: Vec<String> =
        told.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert!(words.iter().any(|line| line.contains("rank 11043 row nothing none")), "{told}");
    assert!(verify("2026-01").await.status.success(), "its facts are there");
    let why = "UPDATE upline.rank_fact SET reason = 'a friend' WHERE seq = 3";
    world.execute(why).await.unwrap();
    let told = refused(&verify("2026-02").await);
    assert!(told.contains("rank fact 3"), "{told}");
}

#[test]
fn orders_are_paid_by_the_ranks_that_closes_find_and_people_force() {
    world("ranks", async |world| {
        world.write_plan(&plan());
        let app = world.start().await;
        // Before the first close nobody has a rank.
        let january = order(1, "2026-01-05T10:00:00Z", "ABC123", "100.00");
        pays(world, &app, 1, &january, &["breakage 9.00"]).await;
        let large = order(2, "2026-01-10T10:00:00Z", "11043", "500.00");
        pays(world, &app, 2, &large, &["breakage 45.00"]).await;
        assert_eq!(lock(world, 1).await, None);

        let told = commit(world, "2026-01").await;
        let wanted = "2 are paid as another rank for orders placed from 2026-02-01T00:00:00Z on";
        assert!(told.contains(wanted), "{told}");
        let found = [
            "1 11043 gold period_close 02-01 2026-01",
            "2 ABC123 silver period_close 02-01 2026-01",
        ];
        assert_eq!(facts(world).await, found);
        knows(world, &app, "2").await;

        // From the end of January on: 5 % of silver, what is left of 9 % for gold.
        let by_rank = order(3, "2026-02-05T10:00:00Z", "ABC123", "100.00");
        pays(world, &app, 3, &by_rank, &["11043 4.00", "ABC123 5.00"]).await;
        assert_eq!(lock(world, 3).await.as_deref(), Some("2"));
        let late = order(4, "2026-01-31T23:59:59Z", "ABC123", "100.00");
        pays(world, &app, 4, &late, &["breakage 9.00"]).await;

        refuses(world).await;
        assert_eq!(facts(world).await.len(), 2);
        let forced = rank(world, "force ABC123 gold --plan field --from 2026-02", "the fair").await;
        assert!(said(&forced).contains("at least gold from 2026-02-01T00:00:00Z"));
        knows(world, &app, "3").await;
        // An order of before keeps what it is locked to, however often it changes.
        let changed =
            revised(3, "2026-02-05T10:00:00Z", "ABC123", "200.00", "2026-02-06T10:00:00Z");
        pays(world, &app, 3, &changed, &["11043 8.00", "ABC123 10.00"]).await;
        let first = revised(1, "2026-01-05T10:00:00Z", "ABC123", "50.00", "2026-02-06T10:00:00Z");
        pays(world, &app, 1, &first, &["breakage 4.50"]).await;
        assert_eq!((lock(world, 3).await.as_deref(), lock(world, 1).await), (Some("2"), None));
        let gold = order(5, "2026-02-07T10:00:00Z", "ABC123", "100.00");
        pays(world, &app, 5, &gold, &["ABC123 9.00"]).await;
        let story = told_by(world, &["explain", "5"]).await;
        for part in ["close of 2026-01", "at least gold", "forced by staff-7: the fair", "fact 3"] {
            assert!(story.contains(part), "{part:?} is not in\n{story}");
        }

        // The close of February counts the forced rank; orders after it have it while it is in force.
        commit(world, "2026-02").await;
        assert_eq!(facts(world).await[3..], ["4 11043 - period_close 03-01 2026-02"]);
        let member = "SELECT concat_ws(' ', paid_as, achieved) FROM upline.period_member
                      WHERE period = '2026-02' AND distributor_id = 'ABC123'";
        assert_eq!(world.rows(member).await[0].get::<_, &str>(0), "gold silver");
        anchored(world).await;
        knows(world, &app, "4").await;
        let march = order(6, "2026-03-02T10:00:00Z", "ABC123", "100.00");
        pays(world, &app, 6, &march, &["ABC123 9.00"]).await;

        // Cleared: what the close found holds again.
        let clear = "clear ABC123 --plan field --from 2026-03";
        assert!(rank(world, clear, "the fair is over").await.status.success());
        knows(world, &app, "5").await;
        let cleared = order(7, "2026-03-02T11:00:00Z", "ABC123", "100.00");
        pays(world, &app, 7, &cleared, &["ABC123 5.00", "breakage 4.00"]).await;

        tells(world).await;
        keeps(world).await;
        app.stop().await;
        verified(world).await;
    });
}
